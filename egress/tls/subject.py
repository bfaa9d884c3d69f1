"""The name of a certificate's holder."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

_LONGEST_CHARACTERS = 255


def name_of(certificate: x509.Certificate) -> str:
    """Return the name of the holder of a verified certificate.

    The name is the first DNS name among the subject alternative names; without one the first URI, then the first mail
    address. Without an alternative name, the name is the common name, if there is exactly one. RFC 6125 section 6.4.4
    likewise uses the subject only where no alternative name is present.

    Returns:
        Printable ASCII with no space at either end, DNS names in lower case; "" without such a name, and for a
        certificate that cannot be parsed.
    """
    try:
        return _find(certificate)
    except Exception:
        # Unknown kinds of names, duplicate extensions and malformed encodings. The client controls them, so their only
        # effect may be a missing name.
        return ""


def _find(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    if names is not None:
        found = names.get_values_for_type(x509.DNSName)
        if found:
            return _plain(found[0].lower())
        for kind in (x509.UniformResourceIdentifier, x509.RFC822Name):
            found = names.get_values_for_type(kind)
            if found:
                return _plain(found[0])
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = common[0].value if len(common) == 1 else ""
    return _plain(value) if isinstance(value, str) else ""


def _plain(name: str) -> str:
    is_plain = name.isascii() and name.isprintable() and name.strip() == name and len(name) <= _LONGEST_CHARACTERS
    return name if is_plain else ""
