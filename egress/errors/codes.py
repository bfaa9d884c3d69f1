"""The catalogue of refusals, failures and causes of an end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen


@frozen
class Code:
    """One kind of refusal or failure.

    Attributes:
        status: the HTTP status of the answer (RFC 9110 section 15).
        title: a short name for people.
        hint: what the client, which may be an agent, can do.
        may_retry: whether the unchanged request may succeed later.
    """

    status: int
    title: str
    hint: str
    may_retry: bool = False


_ASK = "Ask the operator of this sandbox for a rule that allows the request; bypassing the proxy will not work."
_FIX = "Correct the request; an unchanged retry will fail."
_LATER = "Retry later; if the failure persists, report it to the operator."
_ORIGIN = "The destination failed, not a policy; retry later or use another address."
_UPSTREAM = "Report it to the operator: the upstream configuration must be corrected, not the request."

CODES: Mapping[str, Code] = MappingProxyType(
    {
        # The request.
        "bad_head": Code(400, "Malformed request head", _FIX),
        "bad_target": Code(400, "Malformed request target", _FIX),
        "bad_framing": Code(400, "Ambiguous or malformed body framing", _FIX),
        "not_for_a_proxy": Code(
            400,
            "Not a proxy request",
            "This is a forward proxy: send an absolute http:// target or CONNECT (set HTTP_PROXY and HTTPS_PROXY).",
        ),
        "https_target": Code(
            400,
            "An https:// target without TLS",
            "Use CONNECT for https (set HTTPS_PROXY to this proxy's http:// address); the request was not forwarded.",
        ),
        "scheme_not_supported": Code(400, "Unsupported scheme", "Use an http:// or ws:// target, or CONNECT."),
        "bad_version": Code(505, "HTTP version not supported", "Use HTTP/1.1 to this proxy."),
        "http2_preface": Code(
            505, "HTTP/2 not supported", "Use HTTP/1.1 to this proxy; HTTP/2 works inside a CONNECT tunnel."
        ),
        "expectation_failed": Code(417, "Unsupported expectation", "Use Expect: 100-continue or no Expect field."),
        "head_too_large": Code(431, "Request head too large", _FIX),
        "target_too_long": Code(414, "Request target too long", _FIX),
        "body_too_large": Code(413, "Request body too large", _FIX),
        "head_timeout": Code(408, "Request head timed out", _LATER, may_retry=True),
        "body_timeout": Code(408, "Request body timed out", _LATER, may_retry=True),
        # The client.
        "credentials_required": Code(
            407,
            "Proxy credentials required",
            "Send Proxy-Authorization: put the name and token from the operator into the proxy URL "
            "(http://NAME:TOKEN@PROXY).",
        ),
        "credentials_refused": Code(
            407,
            "Invalid proxy credentials",
            "Check the name and the token; if they are correct, ask the operator for new ones.",
        ),
        "certificate_required": Code(
            403,
            "Client certificate required",
            "Present the client certificate from the operator in the TLS handshake with this proxy.",
        ),
        "identity_contradicts": Code(
            403,
            "Contradictory identities",
            "Send credentials with the name in the client certificate, or no credentials.",
        ),
        "too_many_failures": Code(
            429,
            "Too many failed authentications",
            "Stop guessing; Retry-After gives the time after which credentials are checked again.",
            may_retry=True,
        ),
        "tls_failed": Code(
            400,
            "TLS handshake with this proxy failed",
            "Use TLS 1.2 or later, trust the certificate of the listener, and present a client certificate if asked.",
        ),
        # The decision.
        "denied": Code(403, "Denied by a rule", _ASK),
        "no_rule": Code(403, "No rule allows this request", _ASK),
        "approval_unavailable": Code(403, "Approval is required and not available", _ASK),
        "policy_failed": Code(
            403, "A policy failed", "Report it to the operator: a request is denied when a policy fails."
        ),
        "own_address": Code(403, "The proxy cannot be a destination", "Send the request with its real destination."),
        "name_refused": Code(403, "Reserved host name", _ASK),
        "address_refused": Code(
            403,
            "The destination address is not public",
            "Ask the operator: the key `addresses` of a rule allows such addresses; bypassing the proxy will not work.",
        ),
        "loop_detected": Code(508, "The request came back to this proxy", _UPSTREAM),
        "authority_mismatch": Code(
            421,
            "The destination differs from that of the tunnel",
            "Open a tunnel to that host and port, and send the request there.",
        ),
        "server_name_refused": Code(
            403,
            "The TLS server name differs from the CONNECT host",
            "Use one host in CONNECT and as TLS server name; bypassing the proxy will not work.",
        ),
        "ech_refused": Code(
            403,
            "Encrypted ClientHello (ECH) refused",
            "Switch ECH off in the TLS client, so that its server name can be read; bypassing the proxy will not work.",
        ),
        "rate_limited": Code(
            429, "Rate limit exceeded", "Slow down; Retry-After gives the time to wait.", may_retry=True
        ),
        "too_many_connections": Code(
            429, "Too many connections from this client", "Close connections before opening more.", may_retry=True
        ),
        "too_many_lookups": Code(
            429,
            "Too many host names of this client wait for resolution",
            "Request fewer new host names at a time; names that were resolved a moment ago are not affected.",
            may_retry=True,
        ),
        # The supervisor.
        "busy": Code(503, "Connection limit of the proxy reached", _LATER, may_retry=True),
        "audit_log_unavailable": Code(
            503,
            "The audit log cannot be written",
            "Report it to the operator: requests that cannot be logged are refused; retry later.",
            may_retry=True,
        ),
        "stopping": Code(503, "The proxy is stopping", _LATER, may_retry=True),
        "listener_gone": Code(503, "The listener was removed from the configuration", _LATER, may_retry=True),
        "internal_error": Code(
            500, "Internal error of the proxy", "Report it to the operator; the audit log has the request id."
        ),
        # The destination.
        "name_not_found": Code(502, "Host name not found", "Check the spelling of the host name."),
        "resolver_failed": Code(502, "Name resolution failed", _LATER, may_retry=True),
        "resolver_timeout": Code(504, "Name resolution timed out", _LATER, may_retry=True),
        "resolver_busy": Code(503, "Too many host names wait for resolution", _LATER, may_retry=True),
        "connection_refused": Code(502, "The destination refused the connection", _ORIGIN, may_retry=True),
        "unreachable": Code(502, "The destination is unreachable", _ORIGIN, may_retry=True),
        "dial_timeout": Code(504, "The connection to the destination timed out", _ORIGIN, may_retry=True),
        "origin_closed": Code(502, "The destination closed the connection without an answer", _ORIGIN, may_retry=True),
        "origin_malformed": Code(502, "Malformed answer from the destination", _ORIGIN),
        "origin_timeout": Code(504, "The answer of the destination timed out", _ORIGIN, may_retry=True),
        # The upstream and the route.
        "proxy_unreachable": Code(502, "An upstream proxy is unreachable", _LATER, may_retry=True),
        "proxy_timeout": Code(504, "An upstream proxy timed out", _LATER, may_retry=True),
        "proxy_auth_required": Code(502, "An upstream proxy wants other credentials", _UPSTREAM),
        "proxy_refused": Code(
            502,
            "An upstream proxy refused the request",
            "Report it to the operator: the upstream proxy does not allow this destination; the reason has its status.",
        ),
        "proxy_failed": Code(502, "An upstream proxy failed", _LATER, may_retry=True),
        "proxy_malformed": Code(502, "Invalid answer from an upstream proxy", _LATER, may_retry=True),
        "proxy_tls_failed": Code(502, "TLS handshake with an upstream proxy failed", _UPSTREAM),
        "route_refused": Code(403, "A route forbids this request", _ASK),
        "direct_refused": Code(403, "Direct connections are forbidden", _UPSTREAM),
        "proxy_loop": Code(502, "The route leads back to this proxy", _UPSTREAM),
    }
)
"""Refusals and failures, by the code in responses and log lines."""

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "complete": "The answer was forwarded completely, or both sides closed the tunnel.",
        "refused": "The request was refused, with an answer or a reset.",
        "failed": "The request was admitted, and the upstream or the destination failed before an answer.",
        "client_closed": "The client closed the connection, or sent its FIN, before the end.",
        "client_reset": "The client connection was reset by the client or the network.",
        "origin_reset": "The origin connection of a tunnel was reset.",
        "origin_truncated": "The origin connection ended within an answer; the client connection was reset.",
        "origin_malformed": "The framing of an answer was invalid after its head was forwarded; the client connection "
        "was reset.",
        "body_malformed": "The framing of the request body was invalid after the request was forwarded.",
        "body_timeout": "The request body timed out.",
        "body_too_large": "The request body exceeded its limit after the request was forwarded.",
        "idle": "A tunnel or an answer had no traffic for the idle time.",
        "lifetime": "A tunnel reached its maximum lifetime.",
        "hello_timeout": "A ClientHello in a tunnel timed out.",
        "hello_malformed": "A ClientHello in a tunnel was malformed or too long.",
        "hello_truncated": "The client ended a tunnel within its ClientHello.",
        "server_name": "The server name of the ClientHello differs from the CONNECT host.",
        "ech": "A ClientHello in a tunnel was encrypted (ECH), or looked so.",
        "policy": "A policy ended the request.",
        "stopping": "The supervisor stopped.",
        "internal_error": "The proxy failed; its log has a traceback.",
    }
)
"""Causes of the end of a request."""
