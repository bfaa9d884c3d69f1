"""Clients that leave, half-close or do not read, with requests that were admitted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from attrs import evolve

from tests.live.soak.circumstances import Circumstances, Way
from tests.live.soak.comparison import COMPLETE, Outcome, at_least
from tests.live.soak.content import content
from tests.live.soak.entrance import read_body, read_response
from tests.live.soak.good_origin import BOTH, TunnelUse
from tests.live.soak.misbehaving_origins import DEAF, ENDLESS, SILENT
from tests.live.soak.streams import Stream

_LARGE = 1 << 23
_GONE = (Outcome("client_reset", None), Outcome("client_closed", None))
_GONE_WITHIN = (Outcome("client_reset"), Outcome("client_closed"))
_IDLE = Outcome("idle")
_TIMED_OUT = Outcome("failed", 504, "origin_timeout")
_LEAVE_SECONDS = 1.0


def _leave(act: Circumstances, stream: Stream) -> None:
    """Close, or reset."""
    if act.rng.random() < 0.5:
        stream.reset()
    else:
        stream.socket.close()


def leave_within_upload(act: Circumstances) -> None:
    """Leave when a part of the content was sent."""
    serial, part = act.comparison.next_serial(), act.rng.randrange(100_000)
    with act.entrance.connect() as stream:
        port = act.origins.ports[SILENT]
        stream.send(act.head("POST", serial, port, more=b"Content-Length: %d\r\n" % _LARGE))
        stream.send(b"".join(content(serial, part)))
        act.await_begun(serial)
        _leave(act, stream)
    act.expect("leave within an upload", "POST", serial, _GONE, client_bytes=(0, part))


def half_close_within_upload(act: Circumstances) -> None:
    """Send the end of the connection before that of the content, and wait for what comes."""
    serial, part = act.comparison.next_serial(), act.rng.randrange(100_000)
    with act.entrance.connect() as stream:
        port = act.origins.ports[SILENT]
        stream.send(act.head("POST", serial, port, more=b"Content-Length: %d\r\n" % _LARGE))
        stream.send(b"".join(content(serial, part)))
        act.await_begun(serial)
        stream.finish()
        with suppress(ConnectionError):
            stream.read_all(len)
    act.expect("half-close within an upload", "POST", serial, _GONE, client_bytes=(0, part))


def leave_within_download(act: Circumstances) -> None:
    """Leave when a part of the content has come."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        is_endless = act.rng.random() < 0.5
        port = act.origins.ports[ENDLESS] if is_endless else act.origin.port
        stream.send(act.head("GET", serial, port, f"/length/{_LARGE}"))
        act.check_status(read_response(stream), 200)
        part = act.rng.randrange(500_000)
        stream.read_size(part, len) if not is_endless else stream.receive()
        _leave(act, stream)
    least = 1 if is_endless else part
    act.expect("leave within a download", "GET", serial, _GONE_WITHIN, server_bytes=at_least(least))


