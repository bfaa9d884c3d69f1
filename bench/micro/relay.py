"""Measures the cost of relaying: `taskset -c 0 python bench/micro/relay.py`.

Joins loopback connections on the engine alone, without a proxy, while a forked child (on another core, if there is one)
sends, reads and answers. Prints the CPU time of the engine's process, which does not depend on the child's speed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT, epoll
from time import process_time
from typing import cast

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Protocol

from egress.transports.engine.engine import Engine, Transport
from egress.transports.engine.relay import Relay

SECONDS = 2.0
BLOCK = bytes(256 * 1024)

Ends = list[tuple[socket.socket, socket.socket]]


def connect() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of one loopback connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listening.getsockname())
    other, _ = listening.accept()
    listening.close()
    for each in (one, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setblocking(False)
    return one, other


def pour(ends: Ends, sip: int = 1 << 20) -> None:
    """Send into each first end, and read from each second end."""
    poller = epoll()
    owners = {}
    sink = bytearray(sip)
    for source, drain in ends:
        poller.register(source, EPOLLOUT)
        poller.register(drain, EPOLLIN)
        owners[source.fileno()], owners[drain.fileno()] = source, drain
    while True:
        for descriptor, events in poller.poll():
            if events & EPOLLOUT:
                owners[descriptor].send(BLOCK)
            else:
                # MSG_TRUNC: octets are not copied, so that the child costs little.
                owners[descriptor].recv_into(sink, sip, socket.MSG_TRUNC)


def trickle(ends: Ends) -> None:
    """Send and read like `pour`, but with small reads, so that each sink is slow."""
    pour(ends, 32 * 1024)


def ping(ends: Ends) -> None:
    """Send a small message through each pair, and the next message after its arrival."""
    poller = epoll()
    owners = {}
    for near, far in ends:
        poller.register(far, EPOLLIN)
        owners[far.fileno()] = far, near
        near.send(b"x" * 64)
    while True:
        for descriptor, _ in poller.poll():
            far, near = owners[descriptor]
            far.recv(4096)
            near.send(b"x" * 64)


def measure(play: Callable[[Ends], None], number: int) -> tuple[int, int, float]:
    """Relay a number of pairs for some seconds.

    Returns:
        The transferred bytes, the largest number of buffered bytes, and CPU seconds.
    """
    near, far = [connect() for _ in range(number)], [connect() for _ in range(number)]
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {max(range(os.cpu_count() or 1))})
        play([(one, other) for (one, _), (other, _) in zip(near, far, strict=True)])
    for (one, _), (other, _) in zip(near, far, strict=True):
        one.close()
        other.close()
    reactor = EPollReactor()
    engine = Engine(reactor)
    engine.start()
    relays: list[Relay] = []
    for (_, one), (_, other) in zip(near, far, strict=True):
        pair = []
        for each in (one, other):
            transport = Transport(engine, each, each.fileno(), each.getpeername())
            engine.register(each.fileno(), transport)
            transport.attach(Protocol())
            pair.append(transport)
        here, there = pair
        relays += [cast(Relay, here.relay_to(there)), cast(Relay, there.relay_to(here))]
    marks: list[tuple[int, float]] = []
    kept = 0

    def mark() -> None:
        marks.append((sum(relay.moved for relay in relays), process_time()))

    def look() -> None:
        nonlocal kept
        kept = max(kept, engine.buffered)
        reactor.callLater(0.01, look)

    reactor.callLater(0.3, mark)
    reactor.callLater(0.3, look)
    reactor.callLater(0.3 + SECONDS, mark)
    reactor.callLater(0.3 + SECONDS, reactor.stop)
    reactor.run(installSignalHandlers=False)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    engine.stop()
    (moved, spent), (moved_then, spent_then) = marks
    return moved_then - moved, kept, spent_then - spent


def main() -> None:
    """Measure and print."""
    for name, play, number in (
        ("bulk", pour, 1),
        ("bulk", pour, 8),
        ("slow sinks", trickle, 1),
        ("slow sinks", trickle, 8),
    ):
        moved, kept, spent = measure(play, number)
        rate = moved / SECONDS / 1e9
        sys.stdout.write(
            f"{name}, {number} joined: {spent / moved * 1e9:.3f} CPU s/GB at {rate:.2f} GB/s, "
            f"{kept / 1024:.0f} KiB kept\n"
        )
    for number in (1, 64):
        moved, _, spent = measure(ping, number)
        sys.stdout.write(f"64 bytes, {number} joined: {spent / moved * 64e6:.1f} CPU us a message\n")


if __name__ == "__main__":
    main()
