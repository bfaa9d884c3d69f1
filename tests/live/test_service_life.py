"""The proxy as a service: notifications, socket activation, and protection from other processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from tests.live.managed import Managed, ManagedCase
from tests.live.support import needs
from tests.live.test_start import EGRESS, PATIENCE_SECONDS

LOCAL = ("--listen", "tcp:0:interface=127.0.0.1")
ENGINES = ("auto", "twisted")


class NotifyTests(ManagedCase):
    """What the manager hears."""

    def test_life(self) -> None:
        """Ready once it serves, pings while it runs, stopping when it is asked to end."""
        proxy = self.manage(*LOCAL, environment={"NOTIFY_SOCKET": self.listen_for_notices(), "WATCHDOG_USEC": "200000"})

        ready = self.hear("READY=1")
        self.assertIn("STATUS=1 listener, 0 policies", ready)
        self.assertIn(b" 403 ", self.ask(proxy.port()))
        self.hear("WATCHDOG=1")
        self.hear("WATCHDOG=1")
        status = proxy.end()
        stopping = self.hear("STOPPING=1")

        self.assertRegex(stopping, r"\nEXTEND_TIMEOUT_USEC=\d{8}\Z")
        self.assertEqual(0, status, proxy.said)
        self.assertNotIn("Traceback", proxy.said)

    def test_reload(self) -> None:
        """A reload is announced, with the time, and its end too, whatever came of it."""
        name = self.write("")
        proxy = self.manage("-c", name, *LOCAL, environment={"NOTIFY_SOCKET": self.listen_for_notices()})
        self.hear("READY=1")

        proxy.process.send_signal(signal.SIGHUP)
        self.assertRegex(self.hear("RELOADING=1"), r"\nMONOTONIC_USEC=\d+\Z")
        self.assertIn("STATUS=1 listener", self.hear("READY=1"))
        Path(name).write_text("nonsense = 1", "utf-8")
        proxy.process.send_signal(signal.SIGHUP)
        self.hear("RELOADING=1")
        self.assertIn("the last reload failed", self.hear("READY=1"))
        self.assertEqual(0, proxy.end(), proxy.said)

    def test_abstract(self) -> None:
        """The manager's socket may have an abstract name."""
        proxy = self.manage(*LOCAL, environment={"NOTIFY_SOCKET": self.listen_for_notices(is_abstract=True)})

        self.hear("READY=1")
        proxy.end()
        self.hear("STOPPING=1")

        self.assertNotIn("WATCHDOG=1", self.told)

    def test_manager_is_gone(self) -> None:
        """A manager that cannot be reached is no reason not to serve; the log hears of it once."""
        proxy = self.manage(
            *LOCAL, environment={"NOTIFY_SOCKET": str(self.short / "nobody"), "WATCHDOG_USEC": "100000"}
        )

        self.assertIn(b" 403 ", self.ask(proxy.port()))
        self.assertEqual(0, proxy.end(), proxy.said)

        self.assertEqual(1, proxy.said.count("the service manager cannot be told"), proxy.said)

    def test_no_start(self) -> None:
        """What cannot start is never ready."""
        address = self.listen_for_notices()
        proxy = self.manage("--listen", "udp:1", environment={"NOTIFY_SOCKET": address})

        self.assertEqual(1, proxy.wait())
        assert self.notices is not None
        self.notices.setblocking(False)
        self.assertRaises(BlockingIOError, self.notices.recv, 4096)


