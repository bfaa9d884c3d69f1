"""Clients that do their part with origins that do not, or that break the framing of an admitted request."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tests.live.soak.circumstances import Circumstances, Way
from tests.live.soak.comparison import COMPLETE, Outcome, at_least, exactly
from tests.live.soak.content import Digest
from tests.live.soak.entrance import read_body, read_response
from tests.live.soak.misbehaving_origins import BODY, LATE, MISBEHAVIOURS, REFUSING, RESETTING, SILENT


def visit(kind: str) -> Way:
    """Return what a client does with one kind of origin."""
    does = MISBEHAVIOURS[kind]

    def way(act: Circumstances) -> None:
        serials = [act.comparison.next_serial() for _ in range(act.rng.randint(1, 3))]
        with act.entrance.connect() as stream:
            for serial in serials:
                digest, status, is_whole = Digest(), 0, False
                stream.send(act.entrance.head("GET", f"http://127.0.0.1:{act.origins.ports[kind]}/{serial}/"))
                with suppress(ConnectionError):
                    response = read_response(stream)
                    status = response.status
                    read_body(stream, response, digest.take)
                    is_whole = True
                told = {outcome.status for outcome in does.outcomes}
                if status not in told or (status == 200 and is_whole != does.is_whole):
                    act.fail(f"an origin that {kind}: status {status}, a whole response: {is_whole}")
                if status == 200 and is_whole:
                    least, most = does.server_bytes
                    if not least <= digest.size <= most:
                        act.fail(f"an origin that {kind}: {digest.size} octets")
                act.expect(f"origin that {kind}", "GET", serial, does.outcomes, server_bytes=does.server_bytes)
                if not is_whole or response.fields.get("connection") == "close":
                    return

    return way


def surplus_after_response(act: Circumstances) -> None:
    """Make another request when the origin has sent more than the response to the one before."""
    # One at a time: what comes after a request of somebody else has been sent cannot be told from its response.
    with act.origins.surplus, act.entrance.connect() as stream:
        for _ in range(3):
            serial, digest = act.comparison.next_serial(), Digest()
            stream.send(act.entrance.head("GET", f"http://127.0.0.1:{act.origins.ports[LATE]}/{serial}/"))
            response = read_response(stream)
            act.check_status(response, 200)
            read_body(stream, response, digest.take)
            if digest.size != len(BODY):
                act.fail(f"request {serial}: {digest.size} octets, of what the origin sent after another response")
            act.expect("surplus after a response", "GET", serial, (COMPLETE,), server_bytes=exactly(len(BODY)))
            act.origins.tell_answered(serial)
            act.await_begun(serial)


def silent_origin(act: Circumstances) -> None:
    """Wait for an answer that does not come."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        stream.send(act.entrance.head("GET", f"http://127.0.0.1:{act.origins.ports[SILENT]}/{serial}/"))
        act.check_status(read_response(stream), 504)
    outcomes = (Outcome("failed", 504, "origin_timeout"),)
    act.expect("origin that never answers", "GET", serial, outcomes, server_bytes=at_least(0))


def refusing_origin(act: Circumstances) -> None:
    """Use an origin that is not there."""
    serial = act.comparison.next_serial()
    port = act.origins.ports[REFUSING]
    with act.entrance.connect() as stream:
        stream.send(act.entrance.head("GET", f"http://127.0.0.1:{port}/{serial}/"))
        act.check_status(read_response(stream), 502)
    outcomes = (Outcome("failed", 502, "connection_refused"),)
    act.expect("origin that refuses connections", "GET", serial, outcomes, server_bytes=at_least(0))


def resetting_origin(act: Circumstances) -> None:
    """Use a tunnel that the origin resets."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        act.open_tunnel(stream, serial, act.origins.ports[RESETTING])
        stream.send(b"a")
        stream.read_size(4, len)
        stream.send(b"b")
        with suppress(ConnectionError):
            stream.read_all(len)
            # A unix socket knows no reset.
            if act.entrance.listener != "local":
                act.fail("a reset of the origin was passed on as an end")
    outcomes = (Outcome("origin_reset"),)
    act.expect("origin that resets a tunnel", "CONNECT", serial, outcomes, client_bytes=(2, 2), server_bytes=(4, 4))


def malformed_chunks(act: Circumstances) -> None:
    """Break the framing of the content."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        more = b"Transfer-Encoding: chunked\r\n"
        stream.send(act.head("POST", serial, act.origins.ports[SILENT], more=more) + b"5\r\nhello\r\n")
        act.await_begun(serial)
        stream.send(b"zz\r\n")
        act.check_status(read_response(stream), 400)
    outcomes = (Outcome("refused", 400, "bad_framing"),)
    act.expect("malformed chunks", "POST", serial, outcomes, client_bytes=(5, 5), server_bytes=at_least(0))


def malformed_hello(act: Circumstances) -> None:
    """Send in a tunnel what begins as TLS and is not. Only a tunnel to a name is held to a ClientHello."""
    with act.entrance.connect() as stream:
        stream.send(act.entrance.head("CONNECT", f"localhost:{act.origins.ports[SILENT]}"))
        act.check_status(read_response(stream), 200)
        stream.send(b"\x16\x03\x01\x00\x05hello" + b"x" * 10)
        with suppress(ConnectionError):
            stream.read_all(len)
    act.comparison.count("server_name_refused")


FAILED_REQUESTS: Mapping[str, Way] = {
    "surplus after a response": surplus_after_response,
    "origin that never answers": silent_origin,
    "origin that refuses connections": refusing_origin,
    "origin that resets a tunnel": resetting_origin,
    "malformed chunks": malformed_chunks,
    "malformed ClientHello": malformed_hello,
    **{f"origin that {kind}": visit(kind) for kind in MISBEHAVIOURS},
}
