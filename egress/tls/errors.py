"""What went wrong in TLS, in words for people."""

from __future__ import annotations

from OpenSSL import SSL

WRONG_HOST = "the certificate is for another host"

# X509_V_ERR_*, from openssl/x509_vfy.h; pyOpenSSL hands the number on and has no names for it.
_CERTIFICATE = {
    7: "a signature in the certificate's chain is wrong",
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate comes from a self-signed authority that is not trusted",
    2: "the certificate comes from an unknown authority",
    20: "the certificate comes from an unknown authority",
    21: "the certificate comes from an unknown authority",
    22: "the certificate's chain is too long",
    23: "the certificate has been revoked",
    26: "the certificate is not one for a server",
    66: "the certificate's key is too weak",
    67: "the key of an authority in the certificate's chain is too weak",
    68: "the digest of a certificate in the chain is too weak",
    79: "an authority in the certificate's chain is none",
}

# What OpenSSL calls them (openssl/sslerr.h). The first that is found counts.
_WORDS = (
    ("certificate required", "it wants a client certificate"),
    ("alert handshake failure", "it does not agree to our terms; it may want a client certificate"),
    ("alert unknown ca", "it does not know the authority of our client certificate"),
    ("alert bad certificate", "it does not accept our client certificate"),
    ("alert certificate", "it does not accept our client certificate"),
    ("alert access denied", "it does not accept our client certificate"),
    ("alert unrecognized name", "it does not know the name that it was asked for"),
    ("protocol version", "it does not speak TLS 1.2 or later"),
    ("unsupported protocol", "it does not speak TLS 1.2 or later"),
    ("wrong version number", "it does not speak TLS"),
    ("http request", "it does not speak TLS"),
    ("packet length too long", "it does not speak TLS"),
    ("record layer failure", "it does not speak TLS"),
    ("certificate verify failed", "the certificate cannot be verified"),
)


def describe_certificate(number: int) -> str:
    """Say what OpenSSL found at a certificate.

    Args:
        number: one of X509_V_ERR.
    """
    return _CERTIFICATE.get(number, f"the certificate cannot be verified (OpenSSL's error {number})")


def describe_tls(error: BaseException | None) -> str:
    """Say why TLS ended, or "" for what is no failure of TLS.

    Args:
        error: why a connection was lost.
    """
    if not isinstance(error, SSL.Error):
        return ""
    found = error.args[0] if error.args and isinstance(error.args[0], list) else []
    told = [str(each[-1]) for each in found if isinstance(each, tuple) and each]
    text = "; ".join(told)
    for word, meaning in _WORDS:
        if word in text:
            return meaning
    return f"OpenSSL says: {text}" if text else "the TLS connection failed"
