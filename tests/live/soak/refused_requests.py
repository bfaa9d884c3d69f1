"""Clients whose requests are not admitted: nothing that can be read, no credentials, no rule."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress

from tests.live.soak.circumstances import Circumstances, Way
from tests.live.soak.configurations import DENIED, HEAD_SECONDS
from tests.live.soak.entrance import Entrance, read_body, read_response
from tests.live.soak.streams import STALL_SECONDS, Stream

# What cannot be read as a request, with the status and the code of the answer.
_MALFORMED: tuple[tuple[bytes, int, str], ...] = (
    (b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_head"),
    (b"nonsense\r\n\r\n", 400, "bad_head"),
    (b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400, "bad_head"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http2_preface"),
    (b"GET http://127.0.0.1/ HTTP/3.0\r\nHost: a\r\n\r\n", 505, "bad_version"),
    (b"GET http://127.0.0.1/" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    (b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431, "head_too_large"),
)


def slow_head(act: Circumstances) -> None:
    """Send an octet now and then, until the proxy has enough of it."""
    with act.entrance.connect() as stream:
        for octet in b"GET http://127.0.0.1/" * 100:
            stream.send(bytes((octet,)))
            stream.socket.settimeout(HEAD_SECONDS / 20)
            with suppress(TimeoutError):
                act.check_status(read_response(stream), 408)
                break
            stream.socket.settimeout(STALL_SECONDS)
    act.comparison.count("head_timeout")


def leave_within_head(act: Circumstances) -> None:
    """Send half a head, and close or reset. There is no request, and no line."""
    with act.entrance.connect() as stream:
        if act.rng.random() < 0.8:
            stream.send(b"GET http://127.0.0.1/ HTTP/1.1\r\nHo")
        if act.rng.random() < 0.5:
            stream.reset()


def malformed_head(act: Circumstances) -> None:
    """Send what is no request."""
    data, status, code = act.rng.choice(_MALFORMED)
    with act.entrance.connect() as stream:
        stream.send(data)
        response = read_response(stream)
        act.check_status(response, status)
        read_body(stream, response, len)
        if stream.receive():
            act.fail("there is more than one answer to a malformed head")
    act.comparison.count(code)


def denied_host(act: Circumstances) -> None:
    """Ask for what a rule denies, a few times on one connection or by CONNECT."""
    with act.entrance.connect() as stream:
        if act.rng.random() < 0.5:
            stream.send(act.entrance.head("CONNECT", f"{DENIED}:443"))
            act.check_status(read_response(stream), 403)
            act.comparison.count("denied")
            return
        for _ in range(act.rng.randint(1, 5)):
            stream.send(act.entrance.head("GET", f"http://{DENIED}/"))
            response = read_response(stream)
            act.check_status(response, 403)
            read_body(stream, response, len)
            act.comparison.count("denied")
            if response.fields.get("connection") == "close":
                return


def wrong_credentials(act: Circumstances) -> None:
    """Show no token, or one that is not known."""
    known = act.entrances["tokens"]
    is_missing = act.rng.random() < 0.5
    entrance = Entrance(known.listener, known.place, token="" if is_missing else f"agent-0:egr_{'x' * 43}")
    with entrance.connect() as stream:
        stream.send(entrance.head("GET", f"http://127.0.0.1:{act.origin.port}/0/length/0"))
        act.check_status(read_response(stream), 407)
    act.comparison.count("credentials_required" if is_missing else "credentials_refused")


def broken_handshake(act: Circumstances) -> None:
    """Break the TLS handshake off, or send what is no TLS. Nothing is said of a client that only leaves."""
    entrance = act.entrances["secure"]
    with Stream(entrance.dial()) as stream:
        kind = act.rng.choice(("nothing", "nonsense", "distrust"))
        if kind == "nonsense":
            stream.socket.sendall(b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\n\r\n")
            with suppress(ConnectionError):
                stream.read_all(len)
            act.comparison.count("tls_failed")
        elif kind == "distrust":
            with suppress(ssl.SSLError, ConnectionError):
                stream.secure(ssl.create_default_context(), "localhost")
                act.fail("an unknown certificate was accepted")
            # Whether the alert or the end of the connection comes first is left to chance.
            act.comparison.count("tls_failed", 0, 1)


def push_without_reading(act: Circumstances) -> None:
    """Send denied requests without reading the answers, and leave."""
    count = act.rng.randint(1, 200)
    with act.entrance.connect() as stream:
        stream.send(act.entrance.head("GET", f"http://{DENIED}/") * count)
        time.sleep(act.rng.uniform(0.0, 0.2))
        with suppress(OSError):
            stream.socket.shutdown(socket.SHUT_WR)
    act.comparison.count("denied", 0, count)


REFUSED_REQUESTS: Mapping[str, Way] = {
    "slow head": slow_head,
    "leave within a head": leave_within_head,
    "malformed head": malformed_head,
    "denied host": denied_host,
    "wrong credentials": wrong_credentials,
    "broken handshake": broken_handshake,
    "refused requests without reading": push_without_reading,
}
