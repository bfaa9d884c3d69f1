"""A HelloRetryRequest of a real server: the second ClientHello is held to the name of the first."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import IO

from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from egress.wire.server_hello import ServerHelloReader
from tests.live.support import CONFIGURATION, PATIENCE_SECONDS, LiveCase, Supervisor, await_that, needs

OTHER = "other.example"
# Whose certificate is shown to clients that ask for the other name.
SITE = "a client"


class OpenSslOrigin:
    """A running `openssl s_server` that takes only key shares which clients do not send at first.

    Attributes:
        port: where it listens.
    """

    def __init__(self, chain: Path, other: Path, output: Path, *words: str) -> None:
        """Start it.

        Args:
            chain: key and certificate.
            other: the same, for clients that ask for the other name.
            output: the file that it writes what it says to.
            words: further options.
        """
        self._output = output
        command = ("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-groups", "P-384", "-cert", str(chain))
        names = ("-servername", OTHER, "-cert2", str(other), "-key2", str(other))
        with output.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, *names, *words], stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT
            )
        await_that(lambda: self._address() or self._process.poll() is not None, self.said)
        found = self._address()
        assert found is not None, self.said()
        self.port = int(found[1])

    def _address(self) -> re.Match[str] | None:
        return re.search(r"^ACCEPT \S+:(\d+)$", self.said(), re.MULTILINE)

    def said(self) -> str:
        """Give what it said."""
        return self._output.read_text("utf-8", "replace")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        pipe: IO[bytes] | None = self._process.stdin
        assert pipe is not None
        pipe.close()


class Client:
    """A client that can change its server name between two ClientHellos.

    Attributes:
        has_retried: the server has asked for a second ClientHello.
    """

    def __init__(self, proxy_port: int, target: str) -> None:
        """Open a tunnel."""
        self._socket = socket.create_connection(("127.0.0.1", proxy_port), PATIENCE_SECONDS)
        self._socket.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        assert head.startswith(b"HTTP/1.1 200 "), head
        self._tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
        self._tls.set_connect_state()
        self._answer = ServerHelloReader()

    @property
    def has_retried(self) -> bool:
        return self._answer.may_retry is True

    def shake_hands(self, first: str, second: str) -> tuple[str, bytes]:
        """Do the handshake, and send a line.

        Args:
            first: the name in the first ClientHello.
            second: the name from then on.

        Returns:
            The common name of the server's certificate, and the answer to the line.

        Raises:
            OSError: the connection was reset.
        """
        self._tls.set_tlsext_host_name(first.encode())
        self._do_handshake()
        self._tls.set_tlsext_host_name(second.encode())
        while not self._do_handshake():
            self._receive()
        self._tls.send(b"abc\n")
        self._flush()
        while True:
            try:
                answer = self._tls.recv(1000)
                break
            except SSL.WantReadError:
                self._receive()
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(name.value), answer

    def _do_handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return False
        self._flush()
        return True

    def _flush(self) -> None:
        try:
            while True:
                self._socket.sendall(self._tls.bio_read(65_536))
        except SSL.WantReadError:
            return

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the tunnel has ended")
        self._answer.feed(data)
        self._tls.bio_write(data)

    def close(self) -> None:
        """Close the tunnel."""
        self._socket.close()


class RetryCase(LiveCase):
    """Arranges an origin that asks for a second ClientHello."""

    def setUp(self) -> None:
        """Look for the program."""
        needs("openssl", "openssl is not installed")
        super().setUp()

    def retrying_origin(self, *words: str) -> OpenSslOrigin:
        """Start an origin that ends with the test."""
        origin = OpenSslOrigin(self.authority.chain, self.authority.client, self.directory() / "said", *words)
        self.addCleanup(origin.stop)
        return origin

    def shake_hands(self, origin: OpenSslOrigin, first: str, second: str, host: str = "localhost") -> tuple[str, bytes]:
        """Open a tunnel to the origin, do a handshake in it, and send a line.

        Returns:
            The common name of the server's certificate, and the answer.

        Raises:
            OSError: the tunnel was reset.
        """
        client = Client(self.supervisor.port, f"{host}:{origin.port}")
        try:
            answer = client.shake_hands(first, second)
        finally:
            client.close()
            self.assertTrue(client.has_retried)
        return answer


class RetryTests(RetryCase):
    """With `sni = "enforce"`."""

    def test_curl(self) -> None:
        """A client that knows nothing of the matter is served after a HelloRetryRequest."""
        needs("curl", "curl is not installed")
        origin = self.retrying_origin("-www")

        done = self.run_client(
            "curl", "--no-progress-meter", "--cacert", self.authority.path, f"https://localhost:{origin.port}/"
        )

        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("TLSv1.3", done.stdout)
        (line,) = self.assert_passed(origin.port, "connect")
        names = (line["tls_client_server_name"], line["tls_client_retry_server_name"])
        self.assertEqual(("localhost", "localhost"), names)

    def test_the_same_name(self) -> None:
        """Octets pass both ways after the second ClientHello."""
        origin = self.retrying_origin("-rev")

        self.assertEqual(("localhost", b"cba\n"), self.shake_hands(origin, "localhost", "localhost"))

        self.assert_passed(origin.port, "connect")

    def test_another_name(self) -> None:
        """A second ClientHello that names another host never reaches the origin."""
        origin = self.retrying_origin("-rev")

        self.assertRaises(OSError, self.shake_hands, origin, "localhost", OTHER)

        (line,) = self.lines(origin.port, 1)
        told = (line["event"], line["server_address"], line["code"], line["cause"])
        self.assertEqual(("refused", "localhost", "server_name_refused", "server_name"), told)
        names = (line["tls_client_server_name"], line["tls_client_retry_server_name"])
        self.assertEqual(("localhost", OTHER), names)

    def test_another_name_at_an_address(self) -> None:
        """A tunnel to an address was judged by the address: any name passes, and is on record."""
        origin = self.retrying_origin("-rev")

        self.assertEqual((SITE, b"cba\n"), self.shake_hands(origin, "localhost", OTHER, "127.0.0.1"))

        (line,) = self.assert_passed(origin.port, "connect", host="127.0.0.1")
        names = (line["tls_client_server_name"], line["tls_client_retry_server_name"])
        self.assertEqual(("localhost", OTHER), names)


class RecordedRetryTests(RetryCase):
    """With `sni = "record"`."""

    def start_shared(self) -> None:
        """Start a supervisor that compares nothing."""
        super().start_shared()
        self.supervisor.stop()
        type(self).supervisor = Supervisor(self.directory(), f'{CONFIGURATION}\n[tls]\nsni = "record"\n')

    def test_another_name(self) -> None:
        """The origin serves the second name, and the audit log has both."""
        origin = self.retrying_origin("-rev")

        self.assertEqual((SITE, b"cba\n"), self.shake_hands(origin, "localhost", OTHER))

        (line,) = self.assert_passed(origin.port, "connect")
        names = (line["tls_client_server_name"], line["tls_client_retry_server_name"])
        self.assertEqual(("localhost", OTHER), names)