class ActivationTests(ManagedCase):
    """Sockets that systemd listens on."""

    def configure(self, *endpoints: str, engine: str = "auto") -> str:
        """Write a configuration with a listener for each endpoint."""
        listeners = (f'[[listener]]\nname = "l{at}"\nendpoint = "{each}"\n' for at, each in enumerate(endpoints))
        return self.write(f'engine = "{engine}"\n' + "".join(listeners))

    def test_served(self) -> None:
        """TCP and unix sockets are served, by the engine and by Twisted, and outlive the process.

        Whoever connects between two processes is answered by the second one.
        """
        for engine in ENGINES:
            tcp, (unix, path) = self.entrance(), self.gate()
            port = tcp.getsockname()[1]
            file = self.configure("systemd:front", "systemd:back", engine=engine)
            for _ in range(2):
                before = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
                with before:
                    before.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                    proxy = self.manage("-c", file, sockets=[("back", unix), ("front", tcp)])
                    self.assertIn(b" 403 ", before.recv(65_536))
                self.assertIn(b" 403 ", self.ask(port))
                self.assertIn(b" 403 ", self.ask(path))
                self.assertEqual(0, proxy.end(), proxy.said)
                self.assertIn(f"listener l0: 127.0.0.1:{port}\n", proxy.said)
                self.assertIn(f"listener l1: unix:{path}\n", proxy.said)
                self.assertNotIn("Traceback", proxy.said)
            self.assertEqual(0o660, stat.S_IMODE(path.stat().st_mode))
            unix.close()
            path.unlink()

    def test_own_address(self) -> None:
        """Nobody can name the proxy as destination by a socket of systemd's either."""
        tcp = self.entrance()
        port = tcp.getsockname()[1]
        proxy = self.manage("--listen", "systemd:front", "--allow", f"127.0.0.1:{port}", sockets=[("front", tcp)])

        self.assertIn(b"own_address", self.ask(port, f"http://127.0.0.1:{port}/"))
        proxy.end()

    def test_ipv6_by_number(self) -> None:
        """Sockets of one name are told apart by their number; IPv6 is served as it was bound."""
        needs(lambda: self.entrance("::1"), "there is no IPv6")
        first, second = self.entrance(), self.entrance("::1")
        proxy = self.manage(
            *("--listen", "systemd:front:index=1", "--listen", "systemd:front:index=0"),
            sockets=[("front", first), ("front", second)],
        )

        proxy.hear(rf"listener default: \[::1\]:{second.getsockname()[1]}\n")
        self.assertIn(b" 403 ", self.ask(first.getsockname()[1]))
        self.assertEqual(0, proxy.end(), proxy.said)

    def test_left_over(self) -> None:
        """A socket that no listener names is warned of, and let go."""
        proxy = self.manage(*LOCAL, sockets=[("front", self.entrance())])

        proxy.hear("systemd handed a socket called 'front', which no listener names")
        self.assertIn(b" 403 ", self.ask(proxy.port()))
        proxy.end()

    def test_count_beyond_what_was_received(self) -> None:
        """A LISTEN_FDS that is too large takes no descriptor of the proxy's own: it serves its other listeners."""
        proxy = self.manage(*LOCAL, sockets=[("front", self.entrance())], claimed=40)
        self.assertIn(b" 403 ", self.ask(proxy.port()))
        self.assertEqual(0, proxy.end(), proxy.said)
        self.assertNotIn("Traceback", proxy.said)

        refused = self.manage("--listen", "systemd:front", sockets=[("front", self.entrance())], claimed=40)
        self.assert_refused(refused, "LISTEN_FDS is 40, but this process received only 1")

    def assert_refused(self, proxy: Managed, words: str) -> None:
        """It ends with one line that has these words."""
        self.assertEqual(1, proxy.wait(), proxy.said)
        self.assertEqual(1, proxy.said.count("\n"), proxy.said)
        self.assertIn(words, proxy.said)

    def test_faults(self) -> None:
        """What cannot be served stops the start with one line that says why."""
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        deaf = socket.socket()
        self.addCleanup(datagrams.close)
        self.addCleanup(deaf.close)
        self.assert_refused(self.manage("--listen", "systemd:front"), "systemd handed no sockets")
        for made, words in ((datagrams, "neither a TCP nor a unix stream socket"), (deaf, "does not listen")):
            self.assert_refused(self.manage("--listen", "systemd:front", sockets=[("front", made)]), words)
        self.assert_refused(
            self.manage("--listen", "systemd:front", sockets=[("other", self.entrance())]), "there are 'other'"
        )

    def test_check(self) -> None:
        """`egress check` accepts such a listener where systemd is far away, and finds two of one socket."""
        for endpoints, status in ((("systemd:front",), 0), (("systemd:front", "systemd:front"), 1)):
            done = subprocess.run(
                [EGRESS, "check", self.configure(*endpoints)], capture_output=True, timeout=60, check=False
            )
            self.assertEqual(status, done.returncode, done.stderr)


