"""Connections of the soak's clients and origins: blocking, in any number of TLS layers, both directions at once."""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
import termios
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress

STALL_SECONDS = 60.0
HEAD_BYTES = 1 << 20
_READ_BYTES = 1 << 17

Take = Callable[[bytes], object]


class TLSLayer:
    """One TLS connection inside a stream.

    Attributes:
        is_ended: whether the peer sent close_notify.
        received: octets of records that were received.
        sent: octets of records that were made.
    """

    def __init__(self, context: ssl.SSLContext, name: str | None, *, is_server: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server, server_hostname=name)
        self.is_ended = False
        self.received = self.sent = 0

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """Continue the handshake with octets of the peer.

        Returns:
            Whether the handshake is complete, and what has to be sent.
        """
        self.received += len(data)
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._made()
        return True, self._made()

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt what has come."""
        self.received += len(data)
        self._incoming.write(data)
        whole = b""
        while not self.is_ended:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            self.is_ended = not piece
            whole += piece
        return whole

    def encrypt(self, data: bytes) -> bytes:
        """Make records."""
        self._tls.write(data)
        return self._made()

    def finish(self) -> bytes:
        """Make a close_notify. The peer may go on sending."""
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            self._tls.unwrap()
        return self._made()

    def _made(self) -> bytes:
        made = self._outgoing.read()
        self.sent += len(made)
        return made


class Stream:
    """One connection. All waits end after `STALL_SECONDS` with TimeoutError.

    Args:
        connected: the connected socket.

    Attributes:
        is_ended: whether the peer has ended its direction.
        received: octets that were received since the last `mark`, without TLS of layers.
        sent: octets that were sent since then.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.settimeout(STALL_SECONDS)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_ended = False
        self.received = self.sent = 0
        self._layers: list[TLSLayer] = []
        self._marked = 0
        # Whether the outermost layer is the proxy's, whose close_notify ends a direction. In a tunnel a FIN does.
        self._has_outer = False
        self._ready = b""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # TLS and counts.

    def secure(self, context: ssl.SSLContext, name: str | None = None, *, is_server: bool = False) -> None:
        """Add a TLS layer by a handshake.

        Raises:
            ssl.SSLError: it failed.
            ConnectionError: the connection ended.
        """
        layer = TLSLayer(context, name, is_server=is_server)
        data, self._ready = self._ready, b""
        is_done, made = layer.shake(data)
        while True:
            self._send(made)
            if is_done:
                break
            if not (data := self._receive()):
                raise ConnectionError("the connection ended within a handshake")
            is_done, made = layer.shake(data)
        self._has_outer = self._has_outer or not (is_server or self._layers or self._marked)
        self._layers.append(layer)
        self._ready = layer.decrypt(b"")

    def open_tunnel(self, sent: int = 0) -> None:
        """Begin to count: what follows is a tunnel's, also the TLS layers that are added.

        Args:
            sent: octets that were sent for the tunnel before it was open.
        """
        self._marked = len(self._layers) + 1
        self.received, self.sent = len(self._ready), sent

    @property
    def tunnel_bytes(self) -> tuple[int, int]:
        """The octets that the tunnel carried: sent and received."""
        if len(self._layers) >= self._marked:
            layer = self._layers[self._marked - 1]
            return layer.sent, layer.received
        return self.sent, self.received

    # Sending.

    def send(self, data: bytes) -> None:
        """Send octets."""
        self.sent += len(data)
        self._send(data)

    def _send(self, data: bytes) -> None:
        if made := self._wrap(data):
            self.socket.sendall(made)

    def _wrap(self, data: bytes) -> bytes:
        for layer in reversed(self._layers):
            data = layer.encrypt(data) if data else b""
        return data

    def finish(self) -> None:
        """End the own direction: by close_notify where the outermost layer is TLS, else by a FIN."""
        if made := self._ends():
            self.socket.sendall(made)
        if not self._has_outer:
            self.socket.shutdown(socket.SHUT_WR)

    def _ends(self) -> bytes:
        made = b""
        for layer in reversed(self._layers):
            made = (layer.encrypt(made) if made else b"") + layer.finish()
        return made

    def await_delivery(self) -> None:
        """Wait until the peer's system has received everything that was sent, or the peer has closed."""
        poll, unacknowledged = select.poll(), array("i", [1])
        poll.register(self.socket, select.POLLRDHUP)
        while unacknowledged[0] and not poll.poll(1):
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, unacknowledged)

    def reset(self) -> None:
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Receiving.

    def receive(self) -> bytes:
        """Receive some octets.

        Returns:
            The octets; b"" at the end.

        Raises:
            ConnectionError: the connection was reset, or ended without the close_notify of a layer.
        """
        if self._ready:
            data, self._ready = self._ready, b""
            return data
        data = self._receive()
        self.received += len(data)
        return data

    def _receive(self) -> bytes:
        while not self.is_ended:
            if data := self._unwrap(self.socket.recv(_READ_BYTES)):
                return data
        return b""

    def _unwrap(self, raw: bytes) -> bytes:
        """Pass octets of the socket, or its end, through the layers."""
        is_outer_ended = not raw
        data = raw
        for number, layer in enumerate(self._layers):
            data = layer.decrypt(data)
            if not number and self._has_outer:
                if is_outer_ended and not layer.is_ended:
                    raise ConnectionError("the connection ended without a close_notify")
                is_outer_ended = layer.is_ended
        self.is_ended = is_outer_ended
        if self.is_ended and not all(layer.is_ended for layer in self._layers):
            raise ConnectionError("the tunnel ended without a close_notify")
        return data

    def duplex(self, pieces: Iterator[bytes], take: Take) -> None:
        """Send pieces and the end, and receive at the same time up to the end."""
        if self._ready:
            take(self.receive())
        waiting, is_sending = b"", True
        self.socket.setblocking(False)
        try:
            while is_sending or not self.is_ended:
                if is_sending and not waiting:
                    waiting = self._next(pieces)
                    is_sending = bool(waiting)
                    if not is_sending:
                        self.socket.settimeout(STALL_SECONDS)
                        self.finish()
                        self.socket.setblocking(False)
                        continue
                can_send, can_receive = self._poll(bool(waiting))
                if can_receive and (data := self._unwrap(self.socket.recv(_READ_BYTES))):
                    self.received += len(data)
                    take(data)
                if can_send and waiting:
                    waiting = waiting[self._send_some(waiting) :]
        finally:
            self.socket.settimeout(STALL_SECONDS)

    def _next(self, pieces: Iterator[bytes]) -> bytes:
        piece = next(pieces, b"")
        self.sent += len(piece)
        return self._wrap(piece)

    def _send_some(self, data: bytes) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    def _poll(self, is_waiting: bool) -> tuple[bool, bool]:
        poll = select.poll()
        events = (0 if self.is_ended else select.POLLIN) | (select.POLLOUT if is_waiting else 0)
        poll.register(self.socket, events)
        if not (found := poll.poll(STALL_SECONDS * 1000)):
            raise TimeoutError("nothing moved")
        told = found[0][1]
        is_broken = bool(told & (select.POLLHUP | select.POLLERR))
        return bool(told & select.POLLOUT) or is_broken, bool(told & select.POLLIN) or (is_broken and not self.is_ended)

    # HTTP.

    def read_until(self, end: bytes) -> bytes:
        """Read up to some octets, which are included; b"" if the connection ends before the first octet.

        Raises:
            ConnectionError: the connection ended before.
        """
        data = b""
        while (place := data.find(end)) < 0:
            if not (more := self.receive()):
                if data:
                    raise ConnectionError(f"the connection ended after {data[-80:]!r}")
                return b""
            data += more
            if len(data) > HEAD_BYTES:
                raise ConnectionError("the head does not end")
        place += len(end)
        self._ready = data[place:]
        return data[:place]

    def read_size(self, size: int, take: Take) -> None:
        """Read a number of octets.

        Raises:
            ConnectionError: the connection ended before.
        """
        while size:
            if not (data := self.receive()):
                raise ConnectionError(f"the connection ended {size} octets too early")
            take(data[:size])
            self._ready = data[size:] + self._ready
            size -= len(data[:size])

    def read_size_or_end(self, size: int) -> bytes:
        """Read a number of octets, or return b"" at an end before the first of them."""
        if not (data := self.receive()):
            return b""
        self._ready = data
        pieces: list[bytes] = []
        self.read_size(size, pieces.append)
        return b"".join(pieces)

    def read_chunks(self, take: Take) -> None:
        """Read a chunked body with its trailers."""
        while size := self._read_chunk_size():
            self.read_size(size, take)
            if self.read_until(b"\r\n") != b"\r\n":
                raise ConnectionError("a chunk is longer than its size")
        while self.read_until(b"\r\n") != b"\r\n":
            pass

    def _read_chunk_size(self) -> int:
        if not (line := self.read_until(b"\r\n")):
            raise ConnectionError("the connection ended between chunks")
        return int(line.partition(b";")[0], 16)

    def read_all(self, take: Take) -> None:
        """Read up to the end."""
        while data := self.receive():
            take(data)
