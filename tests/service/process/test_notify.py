"""Notifications of the service manager."""

from __future__ import annotations

import os

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.service.process.notify import ManagerSocket, Notifier, read_notifier


@define(eq=False)
class MemoryManager:
    """Keeps what it is told."""

    messages: list[str] = field(factory=list)
    is_open: bool = False

    def open(self) -> None:
        """Open."""
        self.is_open = True

    def send(self, message: bytes) -> None:
        """Keep a message."""
        self.messages.append(message.decode("utf-8"))

    def close(self) -> None:
        """Close."""
        self.is_open = False


class MessageTests(SynchronousTestCase):
    """The messages, as sd_notify(3) spells them."""

    def setUp(self) -> None:
        """Make a notifier."""
        self.manager = MemoryManager()
        self.notifier = Notifier(Clock(), self.manager, monotonic_usec=lambda: 12_345_678)

    def test_ready(self) -> None:
        """Being ready comes with a status, which is one line whatever is in it."""
        self.notifier.ready("2 listeners\nMAINPID=1")

        self.assertEqual(["READY=1\nSTATUS=2 listeners MAINPID=1"], self.manager.messages)

    def test_reloading(self) -> None:
        """A reload is told with the time at which it begins, as Type=notify-reload wants it."""
        self.notifier.reloading()

        self.assertEqual(["RELOADING=1\nMONOTONIC_USEC=12345678"], self.manager.messages)

    def test_stopping(self) -> None:
        """The manager is asked to wait as long as draining takes, and a little longer."""
        self.notifier.stopping("draining", 30.5)

        self.assertEqual(["STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=40500000"], self.manager.messages)

    def test_nobody_asked(self) -> None:
        """Without a manager nothing happens."""
        notifier = Notifier(Clock(), None, 10.0)

        notifier.start()
        notifier.ready("here")
        notifier.reloading()
        notifier.stopping("bye", 1.0)
        notifier.stop()


class WatchdogTests(SynchronousTestCase):
    """Pings."""

    def make(self, seconds: float | None = 10.0, pid: int | None = None) -> None:
        """Start a notifier."""
        self.clock = Clock()
        self.manager = MemoryManager()
        self.is_well = True
        self.notifier = Notifier(self.clock, self.manager, seconds, pid, is_well=lambda: self.is_well)
        self.notifier.start()

    def test_every_half(self) -> None:
        """It is pinged at once and then whenever half of its time is over, until the notifier stops."""
        self.make()
        self.assertEqual(1, len(self.manager.messages))

        self.clock.advance(4.9)
        self.assertEqual(1, len(self.manager.messages))
        self.clock.advance(0.1)
        self.clock.advance(5)
        self.assertEqual(["WATCHDOG=1"] * 3, self.manager.messages)

        self.notifier.stop()
        self.assertFalse(self.manager.is_open)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_of_this_process(self) -> None:
        """It is pinged where it watches this process."""
        self.make(pid=os.getpid())

        self.assertEqual(["WATCHDOG=1"], self.manager.messages)

    def test_of_another_process(self) -> None:
        """It is not pinged where it watches another process; all else is told."""
        self.make(pid=os.getpid() + 1)
        self.notifier.ready("here")

        self.assertEqual(["READY=1\nSTATUS=here"], self.manager.messages)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_none(self) -> None:
        """Nothing is pinged where there is no watchdog; the socket is open all the same."""
        self.make(seconds=None)

        self.assertTrue(self.manager.is_open)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_unwell(self) -> None:
        """No ping is sent while the supervisor is not well."""
        self.make()
        self.is_well = False

        self.clock.pump([5, 5, 5])
        self.assertEqual(1, len(self.manager.messages))
        self.is_well = True
        self.clock.advance(5)
        self.assertEqual(2, len(self.manager.messages))


class EnvironmentTests(SynchronousTestCase):
    """What the manager leaves in the environment."""

    def read(self, **environment: str) -> Notifier:
        """Read variables, which are gone afterwards."""
        notifier = read_notifier(Clock(), environment)
        self.assertEqual({}, environment)
        return notifier

    def address(self, text: str) -> str | None:
        """Give the address that is told."""
        manager = self.read(NOTIFY_SOCKET=text).manager
        return manager.address if isinstance(manager, ManagerSocket) else None

    def test_addresses(self) -> None:
        """A path and an abstract name are known; anything else is nobody."""
        self.assertEqual("/run/systemd/notify", self.address("/run/systemd/notify"))
        self.assertEqual("@name", self.address("@name"))
        for text in ("", "@", "/", "relative", "vsock:2:1", "/a\0b"):
            self.assertIsNone(self.address(text), text)
        self.assertIsNone(self.read().manager)

    def test_watchdog(self) -> None:
        """The watchdog's time is in microseconds; what is no number is none."""
        for usec, seconds in (("30000000", 30.0), ("500000", 0.5), ("0", None), ("", None), ("-1", None), ("x", None)):
            notifier = self.read(NOTIFY_SOCKET="@a", WATCHDOG_USEC=usec, WATCHDOG_PID="77")
            self.assertEqual((seconds, 77), (notifier.watchdog_seconds, notifier.watchdog_pid), usec)
        self.assertIsNone(self.read(WATCHDOG_USEC="9" * 5000).watchdog_seconds)
        self.assertIsNone(self.read(WATCHDOG_USEC="1").watchdog_pid)
