"""Servers in a network namespace of the tests, as an unprivileged user."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.live.routes.namespaces import Namespace
from tests.live.support import PATIENCE_SECONDS, await_that

SOMEBODY = pwd.getpwnam("nobody")


def room(uid: int = SOMEBODY.pw_uid) -> Path:
    """Make a directory that a user can reach and write, wherever the tests run."""
    path = Path(tempfile.mkdtemp(prefix="egress-"))
    # Where only some tests of a class run, nobody stops the daemon but the end of the process.
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.chown(path, uid, -1)
    path.chmod(0o755)
    return path


class Daemon:
    """A program that runs until it is stopped.

    Attributes:
        directory: its own, which goes with it.
        farewell: the signal that ends it at once.
    """

    farewell = signal.SIGTERM

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.directory = directory
        self._namespace = namespace
        self._process: subprocess.Popen[bytes] | None = None
        self._command: Sequence[str | Path] = ()
        self._places: tuple[tuple[str, int], ...] = ()

    def start(self, command: Sequence[str | Path], *places: tuple[str, int]) -> None:
        """Start it, and wait until it serves.

        Args:
            command: what is run.
            places: the addresses and ports that it will listen on.

        Raises:
            AssertionError: it does not.
        """
        self._command, self._places = command, places
        self.resume()

    def resume(self) -> None:
        """Start it again.

        Raises:
            AssertionError: it does not serve.
        """
        with self._said.open("ab") as said, self._namespace.entered():
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                user=SOMEBODY.pw_uid,
                group=SOMEBODY.pw_gid,
                extra_groups=(),
            )
        atexit.register(process.kill)
        await_that(lambda: process.poll() is not None or all(map(self._serves, self._places)), self.said)
        assert process.poll() is None, self.said()

    @property
    def _said(self) -> Path:
        return self.directory / "said"

    def _serves(self, place: tuple[str, int]) -> bool:
        address, port = place
        return bool(self._namespace.run("ss", "-Hltn", f"src {address} and sport = {port}"))

    def said(self) -> str:
        """Give what it said."""
        return self._said.read_text("utf-8", "replace")

    def suspend(self) -> None:
        """End it. Its directory stays."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(self.farewell)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            atexit.unregister(process.kill)

    def stop(self) -> None:
        """End it, and remove its directory."""
        self.suspend()
        shutil.rmtree(self.directory)
