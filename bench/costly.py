"""Clients and origins that send octets which are costly to decode, for `crowd.py`.

    python costly.py KIND COUNT PROXY BASE

PROXY is HOST:PORT, BASE the first of the origin's ports.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

KINDS = {
    "bulk downloads": "read bodies of 64 KiB chunks",
    "small downloads": "read bodies of chunks of one octet",
    "small uploads": "send bodies of chunks of one octet",
    "mixed uploads": "send bodies of chunks of one to three octets",
    "refused uploads": "send such bodies without credentials",
    "long paths": "send paths of 16 KiB of escapes",
    "many options": "send 60 KB of Connection options",
    "pipelines": "send requests that are refused, as fast as they can",
    "small records": "send TLS records of one octet",
}

_SMALL = b"1\r\nx\r\n" * 10_000
_MIXED = b"1\r\nx\r\n2\r\nxx\r\n3\r\nxxx\r\n" * 3_000
_BULK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


def make_certificate(directory: Path) -> Path:
    """Make a certificate with its key, in one file."""
    path = directory / "costly.pem"
    key = directory / "costly.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(path), "-days", "1", "-subj", "/CN=bench"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    path.chmod(0o600)
    return path


def endless(port: int, body: bytes) -> int:
    """Listen for requests, and answer each with chunks without end.

    Returns:
        The port.
    """
    listening = socket.create_server(("127.0.0.1", port), backlog=256)

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(body)
        except OSError:
            pass

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return port


class Costly:
    """The misbehaving clients of one kind.

    Args:
        proxy: host and port of the listener.
        origin: port of an origin that is allowed.
    """

    def __init__(self, proxy: tuple[str, int], origin: int) -> None:
        self.proxy = proxy
        self.origin = origin

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(self.proxy, 60)

    def download(self, count: int, port: int) -> None:
        """Read the endless answers of an origin."""
        polled = selectors.DefaultSelector()
        for _ in range(count):
            client = self.connect()
            client.sendall(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: a\r\n\r\n" % port)
            client.setblocking(False)
            polled.register(client, selectors.EVENT_READ)
        print(count, flush=True)
        while True:
            for key, _ in polled.select(1.0):
                key.fileobj.recv(1 << 18)  # type: ignore[union-attr]

    def send(self, count: int, data: bytes, *, head: bytes = b"") -> None:
        """Send without end, from each client, and read what comes. Who is cut off comes again."""

        def drain(client: socket.socket) -> None:
            try:
                while client.recv(1 << 16):
                    pass
            except OSError:
                pass

        def one() -> None:
            while True:
                client = self.connect()
                threading.Thread(target=drain, args=(client,), daemon=True).start()
                try:
                    client.sendall(head)
                    while True:
                        client.sendall(data)
                except OSError:
                    client.close()

        for _ in range(count):
            threading.Thread(target=one, daemon=True).start()
        print(count, flush=True)
        threading.Event().wait()

    def records(self, count: int) -> None:
        """Send records of one octet in TLS. Each connection sends what was encrypted before, and is opened anew."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def prepare() -> tuple[socket.socket, bytes]:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing)
            client = self.connect()
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65_536))
            tls.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: a\r\n\r\n" % self.origin)
            client.sendall(outgoing.read())
            client.recv(4096)
            for _ in range(40_000):
                tls.write(b"x")
            return client, outgoing.read()

        def one(client: socket.socket, data: bytes) -> None:
            with contextlib.suppress(OSError):
                client.sendall(data)

        made = [prepare() for _ in range(count)]
        print(count, flush=True)
        time.sleep(0.5)
        for each in made:
            threading.Thread(target=one, args=each, daemon=True).start()
        threading.Event().wait()


def _main(kind: str, count: int, proxy: str, base: int) -> None:
    host, port = proxy.split(":")
    clients = Costly((host, int(port)), base + 3)
    upload = b"POST http://127.0.0.1:%d/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % (base + 3)
    get = b"GET http://127.0.0.1:%d/" % base
    if kind == "bulk downloads":
        clients.download(count, endless(base + 6, _BULK))
    elif kind == "small downloads":
        clients.download(count, endless(base + 6, _SMALL))
    elif kind in ("small uploads", "refused uploads"):
        clients.send(count, _SMALL, head=upload)
    elif kind == "mixed uploads":
        clients.send(count, _MIXED, head=upload)
    elif kind == "long paths":
        clients.send(count, get + b"%41" * 5400 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    elif kind == "many options":
        clients.send(count, get + b" HTTP/1.1\r\nHost: a\r\nConnection: " + b"a," * 30_000 + b"b\r\n\r\n")
    elif kind == "pipelines":
        clients.send(count, b"GET http://refused.example/ HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
    else:
        clients.records(count)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
