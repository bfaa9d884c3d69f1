"""Network namespaces of the tests (network_namespaces(7)), without names, which end with this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.live.support import PATIENCE_SECONDS, needs

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def _change_to(network: int) -> None:
    # os.setns is there from Python 3.12 on. It is this thread alone that changes.
    if _libc.setns(network, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


class Namespace:
    """A network, and a view of files, that lives as long as a process that does nothing.

    Raises:
        OSError: it cannot be made here.
    """

    def __init__(self) -> None:
        # What cat sends back says that unshare is done; when this process is gone, its input ends, and so does it.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._network = -1
        assert self._holder.stdin is not None and self._holder.stdout is not None and self._holder.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            self._holder.stdin.write(b".")
        if not self._holder.stdout.read(1):
            complaint = self._holder.stderr.read().decode("utf-8", "replace").strip()
            self.stop()
            raise OSError(complaint)
        try:
            self._network = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            self.ip("link set lo up")
        except OSError:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Who holds it."""
        return self._holder.pid

    def stop(self) -> None:
        """End it. What still runs in there keeps it until its own end."""
        if self._network >= 0:
            os.close(self._network)
            self._network = -1
        with self._holder:
            assert self._holder.stdin is not None
            self._holder.stdin.close()
            try:
                self._holder.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._holder.kill()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread into the network for a while: its new sockets, processes and threads are there.

        A socket stays in the network that it was made in.
        """
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _change_to(self._network)
            try:
                yield
            finally:
                _change_to(before)
        finally:
            os.close(before)

    def words(self, *more: str) -> list[str]:
        """Give the words before a command that run it in here, with this view of files.

        Args:
            more: what else nsenter is told.
        """
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *more, "--"]

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a command in here to its end.

        Raises:
            OSError: it failed.
        """
        command = [*self.words(), *words]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        if done.returncode:
            raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Run commands of ip(8)."""
        self.run("ip", "-batch", "-", stdin="".join(f"{command}\n" for command in commands))

    def link(self, other: Namespace, name: str, own: tuple[str, ...], others: tuple[str, ...]) -> None:
        """Connect this network to another one.

        Args:
            other: the other one.
            name: of both ends.
            own: addresses of the end in here, with their prefixes' lengths.
            others: those of the other end.
        """
        self.ip(f"link add {name} type veth peer name {name} netns {other.pid}")
        for space, addresses in ((self, own), (other, others)):
            # No wait for who else may have that address: nobody is there.
            added = (f"address add {each} dev {name}{' nodad' if ':' in each else ''}" for each in addresses)
            space.ip(*added, f"link set {name} up")

    def show_file(self, path: Path, place: str) -> None:
        """Have a file stand in another one's place, in here alone."""
        self.run("mount", "--bind", str(path), place)


@cache
def can_make_networks() -> bool:
    """Try it.

    Raises:
        OSError: it does not work, and why.
    """
    first, second = Namespace(), None
    try:
        second = Namespace()
        first.link(second, "probe", ("10.0.0.1/24", "fd00::1/64"), ("10.0.0.2/24", "fd00::2/64"))
        first.show_file(Path("/etc/hosts"), "/etc/hosts")
        with first.entered():
            return True
    finally:
        first.stop()
        if second is not None:
            second.stop()


def needs_networks() -> None:
    """Skip the test where no networks can be made, or fail it where nothing may be missing."""
    for program in ("unshare", "nsenter", "mount", "ip"):
        needs(program, f"{program} is not installed")
    needs(can_make_networks, "networks of our own cannot be made; it takes root, or CAP_SYS_ADMIN and CAP_NET_ADMIN")
