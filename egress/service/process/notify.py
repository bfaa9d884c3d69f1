"""Notifies the service manager of the supervisor's state (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_USEC = 1_000_000

# The time for the last audit events and the end of the process, after draining.
_MARGIN_SECONDS = 10.0

_log = Logger()


def _monotonic_usec() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def _always() -> bool:
    return True


class ServiceManager(Protocol):
    """The receiver of notifications."""

    def open(self) -> None:
        """Open a descriptor, before descriptors become scarce."""

    def send(self, message: bytes) -> None:
        """Send a notification. Does not block and does not raise."""

    def close(self) -> None:
        """Close the descriptor."""


@define(eq=False)
class ManagerSocket:
    """The service manager's socket, which is opened once, so that a process without free descriptors can send pings.

    Attributes:
        address: the value of $NOTIFY_SOCKET: a path, or `@` and a name in the abstract namespace.
    """

    address: str
    _socket: socket.socket | None = field(init=False, default=None)
    _has_failed: bool = field(init=False, default=False)

    def open(self) -> None:
        """Open a socket. See `ServiceManager.open`."""
        if self._socket is None:
            try:
                # Python makes the descriptor close-on-exec.
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            except OSError as error:
                self._fail(error)

    def send(self, message: bytes) -> None:
        """Send one datagram. See `ServiceManager.send`."""
        self.open()
        if self._socket is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            # The socket is not connected, because the manager may replace its socket.
            self._socket.sendto(message, os.fsencode(address))
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Close the socket. See `ServiceManager.close`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _fail(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            _log.warn("the service manager cannot be told: {problem}", problem=error.strerror or error)


@define(eq=False)
class Notifier:
    """Sends the notifications. No method raises or blocks, so a missing manager does not disturb the proxy.

    A ping of the watchdog means that the reactor runs and that `is_well` returns true. Pings continue while the audit
    log accepts no events: every request is refused then, and a restart would end all tunnels and lose the waiting
    events.

    Attributes:
        clock: the clock of the watchdog.
        manager: the service manager; None where there is none.
        watchdog_seconds: the time without a ping after which the manager restarts the process; None without a watchdog.
        watchdog_pid: the process that the manager watches; None for any process.
        monotonic_usec: returns CLOCK_MONOTONIC in microseconds, by which the manager distinguishes reloads.
        is_well: returns whether pings may be sent.
    """

    clock: IReactorTime
    manager: ServiceManager | None = None
    watchdog_seconds: float | None = None
    watchdog_pid: int | None = None
    monotonic_usec: Callable[[], int] = _monotonic_usec
    is_well: Callable[[], bool] = _always
    _next: IDelayedCall | None = field(init=False, default=None)

    def ready(self, status: str) -> None:
        """Notify the manager that the supervisor serves, or that a reload has ended, successfully or not.

        Args:
            status: one line for `systemctl status`.
        """
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def reloading(self) -> None:
        """Notify the manager that a reload begins. Without `ready` afterwards, the manager ends the service."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self.monotonic_usec()}")

    def stopping(self, status: str, seconds: float) -> None:
        """Notify the manager that the supervisor accepts no more connections.

        Args:
            status: one line.
            seconds: the time for running requests. The manager waits somewhat longer.
        """
        extended = round((seconds + _MARGIN_SECONDS) * _USEC)
        self._send("STOPPING=1", f"STATUS={_one_line(status)}", f"EXTEND_TIMEOUT_USEC={extended}")

    def start(self) -> None:
        """Start to send pings, if the manager watches this process."""
        if self.manager is None:
            return
        self.manager.open()
        if self.watchdog_seconds is None or self._next is not None:
            return
        # Compared at the start, because a daemon has another pid than the process that read the environment.
        if self.watchdog_pid not in (None, os.getpid()):
            _log.warn("the service manager watches another process than this one: no pings are sent")
            return
        self._ping()

    def stop(self) -> None:
        """Send no more pings, and close the socket."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self.manager is not None:
            self.manager.close()

    def _ping(self) -> None:
        assert self.watchdog_seconds is not None
        # sd_watchdog_enabled(3) recommends half of the time.
        self._next = self.clock.callLater(self.watchdog_seconds / 2, self._ping)
        if self.is_well():
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self.manager is not None:
            self.manager.send("\n".join(lines).encode("utf-8", "replace"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def read_notifier(clock: IReactorTime, environment: MutableMapping[str, str]) -> Notifier:
    """Make a notifier from the environment variables.

    The variables are removed, so that no child process can send notifications for the supervisor.

    Args:
        clock: the clock of the watchdog.
        environment: `os.environ`.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    usec = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "")
    if address and not (address.startswith(("/", "@")) and len(address) > 1 and "\0" not in address):
        _log.warn("NOTIFY_SOCKET is neither a path nor an abstract name: the service manager is told nothing")
        address = ""
    seconds = _number(usec)
    manager = ManagerSocket(address) if address else None
    return Notifier(clock, manager, seconds / _USEC if seconds else None, _number(pid))


def _number(text: str) -> int | None:
    # Numbers of more than 19 digits do not fit in 64 bits.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
