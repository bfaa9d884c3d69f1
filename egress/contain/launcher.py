"""The launcher: makes the namespaces, and runs the command in them.

    python -I -m egress.contain.launcher DESCRIPTOR

The descriptor is a stream socket to the process that called it. The launcher reads a plan from it, makes the
namespaces, sends the listeners, and waits for an octet before the command begins: then the supervisor serves them. The
launcher ends with the command's exit status.

    launcher (new user, network, mount, IPC, UTS and cgroup namespace)
      init (process 1 of a new process namespace; forwards signals, reaps orphans)
        command (without capabilities; under the seccomp filter)

Each dies with the one before it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NoReturn

from egress.contain import kernel, seccomp
from egress.contain.network import bring_up_loopback, make_listeners
from egress.contain.plan import Plan
from egress.contain.view import build, mount_proc

FAILED, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127

READY = b"r"
"""The first octet of the message that has the listeners. Any other message is the reason of a failure."""

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_LENGTH = struct.Struct("!I")
_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
    | kernel.CLONE_NEWPID
)


def send_plan(connection: socket.socket, plan: Plan) -> None:
    """Send a plan to a launcher."""
    octets = plan.dump()
    connection.sendall(_LENGTH.pack(len(octets)) + octets)


def _receive_plan(connection: socket.socket) -> Plan:
    head = _receive(connection, _LENGTH.size)
    return Plan.load(_receive(connection, _LENGTH.unpack(head)[0]))


def _receive(connection: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = connection.recv(size - len(octets))
        if not more:
            raise EOFError("the caller is gone")
        octets += more
    return octets


def main() -> NoReturn:
    """Launch, and end with the command's exit status."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        plan = _receive_plan(connection)
        _enter_namespaces()
        listeners = make_listeners()
        build(plan.view)
        socket.send_fds(connection, [READY], [each.fileno() for each in listeners])
        for each in listeners:
            each.close()
    except Exception as error:
        connection.sendall(f"{type(error).__name__}: {error}".encode())
        os._exit(FAILED)
    if connection.recv(1) != READY:
        os._exit(FAILED)
    init = os.fork()
    if init == 0:
        _guard(lambda: _run_init(plan, connection))
    _wait_for_init(init)


def _enter_namespaces() -> None:
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(_NAMESPACES)
    for path, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{path}", "w", encoding="ascii") as file:
            file.write(text)
    socket.sethostname("egress")
    bring_up_loopback()


def _guard(run: Callable[[], None]) -> NoReturn:
    """Run a part of a forked process, which never returns to the code of its parent."""
    try:
        run()
    except BaseException as error:
        os.write(2, f"egress run: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(FAILED)


def _wait_for_init(init: int) -> NoReturn:
    """Forward signals to the first process, and end as it ended."""
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: _forward(init, received))
    while True:
        try:
            _, status = os.waitpid(init, 0)
            break
        except ChildProcessError:
            os._exit(FAILED)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _forward(process: int, number: int) -> None:
    # From the terminal, the signal went to the whole foreground process group, the command included.
    if number in (signal.SIGINT, signal.SIGQUIT):
        return
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _run_init(plan: Plan, connection: socket.socket) -> None:
    """Be process 1: mount /proc, start the command, reap orphans, and end with the command's status."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    mount_proc()
    child = os.fork()
    if child == 0:
        _guard(lambda: _run_command(plan, connection))
    connection.close()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: _forward(child, received))
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _run_command(plan: Plan, connection: socket.socket) -> None:
    """Confine this process, and become the command."""
    connection.close()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(plan.view.directory)
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kernel.new_session_keyring()
    kernel.drop_capabilities()
    kernel.close_descriptors(3)
    seccomp.install()
    try:
        os.execvpe(plan.command[0], list(plan.command), plan.environment)
    except FileNotFoundError:
        os.write(2, f"egress run: {plan.command[0]}: not found\n".encode("utf-8", "replace"))
        os._exit(NOT_FOUND)
    except OSError as error:
        os.write(2, f"egress run: {plan.command[0]}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main()
