"""PEM files: certificates, private keys and authorities. They are read once, at startup and at a reload."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from egress.config.files import Unusable, read_small
from egress.errors import ConfigError

FILE_LIMIT_BYTES = 4 * 1024 * 1024


@frozen
class OwnCertificate:
    """A certificate that this process presents, with its private key.

    Attributes:
        chain: the certificate, followed by its issuers.
        key: the private key of the first certificate.
    """

    chain: tuple[x509.Certificate, ...] = field(repr=False)
    key: Any = field(repr=False)


def load_authorities(where: str, path: str) -> tuple[x509.Certificate, ...]:
    """Read the certificates of authorities.

    Args:
        where: the key that names the file, for errors.
        path: the path of a PEM file with one or more certificates.

    Raises:
        ConfigError: the file contains no certificate, or cannot be read.
    """
    return _certificates(where, _read(where, path))


def load_certificate(certificate: str, key: str = "") -> OwnCertificate:
    """Read a certificate and its private key.

    Args:
        certificate: the path of a PEM file: the certificate, followed by its issuers.
        key: the path of the PEM file of the key; "" where the key is in the same file.

    Raises:
        ConfigError: a file cannot be read or used, certificate and key do not belong together, or every user of the
            system can read the key. The key is `certificate` or `key`.
    """
    content = _read("certificate", certificate, is_secret=not key)
    chain = _certificates("certificate", content)
    where = "key" if key else "certificate"
    if key:
        content = _read("key", key, is_secret=True)
    try:
        private = load_pem_private_key(content, None)
    except TypeError:
        raise ConfigError(
            where, "holds a key that is itself encrypted; keep it in the clear, for this user only"
        ) from None
    except Exception:
        # cryptography raises several classes, and their messages may contain parts of the file.
        raise ConfigError(where, "holds no private key in PEM that can be used") from None
    spelling = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*spelling) != chain[0].public_key().public_bytes(*spelling):
        raise ConfigError(where, "holds a key that is not the one of the first certificate")
    return OwnCertificate(chain, private)


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
