"""Starts the measured programs, each on its core, and ends each by its process identifier."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).resolve().parent
PROXY_CORE, LOAD_CORE = "0", "1"
_WAIT_SECONDS = 30
# Each run starts at another port, and never returns a port twice.
_next_port = 20000 + os.getpid() % 500 * 16


class Session:
    """The processes of one measurement, and the directory that they write to.

    Attributes:
        directory: the directory of configurations, states and logs, which is removed with the session.
        base: the first of the origin's four ports.
    """

    def __init__(self, twistd: Path) -> None:
        self._twistd = twistd
        self._processes: list[subprocess.Popen[str]] = []
        self.directory = Path(tempfile.mkdtemp(prefix="egress-bench-"))
        self.base = free_ports(8)

    def __enter__(self) -> Session:
        try:
            subprocess.run(["make", "-s", "-C", str(HERE)], check=True)
            self.start([str(HERE / "bin" / "origin"), "-b", "0.0.0.0", "-p", str(self.base)], LOAD_CORE)
            for port in range(self.base, self.base + 4):
                _listening(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # A second Ctrl-C would leave the remaining programs running.
        kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for process in self._processes[::-1]:
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)
        for number, before in kept.items():
            signal.signal(number, before)

    def start(self, command: list[str], core: str) -> subprocess.Popen[str]:
        """Start a program on one core, in a process group of its own, so that Ctrl-C does not end it."""
        with (self.directory / "errors.log").open("a") as errors:
            process = subprocess.Popen(
                ["taskset", "-c", core, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.directory,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """End a program by SIGTERM, and then kill its process group."""
        self._processes.remove(process)
        with contextlib.suppress(ProcessLookupError):
            # A stopped process does not handle SIGTERM.
            os.killpg(process.pid, signal.SIGCONT)
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
        # The group exists as long as one of its processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, place: str) -> None:
        """End the program that `egress` or `peer` has started."""
        pid = int(place.rsplit(":", 1)[1])
        self.end(next(process for process in self._processes if process.pid == pid))

    def egress(self, name: str, text: str, *, options: Sequence[str] = ()) -> str:
        """Start egress with a configuration in which `{port}` stands for the port.

        Args:
            name: the name of its working directory.
            text: the configuration.
            options: further options of twistd.

        Returns:
            HOST:PORT:PID, in the form of bench.py.
        """
        place = self.directory / name
        place.mkdir()
        port = free_ports(1)
        path = place / "egress.toml"
        path.write_text(text.replace("{port}", str(port)))
        command = [str(self._twistd), "-n", "--pidfile=", "-l", str(place / "twistd.log"), *options]
        process = self.start([*command, "egress-proxy", "--config", str(path)], PROXY_CORE)
        try:
            _listening(port, process)
        except RuntimeError as error:
            log = place / "twistd.log"
            raise RuntimeError(f"{name}: {error}\n{log.read_text()[-800:] if log.exists() else ''}") from None
        return f"127.0.0.1:{port}:{process.pid}"

    def peer(self, name: str, core: str = PROXY_CORE) -> str | None:
        """Start another proxy.

        Returns:
            HOST:PORT:PID, in the form of bench.py; None where the proxy does not start.
        """
        options = ["--dir", str(self.directory), "--base", str(self.base), "--cpu", core]
        process = self.start([sys.executable, str(HERE / "peers.py"), name, str(free_ports(4)), *options], core)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if "=" not in line:
            print(f"{name} does not start", file=sys.stderr)
            return None
        return line.partition("=")[2]


def free_ports(count: int) -> int:
    """Find a number of consecutive free ports below the kernel's ephemeral ports."""
    global _next_port
    while _next_port < 32000:
        first, taken = _next_port, None
        for port in range(first, first + count):
            taken = port if _is_taken(port) else taken
        _next_port = first + count if taken is None else taken + 1
        if taken is None:
            return first
    raise RuntimeError("no free ports below 32000")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _listening(port: int, process: subprocess.Popen[str] | None = None) -> None:
    ends = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < ends:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port}")
