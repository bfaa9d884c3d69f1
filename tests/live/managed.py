"""A proxy whose service manager is the test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.live import launcher
from tests.live.test_start import PATIENCE_SECONDS, TWISTD, ProcessCase, Proxy


class Managed(Proxy):
    """A running `twistd egress-proxy` that was started as systemd starts it.

    Args:
        arguments: of `egress-proxy`.
        environment: its whole environment, but for the path.
        sockets: what is handed over, with names.
        files: how many descriptors it may have, in all.
        before: a command that runs it.
        claimed: LISTEN_FDS; None for the number of the sockets.
    """

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        sockets: Sequence[tuple[str, socket.socket]] = (),
        files: int | None = None,
        before: Sequence[str] = (),
        claimed: int | None = None,
    ) -> None:
        named = [(name, each.fileno()) for name, each in sockets]
        wanted = {"sockets": named, "files": files, "claimed": claimed}
        twistd = [str(TWISTD), "--nodaemon", "--pidfile=", "egress-proxy", *arguments]
        self.process = subprocess.Popen(
            [*before, sys.executable, launcher.__file__, json.dumps(wanted), *twistd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ["PATH"], **environment},
            pass_fds=[each.fileno() for _, each in sockets],
        )
        self.said = ""


class ManagedCase(ProcessCase):
    """Starts managed proxies, and hears what they tell."""

    def setUp(self) -> None:
        """Make a state directory, and a short one for sockets."""
        super().setUp()
        self.short = Path(tempfile.mkdtemp(prefix="egress-"))
        self.addCleanup(shutil.rmtree, self.short)
        self.told: list[str] = []
        self.notices: socket.socket | None = None

    def manage(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        sockets: Sequence[tuple[str, socket.socket]] = (),
        files: int | None = None,
        before: Sequence[str] = (),
        claimed: int | None = None,
    ) -> Managed:
        """Start a proxy, which is killed at the test's end if it still runs."""
        whole = {"EGRESS_STATE": str(self.state), **(environment or {})}
        proxy = Managed(*arguments, environment=whole, sockets=sockets, files=files, before=before, claimed=claimed)

        def kill() -> None:
            if proxy.process.poll() is None:
                proxy.process.kill()
            proxy.process.communicate()

        self.addCleanup(kill)
        return proxy

    def listen_for_notices(self, *, is_abstract: bool = False) -> str:
        """Open the manager's socket.

        Returns:
            What NOTIFY_SOCKET is to be.
        """
        name = str(self.short / "notify")
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notices.close)
        self.notices.settimeout(PATIENCE_SECONDS)
        self.notices.bind(f"\0{name}" if is_abstract else name)
        return f"@{name}" if is_abstract else name

    def hear(self, beginning: str) -> str:
        """Wait for the next message that begins like this."""
        assert self.notices is not None
        while True:
            message = self.notices.recv(4096).decode("utf-8")
            self.told.append(message)
            if message.startswith(beginning):
                return message

    def entrance(self, host: str = "127.0.0.1") -> socket.socket:
        """Make a TCP socket that listens on any free port."""
        made = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.addCleanup(made.close)
        return made

    def gate(self, mode: int = 0o660) -> tuple[socket.socket, Path]:
        """Make a unix socket that listens."""
        path = self.short / "gate"
        made = socket.socket(socket.AF_UNIX)
        self.addCleanup(made.close)
        made.bind(str(path))
        path.chmod(mode)
        made.listen()
        return made, path

    def ask(self, address: int | Path, target: str = "http://example.com/") -> bytes:
        """Send a plain request to a port or a unix socket.

        Returns:
            The first line of the answer.
        """
        if isinstance(address, Path):
            client = socket.socket(socket.AF_UNIX)
            place: object = str(address)
        else:
            client = socket.socket()
            place = ("127.0.0.1", address)
        with client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(place)  # type: ignore[arg-type]  # a path or a pair, as the family wants it
            host = target.partition("://")[2].partition("/")[0]
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := client.recv(65_536):
                answer += piece
        return answer
