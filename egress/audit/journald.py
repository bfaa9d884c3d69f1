"""The sink of the systemd journal, by its native protocol."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from egress.audit.chain_head import ChainHead

JOURNALD = "/run/systemd/journal/socket"

# syslog(3): warning, notice, informational.
_PRIORITIES: Mapping[str, int] = MappingProxyType({"loss": 4, "refused": 5, "repeated": 5})
_INFORMATIONAL = 6


class JournaldSink:
    """Sends each line as one entry (systemd's "Native Journal Protocol").

    The socket is not connected, so that entries are received after a restart of journald.

    Args:
        path: the path of journald's socket.

    Raises:
        OSError: the socket does not exist.
    """

    name = "journald"
    batch_lines = 64
    last_line: bytes | None = None

    def __init__(self, path: str = JOURNALD) -> None:
        self.rest = b""
        self._path = path
        os.stat(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def write(self, lines: Sequence[bytes]) -> int:
        for taken, line in enumerate(lines):
            try:
                self._send(entry(line))
            except OSError:
                if not taken:
                    raise
                return taken
        return len(lines)

    def prepare(self) -> bool:
        return False

    def switch(self) -> None:
        self.rest = b""

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            # ENOBUFS may also mean that the queue of datagrams is full.
            if error.errno == errno.ENOBUFS:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            if error.errno != errno.EMSGSIZE:
                raise
            self._send_as_file(data)

    def _send_as_file(self, data: bytes) -> None:
        """Send an entry that is too long for a datagram, as the descriptor of a sealed memory file in an empty one."""
        descriptor = os.memfd_create("egress-audit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            self._socket.sendmsg([], passed, 0, self._path)
        finally:
            os.close(descriptor)


def send_head(head: ChainHead, path: str = JOURNALD) -> None:
    """Send the head of a chain as an entry of its own. Does not wait.

    Raises:
        OSError: there is no journald, or its queue is full.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
        sending.setblocking(False)
        sending.sendto(head_entry(head), path)


def head_entry(head: ChainHead) -> bytes:
    """Format the head of a chain as an entry. No value holds a line end."""
    place = head.place.encode("unicode_escape", "surrogateescape").decode("ascii")
    fields = (
        f"MESSAGE=audit log {place}: line {head.seq} of the run {head.writer} has the hash {head.hash}",
        f"SYSLOG_IDENTIFIER=egress\nPRIORITY={_INFORMATIONAL}",
        f"EGRESS_AUDIT_PLACE={place}",
        f"EGRESS_AUDIT_WRITER={head.writer}",
        f"EGRESS_AUDIT_SEQ={head.seq}",
        f"EGRESS_AUDIT_HASH={head.hash}",
    )
    return "\n".join(fields).encode("ascii") + b"\n"


def entry(line: bytes) -> bytes:
    """Format a line as an entry. The line is ASCII without line ends, so no value needs a length."""
    facts = json.loads(line)
    priority = _PRIORITIES.get(facts["event"], _INFORMATIONAL)
    fields = [b"MESSAGE=" + line, b"SYSLOG_IDENTIFIER=egress", b"PRIORITY=%d" % priority]
    # An id with a line end would begin another field.
    if (request_id := facts.get("request_id")) and request_id.isascii() and request_id.isprintable():
        fields.append(b"EGRESS_REQUEST_ID=" + request_id.encode("ascii"))
    return b"\n".join(fields) + b"\n"
