"""The proxy as a service: notifications, socket activation, and protection from other processes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
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


class Press:
    """Clients that take every connection they can get, say nothing, and come again when they are turned away.

    Args:
        place: where they connect: a port on 127.0.0.1, or the path of a unix socket.
        number: how many there are.
    """

    def __init__(self, place: int | Path, number: int) -> None:
        self._place = str(place) if isinstance(place, Path) else ("127.0.0.1", place)
        self._family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
        self._clients = [self._connect() for _ in range(number)]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _connect(self) -> socket.socket:
        client = socket.socket(self._family)
        client.setblocking(False)
        client.connect_ex(self._place)
        return client

    def _run(self) -> None:
        while not self._is_over.wait(0.01):
            for at, client in enumerate(self._clients):
                try:
                    if client.recv(65_536):
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                client.close()
                self._clients[at] = self._connect()

    def stop(self) -> None:
        """Let them all go."""
        if not self._is_over.is_set():
            self._is_over.set()
            self._thread.join()
            for client in self._clients:
                client.close()


class DescriptorTests(ManagedCase):
    """More clients than descriptors."""

    def crowd(self, engine: str, endpoint: str, path: Path | None = None) -> tuple[Managed, Press, str]:
        """Start a proxy with few descriptors, and more clients than it can have.

        Returns:
            The proxy, the clients, and where its status is.
        """
        file = self.write(
            f'engine = "{engine}"\n[[listener]]\nname = "a"\nendpoint = "{endpoint}"\n'
            '[status]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
        )
        manager = {"NOTIFY_SOCKET": self.listen_for_notices(), "WATCHDOG_USEC": "200000"}
        proxy = self.manage("-c", file, environment=manager, files=128)
        self.hear("READY=1")
        status = proxy.hear(r"status: (\S+): ")[1]
        press = Press(path or int(proxy.hear(r"listener a: 127\.0\.0\.1:(\d+)")[1]), 300)
        self.addCleanup(press.stop)
        proxy.hear("no more connections can be accepted for now: the descriptors that are left are reserved")
        return proxy, press, status

    def read(self, status: str, path: str) -> tuple[int, str]:
        """Ask the status listener."""
        connection = http.client.HTTPConnection(status, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("ascii")
        finally:
            connection.close()

    def control(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command that asks the proxy."""
        command = [str(EGRESS), *words, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)

    def check(self, engine: str, endpoint: str, path: Path | None = None) -> None:
        """Do what an operator does, while clients have all descriptors that they can have."""
        proxy, press, status = self.crowd(engine, endpoint, path)
        warned = r"128 descriptors \(RLIMIT_NOFILE\) permit only limits\.connections = (\d+) \(not 8192\), "
        self.assertLess(int(proxy.hear(warned)[1]), 64)
        log, rotated = self.state / "audit.jsonl", self.state / "audit.jsonl.1"

        for _ in range(10):
            self.assertEqual((200, "alive\n"), self.read(status, "/livez"))
        self.assertEqual((200, "ready\n"), self.read(status, "/readyz"))
        self.hear("WATCHDOG=1")
        reloaded = self.control("reload")
        self.assertEqual(0, reloaded.returncode, reloaded.stderr)
        self.assertIn("egress: 128 descriptors (RLIMIT_NOFILE) permit only limits.connections = ", reloaded.stderr)
        log.rename(rotated)
        proxy.process.send_signal(signal.SIGHUP)
        self.await_that(log.exists, "the audit log is opened anew")
        self.await_that(lambda: '"event":"reopen"' in rotated.read_text("ascii"), "the old file has its last line")
        proxy.hear("configuration 3 is in force")
        _, metrics = self.read(status, "/metrics")
        found = re.search(r"^process_open_fds (\d+)", metrics, re.MULTILINE)
        assert found is not None, metrics
        self.assertLess(int(float(found[1])), 110)

        press.stop()
        self.await_that(lambda: b" 403 " in self.ask(path or proxy.port()), "those who come now are served")
        self.assertEqual(0, proxy.end(), proxy.said)
        self.assertNotIn("Traceback", proxy.said)
        assert self.notices is not None
        self.notices.close()
        (self.short / "notify").unlink()

    def test_tcp(self) -> None:
        """With every descriptor of clients used, status, control, reload and rotation work, whoever serves clients."""
        for engine in ENGINES:
            self.check(engine, "tcp:0:interface=127.0.0.1")

    def test_unix(self) -> None:
        """So they do with clients on a unix socket."""
        path = self.short / "clients"
        self.check("auto", f"unix:{path}", path)

    def test_too_few(self) -> None:
        """With far too few descriptors nothing starts, and one line says why."""
        proxy = self.manage(*LOCAL, files=64)

        self.assertEqual(1, proxy.wait())
        self.assertIn("limits.connections: 64 descriptors (RLIMIT_NOFILE) permit no proxy", proxy.said)
        self.assertEqual(1, len(proxy.said.strip().splitlines()), proxy.said)
