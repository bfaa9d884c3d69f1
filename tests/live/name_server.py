"""Name servers on real sockets, in threads, by UDP and TCP."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from tests.upstream.dns.server import Nameserver, Zone

PORT = 53


class LiveNameServer:
    """A name server on port 53 of an address. Its sockets are in the network in which it is made.

    Attributes:
        server: gives the answers, and has what was asked.
    """

    def __init__(self, address: str, zone: Zone) -> None:
        """Serve.

        Args:
            address: a literal of IPv4.
            zone: gives the answers.
        """
        self.server = Nameserver(zone)
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind((address, PORT))
        self._streams = socket.create_server((address, PORT))
        for work in (self._serve_datagrams, self._serve_streams):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        for each in (self._datagrams, self._streams):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve_datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, source = self._datagrams.recvfrom(4096)
                if not data:
                    continue
                answer = self.server(data)
                if answer is not None:
                    self._datagrams.sendto(answer, source)

    def _serve_streams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._streams.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    connection.settimeout(5)
                    received = connection.makefile("rb")
                    (length,) = struct.unpack("!H", received.read(2))
                    answer = self.server.answer(received.read(length))
                    if answer is not None:
                        connection.sendall(struct.pack("!H", len(answer)) + answer)
