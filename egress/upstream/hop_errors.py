"""Failures of an upstream proxy: a sentence for the client, without the hop, and a detail for the audit log."""

from __future__ import annotations

import re

from attrs import frozen

from egress.errors import DialFailed
from egress.model import Trace

SCHEMES_SPOKEN = "Basic"

# One element of a list of challenges (RFC 9110 section 11.6.1). Quoted strings in an element may contain commas.
_elements = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*")+').findall
# A scheme is alone or followed by a blank and a value. A word followed by `=` is a parameter of the scheme before it.
_scheme = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]+(?![ \t=])|[ \t]*\Z)").match
# The pattern of the elements takes quadratic time on unclosed quotes.
_READ_BYTES = 1024
# The HTTP authentication schemes in IANA's registry, and NTLM, which is not registered.
_SCHEMES = {
    name.lower(): name
    for name in (
        *("Basic", "Bearer", "Concealed", "Digest", "DPoP", "GNAP", "HOBA", "Mutual", "Negotiate", "NTLM", "OAuth"),
        *("PrivateToken", "SCRAM-SHA-1", "SCRAM-SHA-256", "vapid"),
    )
}


def hop_failed(code: str, reason: str, upstream: str, trace: Trace, detail: str = "") -> DialFailed:
    """Make the failure of one proxy.

    Args:
        code: a `proxy_` code.
        reason: one sentence for the client, which names no hop.
        upstream: the proxy's name in the configuration.
        trace: the trace of the dial.
        detail: further details for the audit log; "" for none.
    """
    told = f"upstream {upstream!r}: {detail}" if detail else f"upstream {upstream!r}"
    return DialFailed(code, tuple(trace.attempts), reason, told)


@frozen
class HopFault:
    """The reason why a handshake with a hop failed.

    Attributes:
        code: a `proxy_` code.
        reason: one sentence for the client, which names no hop.
        outcome: the outcome of the attempt in the trace.
        detail: further details for the audit log.
    """

    code: str
    reason: str
    outcome: str
    detail: str

    def failure(self, upstream: str, trace: Trace) -> DialFailed:
        """Make the failure of one proxy. See `hop_failed`."""
        return hop_failed(self.code, self.reason, upstream, trace, self.detail)


def unauthorized(challenges: list[bytes], *, is_sent: bool) -> HopFault:
    """Describe a 407 response.

    Args:
        challenges: the values of Proxy-Authenticate.
        is_sent: whether credentials were sent.
    """
    offered = offered_schemes(challenges) or "no scheme"
    wants = "does not accept our credentials" if is_sent else "wants credentials"
    words = f"An upstream proxy {wants}; it offers {offered}, and we speak {SCHEMES_SPOKEN}."
    return HopFault("proxy_auth_required", words, "407", f"{wants}; it offers {offered}")


def tls_failed(fault: str) -> HopFault:
    """Describe a failure of TLS.

    Args:
        fault: see `egress.tls.errors`.
    """
    return HopFault("proxy_tls_failed", f"TLS with an upstream proxy failed: {fault}.", "tls", fault)


def offered_schemes(values: list[bytes]) -> str:
    """List the schemes of Proxy-Authenticate fields, in order and without duplicates; "" for none.

    Only registered schemes are named; "another" at the end stands for all others. A proxy may send any text in these
    fields, even the received password.
    """
    schemes: dict[str, None] = {}
    has_another = False
    for element in _elements(b",".join(values)[:_READ_BYTES]):
        found = _scheme(element)
        if found is None:
            continue
        name = _SCHEMES.get(found[1].decode("ascii").lower())
        if name is None:
            has_another = True
        else:
            schemes[name] = None
    return ", ".join([*schemes, "another"] if has_another else schemes)
