"""The meaning of OpenSSL's errors, for a peer that is an upstream proxy and for a peer that is a client."""

from __future__ import annotations

from attrs import frozen
from OpenSSL import SSL

from egress.errors import Refused

WRONG_HOST = "the certificate is for another host"

# X509_V_ERR_*, from openssl/x509_vfy.h. pyOpenSSL reports the number and defines no names.
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


@frozen
class Fault:
    """One of OpenSSL's errors.

    Attributes:
        words: a part of OpenSSL's text (openssl/sslerr.h).
        upstream: the meaning where the peer is an upstream proxy, as the end of a sentence; "" for none.
        client: the meaning where the peer is a client, as a sentence; "" for none.
        code: the code of the refusal, where the peer is a client.
    """

    words: str
    upstream: str = ""
    client: str = ""
    code: str = "tls_failed"


_NO_TLS = "it does not speak TLS"
_OLD = "it does not speak TLS 1.2 or later"
_NOT_ACCEPTED = "it does not accept our client certificate"
_LISTENER_NOT_ACCEPTED = "The client does not accept the listener's certificate."

FAULTS = (
    Fault("certificate required", "it wants a client certificate"),
    Fault("alert handshake failure", "it does not agree to our terms; it may want a client certificate"),
    Fault("alert unknown ca", "it does not know the authority of our client certificate", _LISTENER_NOT_ACCEPTED),
    Fault("alert bad certificate", _NOT_ACCEPTED, _LISTENER_NOT_ACCEPTED),
    Fault("alert certificate", _NOT_ACCEPTED, _LISTENER_NOT_ACCEPTED),
    Fault("alert access denied", _NOT_ACCEPTED),
    Fault("alert unrecognized name", "it does not know the name that it was asked for"),
    Fault("protocol version", _OLD),
    Fault("unsupported protocol", _OLD, "The client does not speak TLS 1.2 or later."),
    Fault("https proxy request", client="CONNECT was sent in the clear to a TLS listener."),
    Fault("wrong version number", _NO_TLS, "Something else than TLS was spoken to a TLS listener."),
    Fault("http request", _NO_TLS, "Plain HTTP was spoken to a TLS listener."),
    Fault("packet length too long", _NO_TLS),
    Fault("record layer failure", _NO_TLS),
    Fault("no shared cipher", client="The client has no cipher that is taken here."),
    Fault("peer did not return a certificate", client="The client showed no certificate.", code="certificate_required"),
    Fault(
        "certificate verify failed",
        "the certificate cannot be verified",
        "The client's certificate is not accepted here.",
    ),
)
"""The errors with a known meaning. The first fault with matching words and a meaning for the peer applies."""


def describe_certificate(number: int) -> str:
    """Describe OpenSSL's objection to a certificate of an upstream proxy.

    Args:
        number: one of X509_V_ERR.
    """
    return _CERTIFICATE.get(number, f"the certificate cannot be verified (OpenSSL's error {number})")


def describe_upstream(error: BaseException | None) -> str:
    """Describe why TLS with an upstream proxy ended, as the end of a sentence; "" if `error` is not a failure of TLS.

    Args:
        error: the reason of `connectionLost`.
    """
    if not isinstance(error, SSL.Error):
        return ""
    text = _text(error)
    for fault in FAULTS:
        if fault.upstream and fault.words in text:
            return fault.upstream
    return f"OpenSSL says: {text}" if text else "the TLS connection failed"


def refuse_client(error: SSL.Error) -> Refused:
    """Make the refusal of a client whose TLS handshake failed. OpenSSL's text contains no bytes of the client."""
    text = _text(error)
    for fault in FAULTS:
        if fault.client and fault.words in text:
            return Refused(fault.code, fault.client, detail=text)
    return Refused("tls_failed", "The TLS handshake with the client failed.", detail=text)


def _text(error: SSL.Error) -> str:
    """Return OpenSSL's texts of all errors in its queue."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(each[-1]) for each in queue if isinstance(each, tuple) and each)
