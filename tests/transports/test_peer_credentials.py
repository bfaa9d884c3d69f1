"""Credentials of the process at the other end of a unix socket."""

from __future__ import annotations

import os
import socket
import struct

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.peer_credentials import PeerCredentials, read_peer_credentials


@frozen
class MemorySocket:
    """A socket whose options are given by the test."""

    answer: bytes

    def getsockopt(self, _level: int, _option: int, length: int, /) -> bytes:
        """Give the answer."""
        return self.answer[:length]


class PeerCredentialsTests(SynchronousTestCase):
    """The kernel is asked, and its answer is read whole or not at all."""

    def test_both_ends(self) -> None:
        """Both ends of a socket pair belong to this process."""
        here, there = socket.socketpair()
        with here, there:
            expected = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
            self.assertEqual((expected, expected), (read_peer_credentials(here), read_peer_credentials(there)))

    def test_large_numbers(self) -> None:
        """Users and groups above 2**31 are read as they are."""
        packed = struct.pack("iII", 7, 4_294_967_294, 4_000_000_000)

        self.assertEqual(PeerCredentials(7, 4_294_967_294, 4_000_000_000), read_peer_credentials(MemorySocket(packed)))

    def test_unknown_structure(self) -> None:
        """An answer of another size is an error."""
        with self.assertRaises(OSError):
            read_peer_credentials(MemorySocket(b"\0" * 4))

    def test_unsupported(self) -> None:
        """A system without SO_PEERCRED is an error, not an attribute that is missing."""
        self.patch(socket, "SO_PEERCRED", None)

        with self.assertRaises(OSError):
            read_peer_credentials(MemorySocket(b""))

    def test_closed(self) -> None:
        """A socket that was closed is an error."""
        connection = socket.socket(socket.AF_UNIX)
        connection.close()

        with self.assertRaises(OSError):
            read_peer_credentials(connection)
