"""The responses that the proxy server generates for refusals and failures (RFC 9457 problem details)."""

from __future__ import annotations

import json
from math import ceil

from egress.errors import CODES, Refused

# Characters.
_DETAILS_LIMIT = 512
_PHRASE_LIMIT = 200

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

# RFC 9110 section 15, RFC 5842 section 7.2: the phrases of the statuses in CODES.
_PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    508: "Loop Detected",
}

# RFC 9110 section 11.7.1. Two fields, not one with a list, because some clients read only the first challenge of a
# field.
_CHALLENGES = (
    'Proxy-Authenticate: Basic realm="egress", charset="UTF-8"',  # RFC 7617
    'Proxy-Authenticate: Bearer realm="egress"',  # RFC 6750
)


def refusal_response(refused: Refused, request_id: str, *, keep_alive: bool, has_body: bool = True) -> bytes:
    """Compose the response to a refused or failed request.

    The reason phrase and Proxy-Status contain the reason too, because most clients drop the content of a refused
    CONNECT, and many show the reason phrase.

    Args:
        refused: the refusal or failure.
        request_id: the request's id in the audit log.
        keep_alive: whether the connection is kept open.
        has_body: whether the response has content; False for HEAD (RFC 9110 section 9.3.2).

    Returns:
        The complete response, which names no resolved address and no hop.
    """
    code = CODES[refused.code]
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": code.title,
        "status": code.status,
        "code": refused.code,
        "reason": refused.reason,
        "policy": refused.policy,
        "rule": refused.rule,
        "request_id": request_id,
        "may_retry": code.may_retry,
        "hint": code.hint,
    }
    message = ""
    if refused.message:
        problem["message"] = refused.message
        message = f": {_printable(refused.message, _PHRASE_LIMIT)}"
    error = _PROXY_ERRORS.get(refused.code, "http_request_denied")
    body = json.dumps(problem, indent=1).encode("ascii") + b"\n"
    head = [
        f"HTTP/1.1 {code.status} {_PHRASES[code.status]} by egress: {refused.code} ({request_id}){message}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        # RFC 9209 section 2.1: `error` distinguishes the proxy's responses from the origin's, `details` is for people.
        f"Proxy-Status: egress; error={error}; details={_quoted(f'{refused.code}: {refused.explanation}')}",
    ]
    if code.status == 407:
        head += _CHALLENGES
    if refused.retry_seconds is not None:
        head.append(f"Retry-After: {max(1, ceil(refused.retry_seconds))}")
    head.append("Connection: keep-alive" if keep_alive else "Connection: close")
    return "\r\n".join([*head, "", ""]).encode("ascii") + (body if has_body else b"")


def _quoted(text: str) -> str:
    """Format a text as a String of a structured field (RFC 8941 section 3.3.3), of bounded length."""
    escaped = _printable(text, _DETAILS_LIMIT).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _printable(text: str, limit: int) -> str:
    """Return the beginning of a text in printable ASCII. A plugin's text may contain any character."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:limit])


# RFC 9209 section 2.3: the error types of codes. All other codes have the type of a denied request.
_PROXY_ERRORS = {
    "name_not_found": "dns_error",
    "resolver_failed": "dns_error",
    "resolver_timeout": "dns_timeout",
    "resolver_busy": "dns_error",
    "connection_refused": "connection_refused",
    "unreachable": "destination_ip_unroutable",
    "address_refused": "destination_ip_prohibited",
    "dial_timeout": "connection_timeout",
    "origin_closed": "connection_terminated",
    "origin_malformed": "http_protocol_error",
    "origin_timeout": "http_response_timeout",
    "proxy_unreachable": "destination_unavailable",
    "proxy_timeout": "http_response_timeout",
    "proxy_auth_required": "proxy_configuration_error",
    "proxy_failed": "destination_unavailable",
    "proxy_malformed": "http_protocol_error",
    "proxy_tls_failed": "tls_protocol_error",
    "proxy_loop": "proxy_loop_detected",
    "loop_detected": "proxy_loop_detected",
    "busy": "connection_limit_reached",
    "too_many_connections": "connection_limit_reached",
    "internal_error": "proxy_internal_error",
    "audit_log_unavailable": "proxy_internal_error",
    "bad_head": "http_request_error",
    "bad_target": "http_request_error",
    "bad_framing": "http_request_error",
    "not_for_a_proxy": "http_request_error",
    "https_target": "http_request_error",
    "scheme_not_supported": "http_request_error",
    "bad_version": "http_request_error",
    "http2_preface": "http_request_error",
    "expectation_failed": "http_request_error",
    "head_too_large": "http_request_error",
    "target_too_long": "http_request_error",
    "body_too_large": "http_request_error",
    "head_timeout": "http_request_error",
    "body_timeout": "http_request_error",
}
