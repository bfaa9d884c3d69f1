"""One launch from the caller's side: the launcher, the supervisor, and the command's end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import termios
from collections.abc import Sequence
from typing import Any, NamedTuple

from egress.contain.launcher import FAILED, READY, send_plan
from egress.contain.plan import Plan
from egress.contain.streams import Copier, StreamRefused, check
from egress.contain.supervisor import Supervisor, SupervisorFailed

_MESSAGE_BYTES, _LISTENERS = 4096, 8
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class LaunchFailed(Exception):
    """The command was not started. The text names the control that is missing, or what the supervisor said."""


class Launch(NamedTuple):
    """What to launch.

    Attributes:
        plan: for the launcher.
        options: of `egress serve`.
        state: the directory of the launch, for its audit log.
    """

    plan: Plan
    options: Sequence[str]
    state: str


def run(launch: Launch) -> int:
    """Run a command, contained, until it ends.

    Returns:
        The exit status of the command; 128 and the signal's number where one ended it.

    Raises:
        LaunchFailed: the command was not started.
    """
    terminal = _Terminal()
    try:
        copiers = {number: Copier(number) for number in range(3) if check(number)}
    except StreamRefused as refused:
        raise LaunchFailed(str(refused)) from None
    ours, theirs = socket.socketpair()
    launcher = os.fork()
    if launcher == 0:
        ours.close()
        _become_launcher(theirs, copiers)
    theirs.close()
    for each in copiers.values():
        os.close(each.inner)
    status = _await(launcher, ours, launch)
    for number, each in copiers.items():
        if number:
            os.waitpid(each.process, 0)
    terminal.restore()
    return status


def _become_launcher(connection: socket.socket, copiers: dict[int, Copier]) -> None:
    try:
        for number, each in copiers.items():
            os.dup2(each.inner, number)
        os.set_inheritable(connection.fileno(), True)
        command = [sys.executable, "-I", "-m", "egress.contain.launcher", str(connection.fileno())]
        os.execve(command[0], command, {"PATH": "/usr/bin:/bin"})
    finally:
        os._exit(FAILED)


def _await(launcher: int, connection: socket.socket, launch: Launch) -> int:
    """Start the supervisor, let the command begin, and wait for its end."""
    supervisor = None
    try:
        send_plan(connection, launch.plan)
        message, listeners, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, _LISTENERS)
        if message != READY:
            os.waitpid(launcher, 0)
            raise LaunchFailed(message.decode("utf-8", "replace") or "the launcher ended without a word")
        supervisor = Supervisor(launch.options, listeners, launch.state, os.environ)
        for descriptor in listeners:
            os.close(descriptor)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        for number in _FORWARDED:
            signal.signal(number, lambda received, _: os.kill(launcher, received))
        connection.sendall(READY)
        _, status = os.waitpid(launcher, 0)
        return os.waitstatus_to_exitcode(status)
    except (OSError, SupervisorFailed) as error:
        connection.close()
        raise LaunchFailed(str(error)) from None
    finally:
        connection.close()
        if supervisor is not None:
            supervisor.stop()


class _Terminal:
    """The modes of the terminal of standard input, and its foreground process group, for the end of the command."""

    def __init__(self) -> None:
        self._modes: list[Any] | None
        try:
            self._modes = termios.tcgetattr(0)
            self._group = os.tcgetpgrp(0)
        except (OSError, termios.error):
            self._modes = None

    def restore(self) -> None:
        """Restore them. A background process may do so while it ignores SIGTTOU."""
        if self._modes is None:
            return
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, self._group)
            termios.tcsetattr(0, termios.TCSADRAIN, self._modes)
        except (OSError, termios.error):
            return
        finally:
            signal.signal(signal.SIGTTOU, before)
