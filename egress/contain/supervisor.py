"""The supervisor of one launch: `egress serve`, with listeners that were made in the command's network namespace."""

from __future__ import annotations

import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence

START_SECONDS, STOP_SECONDS = 30.0, 15.0
LISTENER = "egress-run"
"""The name of the listeners as sockets that are handed over (sd_listen_fds(3))."""

_FIRST_DESCRIPTOR = 3


class SupervisorFailed(Exception):
    """The supervisor did not start. The text is what it said."""


class Supervisor:
    """A supervisor process that lives as long as the command.

    Args:
        options: of `egress serve`.
        listeners: listening sockets.
        state: the state directory, also of the supervisor's messages.
        environment: of the caller, whose proxy variables choose the way out.
    """

    def __init__(
        self, options: Sequence[str], listeners: Sequence[int], state: str, environment: Mapping[str, str]
    ) -> None:
        self._log = os.path.join(state, "supervisor.log")
        name = f"egress-run-{secrets.token_hex(8)}"
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(f"\0{name}")
        endpoints = [f"systemd:{LISTENER}:index={number}" for number in range(len(listeners))]
        listen = [word for endpoint in endpoints for word in ("--listen", endpoint)]
        command = [sys.executable, "-I", "-m", "egress.cli", "serve", *options, *listen]
        made = {
            **environment,
            "EGRESS_STATE": state,
            "NOTIFY_SOCKET": f"@{name}",
            "LISTEN_FDS": str(len(listeners)),
            "LISTEN_FDNAMES": ":".join([LISTENER] * len(listeners)),
        }
        self.process = os.fork()
        if self.process == 0:
            try:
                self._become(command, made, listeners)
            finally:
                os._exit(127)
        try:
            self._await(ready)
        finally:
            ready.close()

    def _become(self, command: list[str], environment: dict[str, str], listeners: Sequence[int]) -> None:
        os.setsid()  # Signals of the terminal are for the command.
        os.chdir("/")
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open("/dev/null", os.O_RDONLY)
        for descriptor, number in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, number)
        # First above all targets, so that no target is a source.
        high = [os.dup2(descriptor, 200 + number, inheritable=False) for number, descriptor in enumerate(listeners)]
        for number, descriptor in enumerate(high):
            os.dup2(descriptor, _FIRST_DESCRIPTOR + number)
        os.closerange(_FIRST_DESCRIPTOR + len(listeners), 1024)
        environment["LISTEN_PID"] = str(os.getpid())
        os.execve(command[0], command, environment)

    def _await(self, ready: socket.socket) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if select.select([ready], [], [], 0.05)[0]:
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    return
            elif os.waitpid(self.process, os.WNOHANG)[0]:
                raise SupervisorFailed(self._said())
        self.stop()
        raise SupervisorFailed(f"the supervisor was not ready after {START_SECONDS:.0f} seconds: see {self._log}")

    def _said(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return lines[-1] if lines else "the supervisor ended without a word"

    def stop(self) -> None:
        """End the supervisor; its audit log is complete afterwards."""
        os.kill(self.process, signal.SIGTERM)
        ends = time.monotonic() + STOP_SECONDS
        while time.monotonic() < ends:
            if os.waitpid(self.process, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