def as_same_user(*command: str) -> list[str]:
    """Make a command one that root runs as any user would: without the privileges that open every process."""
    return ["setpriv", "--bounding-set=-all", *command] if os.geteuid() == 0 else list(command)


def can_read(pid: int, name: str) -> bool:
    """Whether another process of this user can read something of a process."""
    read = as_same_user("head", "-c1", f"/proc/{pid}/{name}")
    return subprocess.run(read, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False).returncode == 0


def can_read_soon(pid: int, name: str) -> bool:
    """Whether that can be read of a process that has only just been started, and may not be itself yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not can_read(pid, name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class SecrecyTests(ManagedCase):
    """Environments hold the credentials of proxies, and /proc shows them to every process of the same user."""

    def test_environment_cannot_be_read(self) -> None:
        """Neither the environment nor the memory's map of a running supervisor, while those of others can be."""
        needs("setpriv", "setpriv is not installed; Debian has it in util-linux")
        plain = subprocess.Popen(as_same_user(sys.executable, "-c", "input()"), stdin=subprocess.PIPE)

        def end() -> None:
            plain.communicate(b"\n")

        self.addCleanup(end)
        needs(lambda: can_read_soon(plain.pid, "environ"), "no process can be looked into here anyway")
        secret = {"HTTPS_PROXY": "http://joe:hunter2@127.0.0.1:9"}
        proxy = self.manage(*LOCAL, environment=secret, before=as_same_user())
        proxy.port()

        for name in ("environ", "maps", "mem", "auxv"):
            self.assertFalse(can_read(proxy.process.pid, name), name)
        self.assertTrue(can_read(plain.pid, "maps"))
        self.assertEqual(0, proxy.end(), proxy.said)
        self.assertNotIn("hunter2", proxy.said)

    def test_command(self) -> None:
        """`egress serve` is closed as well."""
        needs("setpriv", "setpriv is not installed; Debian has it in util-linux")
        log = self.short / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                as_same_user(str(EGRESS), "serve", *LOCAL),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "EGRESS_STATE": str(self.state)},
                cwd="/",
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.await_that(lambda: re.search("listener default", log.read_text("utf-8")) is not None, "it serves")

        self.assertFalse(can_read(process.pid, "environ"))


class DescriptorTests(ManagedCase):
    """More connections than descriptors."""

    def crowd(self, place: str | tuple[str, int], number: int = 100) -> list[socket.socket]:
        """Open many connections that say nothing."""
        crowd = []
        for _ in range(number):
            client = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
            self.addCleanup(client.close)
            client.connect(place)
            crowd.append(client)
        return crowd

    def exhaust(self, engine: str, endpoint: str, path: Path | None = None) -> None:
        """Take all descriptors, and give them back."""
        file = self.write(f'engine = "{engine}"\n[[listener]]\nname = "a"\nendpoint = "{endpoint}"\n')
        manager = {"NOTIFY_SOCKET": self.listen_for_notices(), "WATCHDOG_USEC": "200000"}
        proxy = self.manage("-c", file, environment=manager, files=64)
        self.hear("READY=1")
        place = path or proxy.port()
        crowd = self.crowd(str(path) if path else ("127.0.0.1", proxy.port()))

        proxy.hear("no more connections can be accepted for now: Too many open files")
        self.hear("WATCHDOG=1")
        self.hear("WATCHDOG=1")
        # Those that wait are not turned away: they are accepted when others have gone.
        last = crowd.pop()
        for client in crowd:
            client.close()
        last.settimeout(PATIENCE_SECONDS)
        last.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self.assertIn(b" 403 ", last.recv(65_536))
        self.assertIn(b" 403 ", self.ask(place))
        self.assertEqual(0, proxy.end(), proxy.said)

        self.assertEqual(1, proxy.said.count("no more connections can be accepted"), proxy.said)
        self.assertNotIn("Traceback", proxy.said)
        assert self.notices is not None
        self.notices.close()
        (self.short / "notify").unlink()

    def test_tcp(self) -> None:
        """A TCP listener rests and recovers, whoever serves it."""
        for engine in ENGINES:
            self.exhaust(engine, "tcp:0:interface=127.0.0.1")

    def test_unix(self) -> None:
        """A unix listener rests and recovers."""
        path = self.short / "door"
        self.exhaust("auto", f"unix:{path}", path)
