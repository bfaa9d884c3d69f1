"""The proxy's own responses to requests that must not be forwarded."""

from __future__ import annotations


def options_response(*, keep_alive: bool) -> bytes:
    """Make the response to `OPTIONS *`, or to OPTIONS with `Max-Forwards: 0` (RFC 9110 sections 9.3.7 and 7.6.2)."""
    return (
        b"HTTP/1.1 204 No Content\r\n"
        b"Allow: CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE\r\n"
        b"Via: 1.1 egress\r\n" + (b"Connection: keep-alive" if keep_alive else b"Connection: close") + b"\r\n\r\n"
    )


def trace_response(message: bytes, *, keep_alive: bool) -> bytes:
    """Make the response to TRACE with `Max-Forwards: 0` (RFC 9110 section 9.3.8).

    Args:
        message: the request as it would have been forwarded, without fields that may contain a secret.
        keep_alive: whether the connection stays open.
    """
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nVia: 1.1 egress\r\n"
        b"Content-Length: %d\r\nConnection: %s\r\n\r\n" % (len(message), b"keep-alive" if keep_alive else b"close")
    ) + message
