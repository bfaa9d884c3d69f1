"""Servers of the soak, with a thread for each connection."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable

from tests.live.soak.streams import Stream

_BACKLOG = 1024
# A destination of its own for each tunnel: the address holds the serial number of the tunnel.
_FIRST_ADDRESS = (127 << 24) | (16 << 16)


def address_of(serial: int) -> str:
    """Return the loopback address that stands for a serial number."""
    return socket.inet_ntoa((_FIRST_ADDRESS + serial).to_bytes(4, "big"))


def serial_of(address: str) -> int:
    """Return the serial number that an address stands for; a negative number or 0 for any other address."""
    try:
        return int.from_bytes(socket.inet_aton(address), "big") - _FIRST_ADDRESS
    except OSError:
        return 0


def free_ports(count: int) -> int:
    """Find consecutive ports below those that the system gives to connections, which could take one meanwhile.

    Returns:
        The first of them.
    """
    for base in range(20_000 + os.getpid() % 1000 * 8, 32_000, count):
        with contextlib.ExitStack() as probes:
            try:
                for port in range(base, base + count):
                    probe = probes.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return base
    raise OSError("no free ports below 32000")


class Server:
    """Listens on all of loopback, and gives each connection to a function in a thread of its own.

    Args:
        serve: serves one connection; OSError, which includes errors of TLS and time-outs, ends it.
        port: the port; 0 for any free one.
        context: where connections are TLS.

    Attributes:
        port: where it listens.
        faults: other exceptions of `serve`.
    """

    def __init__(self, serve: Callable[[Stream], None], port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.faults: list[str] = []
        self._serve = serve
        self._context = context
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._listening.bind(("0.0.0.0", port))
        self._listening.listen(_BACKLOG)
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._is_over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close the socket and all connections."""
        self._is_over = True
        # A thread in accept(2) is not woken by close(2).
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.reset_all()

    def reset_all(self) -> None:
        """Shut down all connections that are open."""
        for each in list(self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                if self._is_over:
                    return
                continue
            self._open.add(accepted)
            threading.Thread(target=self._run, args=(accepted,), daemon=True).start()

    def _run(self, accepted: socket.socket) -> None:
        try:
            with Stream(accepted) as stream:
                if self._context is not None:
                    stream.secure(self._context, is_server=True)
                self._serve(stream)
        except OSError:
            return
        except Exception as error:
            if not self._is_over:
                self.faults.append(f"a server failed: {error!r}")
        finally:
            self._open.discard(accepted)
