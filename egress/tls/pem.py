"""Whom to believe, and whom to be, in TLS with a proxy: PEM files, read once at the start."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from egress.config.files import Unusable, read_small
from egress.errors import ConfigError

FILE_LIMIT_BYTES = 4 * 1024 * 1024


@frozen
class TrustedAuthorities:
    """The authorities from which a proxy's certificate may come.

    Attributes:
        authorities: our own.
        has_system: those of the system count too.
    """

    authorities: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    has_system: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.authorities and not self.has_system:
            raise ValueError("there is no authority to trust")


@frozen
class ClientCertificate:
    """What is shown to a proxy that asks who we are.

    Attributes:
        chain: our certificate, and then those above it.
        key: the private key of the first.
    """

    chain: tuple[x509.Certificate, ...] = field(repr=False)
    key: Any = field(repr=False)


def load_trust(path: str, *, has_system: bool) -> TrustedAuthorities:
    """Read authorities.

    Args:
        path: of a PEM file with one or more certificates.
        has_system: the system's authorities count beside them.

    Raises:
        ConfigError: there is none in it, or it cannot be read.
    """
    return TrustedAuthorities(_certificates("ca", _read("ca", path)), has_system)


def load_client_certificate(certificate: str, key: str = "") -> ClientCertificate:
    """Read our own certificate.

    Args:
        certificate: path of a PEM file: the certificate, and then those above it.
        key: path of the PEM file of its key; "" where the key is in the same file.

    Raises:
        ConfigError: they cannot be read or used, do not belong together, or every user of the system can read the key.
    """
    chain = _certificates("certificate", _read("certificate", certificate, is_secret=not key))
    where = "key" if key else "certificate"
    content = _read("key", key, is_secret=True) if key else _read("certificate", certificate, is_secret=True)
    try:
        private = load_pem_private_key(content, None)
    except TypeError:
        raise ConfigError(
            where, "holds a key that is itself encrypted; keep it in the clear, for this user only"
        ) from None
    except Exception:
        # cryptography raises several kinds, and their words may hold parts of what was read.
        raise ConfigError(where, "holds no private key in PEM that can be used") from None
    spelling = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*spelling) != chain[0].public_key().public_bytes(*spelling):
        raise ConfigError(where, "holds a key that is not the one of the first certificate")
    return ClientCertificate(chain, private)


def _certificates(where: str, content: bytes) -> tuple[x509.Certificate, ...]:
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except Exception:
        certificates = []
    if not certificates:
        raise ConfigError(where, "holds no certificate in PEM that can be used")
    return tuple(certificates)


def _read(where: str, path: str, *, is_secret: bool = False) -> bytes:
    try:
        return read_small(path, FILE_LIMIT_BYTES, is_secret=is_secret)
    except Unusable as problem:
        raise ConfigError(where, f"its file {problem}") from None
