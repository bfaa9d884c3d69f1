"""The catalogue of refusals and ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen


@frozen
class Code:
    """One kind of refusal or failure.

    Attributes:
        status: the HTTP status that answers it (RFC 9110 section 15).
        title: a short name for people.
        hint: what the reader can do.
        may_retry: the same request may succeed later, unchanged.
    """

    status: int
    title: str
    hint: str
    may_retry: bool = False


_ASK = "Ask the operator of this sandbox for a rule that allows it; going round the proxy will not work."
_FIX = "Correct the request; sending it again unchanged will not help."
_LATER = "Wait and try again; if it lasts, tell the operator."
_ORIGIN = "The destination is at fault, not a policy; try again later or another address."
_UPSTREAM = "Tell the operator: it is the way out of here that has to be put right, not the request."

CODES: Mapping[str, Code] = MappingProxyType(
    {
        # what the client sent
        "bad_head": Code(400, "Malformed request head", _FIX),
        "bad_target": Code(400, "Malformed request target", _FIX),
        "bad_framing": Code(400, "Ambiguous or malformed body framing", _FIX),
        "not_for_a_proxy": Code(
            400,
            "Not a request to a proxy",
            "This is a forward proxy: send an absolute http:// target or CONNECT (set HTTP_PROXY and HTTPS_PROXY).",
        ),
        "https_target": Code(
            400,
            "An https target in the clear",
            "Use CONNECT for https (set HTTPS_PROXY to this proxy's http:// address); the request was not sent on.",
        ),
        "scheme_not_supported": Code(400, "Unknown scheme", "Only http:// and ws:// targets, and CONNECT, are served."),
        "bad_version": Code(505, "HTTP version not supported", "Speak HTTP/1.1 to this proxy."),
        "http2_preface": Code(
            505, "HTTP/2 is not spoken here", "Speak HTTP/1.1 to this proxy; HTTP/2 works inside a CONNECT tunnel."
        ),
        "expectation_failed": Code(417, "Unknown expectation", "Only Expect: 100-continue is known."),
        "head_too_large": Code(431, "Request head too large", _FIX),
        "target_too_long": Code(414, "Request target too long", _FIX),
        "body_too_large": Code(413, "Request body too large", _FIX),
        "head_timeout": Code(408, "The request head took too long", _LATER, may_retry=True),
        "body_timeout": Code(408, "The request body stalled", _LATER, may_retry=True),
        # who is calling
        "credentials_required": Code(
            407,
            "Credentials are needed",
            "Send Proxy-Authorization: put the name and token that the operator gave you into the proxy's URL "
            "(http://NAME:TOKEN@PROXY).",
        ),
        "credentials_refused": Code(
            407,
            "Unknown credentials",
            "Check the name and the token; if they are right, ask the operator for new ones.",
        ),
        "certificate_required": Code(
            403, "A client certificate is needed", "Show the certificate that the operator gave you when TLS begins."
        ),
        "identity_contradicts": Code(
            403, "Two identities at once", "Send credentials of the same name as the client certificate, or none."
        ),
        "too_many_failures": Code(
            429,
            "Too many wrong credentials",
            "Stop guessing; Retry-After says when credentials from here are looked at again.",
            may_retry=True,
        ),
        "tls_failed": Code(
            400,
            "TLS with this proxy failed",
            "Speak TLS 1.2 or later to this listener, trust its certificate, and show your own where it asks for one.",
        ),
        # what was judged
        "denied": Code(403, "Denied by a rule", _ASK),
        "no_rule": Code(403, "No rule allows it", _ASK),
        "approval_unavailable": Code(403, "Approval is needed and nobody can give it", _ASK),
        "policy_failed": Code(
            403, "A policy could not decide", "Tell the operator: a policy failed, so it was denied."
        ),
        "own_address": Code(403, "The proxy itself is no destination", "Send the request for its real destination."),
        "name_refused": Code(403, "This name is reserved", _ASK),
        "address_refused": Code(
            403,
            "The name leads to an address that is not public",
            "Ask the operator: a rule opens such addresses with its key `addresses`; going round will not work.",
        ),
        "authority_mismatch": Code(
            421,
            "Another destination than the tunnel's",
            "Open a tunnel to that host and port, and send the request there.",
        ),
        "server_name_refused": Code(
            403,
            "The TLS server name is not the host that was judged",
            "Send the same host in CONNECT and in TLS; going round the proxy will not work.",
        ),
        "rate_limited": Code(429, "Too much at once", "Slow down; Retry-After says when to try again.", may_retry=True),
        "too_many_connections": Code(429, "Too many connections of this client", "Close some first.", may_retry=True),
        # what the supervisor cannot do now
        "busy": Code(503, "The proxy is at its limit of connections", _LATER, may_retry=True),
        "audit_log_unavailable": Code(
            503,
            "The request could not be recorded",
            "Nothing leaves unrecorded here; tell the operator.",
            may_retry=True,
        ),
        "stopping": Code(503, "The proxy is stopping", _LATER, may_retry=True),
        "listener_gone": Code(503, "The listener is no longer configured", _LATER, may_retry=True),
        "internal_error": Code(500, "The proxy failed", "Tell the operator; the audit log has the request's id."),
        # what the route or the destination did
        "name_not_found": Code(502, "The name does not resolve", "Check the spelling of the host name."),
        "resolver_failed": Code(502, "The resolver failed", _LATER, may_retry=True),
        "resolver_timeout": Code(504, "The resolver did not answer in time", _LATER, may_retry=True),
        "connection_refused": Code(502, "The destination refused the connection", _ORIGIN, may_retry=True),
        "unreachable": Code(502, "The destination cannot be reached", _ORIGIN, may_retry=True),
        "dial_timeout": Code(504, "The destination did not answer in time", _ORIGIN, may_retry=True),
        "origin_closed": Code(502, "The destination closed without an answer", _ORIGIN, may_retry=True),
        "origin_malformed": Code(502, "The destination's answer is malformed", _ORIGIN),
        "origin_timeout": Code(504, "The destination's answer took too long", _ORIGIN, may_retry=True),
        # what an upstream proxy did
        "proxy_unreachable": Code(502, "An upstream proxy cannot be reached", _LATER, may_retry=True),
        "proxy_timeout": Code(504, "An upstream proxy did not answer in time", _LATER, may_retry=True),
        "proxy_auth_required": Code(502, "An upstream proxy wants other credentials", _UPSTREAM),
        "proxy_refused": Code(
            502,
            "An upstream proxy refused",
            "Tell the operator: that proxy does not let this through, and its reason has the status.",
        ),
        "proxy_failed": Code(502, "An upstream proxy failed", _LATER, may_retry=True),
        "proxy_malformed": Code(502, "An upstream proxy broke off or is none", _LATER, may_retry=True),
        "proxy_tls_failed": Code(502, "TLS with an upstream proxy failed", _UPSTREAM),
        "route_refused": Code(403, "A route forbids this request", _ASK),
        "direct_refused": Code(403, "Direct connections are forbidden", _UPSTREAM),
        "proxy_loop": Code(502, "The route leads back to this proxy", _UPSTREAM),
    }
)

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "complete": "The answer was passed on whole, or both sides of a tunnel closed.",
        "refused": "It was refused, with an answer or a reset.",
        "failed": "It was admitted but the route or the destination failed before an answer.",
        "client_closed": "The client went away before the end.",
        "client_reset": "The client reset the connection, or the network did.",
        "origin_reset": "The origin reset the connection in a tunnel.",
        "origin_truncated": "The origin ended in the middle of its answer; the client's connection was reset.",
        "origin_malformed": "The origin's body broke its framing after the head was passed on; the client's was reset.",
        "body_malformed": "The client's body broke its framing after the request was sent on.",
        "body_timeout": "The client's body stalled.",
        "body_too_large": "The client's body passed its limit after the request was sent on.",
        "idle": "Nothing moved in a tunnel or in an answer for the idle time.",
        "lifetime": "A tunnel reached its longest life.",
        "hello_timeout": "A ClientHello was begun in a tunnel and not ended in time.",
        "hello_malformed": "A ClientHello in a tunnel was malformed or too long.",
        "hello_truncated": "The client ended a tunnel in the middle of its ClientHello.",
        "server_name": "The ClientHello's name is not the host that was judged.",
        "policy": "A policy ended it.",
        "stopping": "The supervisor stopped.",
        "internal_error": "The proxy failed; the log has a traceback.",
    }
)