def leave_before_answer(act: Circumstances) -> None:
    """Leave while the origin has not answered. The proxy may notice it at the deadline of the answer."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        stream.send(act.head("GET", serial, act.origins.ports[SILENT]))
        act.await_begun(serial)
        _leave(act, stream)
    act.expect("leave before the answer", "GET", serial, (*_GONE, _TIMED_OUT))


def half_close_after_request(act: Circumstances) -> None:
    """Send the end of the connection after a request. The answer may be dropped, but does not look whole then."""
    serial, is_whole = act.comparison.next_serial(), False
    with act.entrance.connect() as stream:
        stream.send(act.head("GET", serial, act.origin.port, "/length/1000"))
        stream.finish()
        with suppress(ConnectionError):
            read_body(stream, read_response(stream), len)
            is_whole = True
    outcomes = (COMPLETE,) if is_whole else (*_GONE, *_GONE_WITHIN)
    size = (1000, 1000) if is_whole else (0, 1000)
    act.expect("half-close after a request", "GET", serial, outcomes, server_bytes=size)


def never_read_response(act: Circumstances) -> None:
    """Ask for more than all buffers hold, read nothing, and leave; sometimes only when the proxy has closed."""
    serial = act.comparison.next_serial()
    is_patient = act.rng.random() < 0.2
    with act.entrance.connect() as stream:
        stream.send(act.head("GET", serial, act.origins.ports[ENDLESS]))
        _wait_unread(act, stream, is_patient=is_patient)
    outcomes = (_IDLE,) if is_patient else (*_GONE_WITHIN, *_GONE)
    act.expect("never read a response", "GET", serial, outcomes, server_bytes=at_least(0), is_certain=is_patient)


def never_read_tunnel(act: Circumstances) -> None:
    """Do the same in a tunnel."""
    serial = act.comparison.next_serial()
    is_patient = act.rng.random() < 0.2
    with act.entrance.connect() as stream:
        act.open_tunnel(stream, serial, act.origins.ports[ENDLESS])
        stream.send(b"go")
        _wait_unread(act, stream, is_patient=is_patient)
    outcomes = (_IDLE,) if is_patient else _GONE_WITHIN
    act.expect("never read a tunnel", "CONNECT", serial, outcomes, client_bytes=(0, 2), server_bytes=at_least(0))


def _wait_unread(act: Circumstances, stream: Stream, *, is_patient: bool) -> None:
    if is_patient:
        while not _is_reset(stream):
            time.sleep(0.1)
    else:
        time.sleep(act.rng.uniform(0.0, _LEAVE_SECONDS))
        _leave(act, stream)


def _is_reset(stream: Stream) -> bool:
    try:
        stream.socket.send(b"")
        return bool(stream.socket.getsockopt(1, 4))
    except OSError:
        return True


def never_read_pipeline(act: Circumstances) -> None:
    """Send many requests, read no answer, and leave."""
    serials = [act.comparison.next_serial() for _ in range(act.rng.randint(2, 40))]
    with act.entrance.connect() as stream:
        stream.send(b"".join(act.head("GET", serial, act.origin.port, "/length/100000") for serial in serials))
        time.sleep(act.rng.uniform(0.0, _LEAVE_SECONDS))
        _leave(act, stream)
    outcomes = (COMPLETE, *_GONE_WITHIN, *_GONE)
    for serial in serials:
        act.expect("never read a pipeline", "GET", serial, outcomes, server_bytes=(0, 100_000), is_certain=False)


def upload_unread(act: Circumstances) -> None:
    """Send to an origin that reads nothing, and leave. An end behind what the proxy has not read is found when idle."""
    serial = act.comparison.next_serial()
    with act.entrance.connect() as stream:
        act.open_tunnel(stream, serial, act.origins.ports[DEAF])
        stream.socket.settimeout(_LEAVE_SECONDS)
        with suppress(TimeoutError):
            for piece in content(serial, 1 << 26):
                stream.send(piece)
        _leave(act, stream)
        sent = stream.tunnel_bytes[0]
    act.expect(
        "upload to an origin that never reads", "CONNECT", serial, (*_GONE_WITHIN, _IDLE), client_bytes=(0, sent)
    )


def leave_tunnel(act: Circumstances) -> None:
    """Leave a tunnel while octets move in both directions."""
    serial, part = act.comparison.next_serial(), act.rng.randrange(1, 100_000)
    with act.entrance.connect() as stream:
        act.open_tunnel(stream, serial, act.origin.port)
        stream.send(TunnelUse(serial, _LARGE, BOTH).pack())
        stream.read_size(part, len)
        _leave(act, stream)
        sent = stream.tunnel_bytes[0]
    size = at_least(part)
    act.expect("leave a tunnel", "CONNECT", serial, _GONE_WITHIN, client_bytes=(0, sent), server_bytes=size)


def unused_tunnel(act: Circumstances) -> None:
    """Open a tunnel and say nothing, until the proxy closes it or for a moment."""
    serial = act.comparison.next_serial()
    is_patient = act.rng.random() < 0.3
    with act.entrance.connect() as stream:
        act.open_tunnel(stream, serial, act.origins.ports[SILENT])
        if is_patient:
            with suppress(ConnectionError):
                stream.read_all(len)
        else:
            _leave(act, stream)
    outcomes = (_IDLE,) if is_patient else (*_GONE_WITHIN, COMPLETE)
    act.expect("unused tunnel", "CONNECT", serial, outcomes)


def temporary_listener(act: Circumstances) -> None:
    """Use a listener that a reload may remove at any time."""
    act = evolve(act, entrance=act.temporary)
    try:
        stream = act.entrance.connect()
    except ConnectionRefusedError:
        return
    with stream:
        for _ in range(act.rng.randint(1, 20)):
            serial = act.comparison.next_serial()
            is_answered = False
            with suppress(ConnectionError):
                target = f"http://127.0.0.1:{act.origin.port}/{serial}/length/20000"
                stream.send(act.entrance.head("GET", target))
                response = read_response(stream)
                read_body(stream, response, len)
                is_answered = response.status == 200
            act.comparison.count("listener_gone", 0, 0 if is_answered else 1)
            ways = (("refused", 503), ("refused", 200), ("policy", 200))
            gone = [Outcome(cause, status, "listener_gone") for cause, status in ways]
            outcomes = (COMPLETE,) if is_answered else (*gone, *_GONE_WITHIN)
            size = (20_000, 20_000) if is_answered else (0, 20_000)
            act.expect("temporary listener", "GET", serial, outcomes, server_bytes=size, is_certain=is_answered)
            if not is_answered:
                return
            time.sleep(0.05)


ABANDONED_REQUESTS: Mapping[str, Way] = {
    "leave within an upload": leave_within_upload,
    "half-close within an upload": half_close_within_upload,
    "leave within a download": leave_within_download,
    "leave before the answer": leave_before_answer,
    "half-close after a request": half_close_after_request,
    "never read a response": never_read_response,
    "never read a tunnel": never_read_tunnel,
    "never read a pipeline": never_read_pipeline,
    "upload to an origin that never reads": upload_unread,
    "leave a tunnel": leave_tunnel,
    "unused tunnel": unused_tunnel,
    "temporary listener": temporary_listener,
}
