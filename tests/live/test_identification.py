"""Authentication by real programs: credentials, TLS with the proxy, certificates, unix sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

from tests.live.certificates import CertificateAuthority
from tests.live.origins import HELLO
from tests.live.support import CONFIGURATION, LiveCase, Supervisor, await_that, needs

SECRET = "callers-secret-7391-callers-secret"
NAME = "agent-7"

LISTENERS = """
[[listener]]
name = "agents"
endpoint = "tcp:0:interface=127.0.0.1"
require = "basic"
tokens = "tokens"

[[listener]]
name = "secure"
endpoint = "tcp:0:interface=127.0.0.1"
require = "basic"
tokens = "tokens"
[listener.tls]
certificate = "server.pem"

[[listener]]
name = "certified"
endpoint = "tcp:0:interface=127.0.0.1"
require = "certificate"
[listener.tls]
certificate = "server.pem"
client_ca = "authority.pem"

[[listener]]
name = "local"
endpoint = "unix:SOCKET"

[[listener]]
name = "sealed"
endpoint = "unix:SOCKET-tls"
[listener.tls]
certificate = "server.pem"
"""


class CallersCase(LiveCase):
    """A proxy with a listener of each kind."""

    secrets = (SECRET,)
    engine = "auto"

    def start_shared(self) -> None:
        """Start it, with the one token that it knows."""
        kind, directory = type(self), self.directory()
        kind.authority = CertificateAuthority(directory)
        status, line, complaint = self.egress("token", "hash", NAME, stdin=f"{SECRET}\n".encode())
        self.assertEqual(0, status, complaint)
        (directory / "tokens").write_text(line, "utf-8")
        (directory / "tokens").chmod(0o600)
        listeners = LISTENERS.replace("SOCKET", str(self.socket_path()))
        _, policy = CONFIGURATION.split("[[policy]]", 1)
        kind.supervisor = Supervisor(directory, f'engine = "{self.engine}"\n{listeners}\n[[policy]]{policy}')

    def socket_path(self) -> Path:
        """Say where the unix socket is: a short name, for there is a limit to it."""
        return Path("/tmp") / f"egress-callers-{os.getpid()}-{self.engine}.sock"

    def egress(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run our own command."""
        program = Path(sys.executable).parent / "egress"
        done = self.run_client(program, *words, environment=self.environment(has_proxy=False), stdin=stdin)
        return done.returncode, done.stdout, done.stderr

    def curl(self, *words: str) -> tuple[int, str]:
        """Run curl without a proxy in its environment.

        Returns:
            Its exit status, and what it got.
        """
        trust = ("--cacert", str(self.authority.path), "--proxy-cacert", str(self.authority.path))
        command = ("curl", "--no-progress-meter", "--max-time", "20", *trust, *words)
        done = self.run_client(*command, environment=self.environment(has_proxy=False))
        return done.returncode, done.stdout


class CurlTests(CallersCase):
    """curl, on our own transports."""

    def setUp(self) -> None:
        """Look for it."""
        needs("curl", "curl is not installed")
        super().setUp()
        self.proxy = f"http://127.0.0.1:{self.supervisor.port}"
        self.secure = f"https://localhost:{self.supervisor.port_of('secure')}"
        self.certified = f"https://localhost:{self.supervisor.port_of('certified')}"

    def unserved(self, listener: str) -> set[str]:
        """Wait for refusals of what no request could be read of, and give their codes.

        Args:
            listener: where they were.
        """

        def found() -> set[str]:
            lines = self.supervisor.audit_log()
            return {each["code"] for each in lines if each.get("listener") == listener and each["server_port"] is None}

        await_that(found, self.supervisor.audit_log_text)
        return found()

    def test_basic(self) -> None:
        """Name and secret, sent at once: a page and a tunnel."""
        for is_tls in (False, True):
            origin = self.origin(is_tls=is_tls)

            got = self.curl("--proxy", self.proxy, "--proxy-user", f"{NAME}:{SECRET}", f"{origin.url}/hello")

            self.assertEqual((0, HELLO.decode()), got)
            self.assertNotIn("proxy-authorization", origin.seen[-1].fields)

    def test_bearer(self) -> None:
        """The same as a Bearer token is refused: a chosen secret needs its name."""
        origin = self.origin()

        status, text = self.curl(
            "--proxy", self.proxy, "--proxy-header", f"Proxy-Authorization: Bearer {SECRET}", f"{origin.url}/hello"
        )

        self.assertEqual((0, "credentials_refused"), (status, json.loads(text)["code"]))

    def test_asked_first(self) -> None:
        """A client that waits for the challenge repeats its request on the same connection."""
        for is_tls in (False, True):
            origin = self.origin(is_tls=is_tls)

            status, text = self.curl(
                *("--proxy", self.proxy, "--proxy-anyauth", "--proxy-user", f"{NAME}:{SECRET}"),
                *("--write-out", "\\n%{num_connects}", f"{origin.url}/hello"),
            )

            self.assertEqual((0, f"{HELLO.decode()}\n1"), (status, text))
            self.assertEqual(["credentials_required", None], [each["code"] for each in self.lines(origin.port, 2)])

    def test_asked_first_for_an_upload(self) -> None:
        """So does one that has a body to send."""
        origin = self.origin()

        status, _ = self.curl(
            *("--proxy", self.proxy, "--proxy-anyauth", "--proxy-user", f"{NAME}:{SECRET}"),
            *("--data-binary", "x" * 1000, f"{origin.url}/echo"),
        )

        self.assertEqual(0, status)
        self.assertEqual(1, len(origin.seen))

    def test_none(self) -> None:
        """Without credentials there is an answer that says what is missing."""
        status, text = self.curl("--proxy", self.proxy, "http://localhost:9/")

        self.assertEqual((0, "credentials_required"), (status, json.loads(text)["code"]))

    def test_tls(self) -> None:
        """The same inside TLS with the proxy: a page, and a tunnel with TLS of its own."""
        for is_tls in (False, True):
            origin = self.origin(is_tls=is_tls)

            got = self.curl("--proxy", self.secure, "--proxy-user", f"{NAME}:{SECRET}", f"{origin.url}/hello")

            self.assertEqual((0, HELLO.decode()), got)
            # curl closes its tunnel without awaiting the origin's close_notify, which may then meet a closed socket.
            causes = {"complete", "client_reset"} if is_tls else {"complete"}
            (served,) = self.lines(origin.port, 1)
            self.assertIn(served["cause"], causes)

    def test_tls12(self) -> None:
        """TLS 1.2 is spoken as well."""
        origin = self.origin(is_tls=True)

        got = self.curl(
            *("--proxy", self.secure, "--tls-max", "1.2", "--proxy-user", f"{NAME}:{SECRET}", f"{origin.url}/hello"),
        )

        self.assertEqual((0, HELLO.decode()), got)

    def test_large_answers_in_tls(self) -> None:
        """Many bytes pass whole."""
        for is_tls in (False, True):
            origin = self.origin(is_tls=is_tls)

            status, text = self.curl(
                *("--proxy", self.secure, "--proxy-user", f"{NAME}:{SECRET}", "--output", "/dev/null"),
                *("--write-out", "%{size_download}", f"{origin.url}/download/20000000"),
            )

            self.assertEqual((0, "20000000"), (status, text))

    def test_certificate(self) -> None:
        """A client certificate is enough where one is required; without it there is no connection."""
        origin = self.origin(is_tls=True)

        shown = self.curl("--proxy", self.certified, "--proxy-cert", str(self.authority.client), f"{origin.url}/hello")
        hidden, _ = self.curl("--proxy", self.certified, f"{origin.url}/hello")

        self.assertEqual((0, HELLO.decode()), shown)
        self.assertNotEqual(0, hidden)
        (served,) = self.lines(origin.port, 1)
        self.assertIn("certificate:a%20client", served["client_labels"])
        self.assertEqual({"certificate_required"}, self.unserved("certified"))

    def test_plain_http_to_tls(self) -> None:
        """Plain HTTP to a listener with TLS ends at once, and is on the record."""
        status, _ = self.curl(
            "--proxy", self.secure.replace("https://localhost", "http://127.0.0.1"), "http://localhost/"
        )

        self.assertNotEqual(0, status)
        self.assertEqual({"tls_failed"}, self.unserved("secure"))

    def test_unix(self) -> None:
        """On a unix socket the kernel says who it is, inside TLS too."""
        for is_tls in (False, True):
            origin = self.origin()
            path = str(self.socket_path()) + ("-tls" if is_tls else "")
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(20)
                raw.connect(path)
                client = self.authority.for_client().wrap_socket(raw, server_hostname="localhost") if is_tls else raw
                with client:
                    client.sendall(f"GET {origin.url}/hello HTTP/1.0\r\n\r\n".encode())
                    received = b""
                    while piece := client.recv(65_536):
                        received += piece

            self.assertTrue(received.endswith(HELLO))
            (line,) = self.lines(origin.port, 1)
            self.assertLessEqual({f"uid:{os.getuid()}", f"gid:{os.getgid()}"}, set(line["client_labels"]))


class TwistedCurlTests(CurlTests):
    """The same on Twisted's transports."""

    engine = "twisted"


class HalfCloseTests(CallersCase):
    """What TLS does with ends that come one at a time."""

    def test_origin_ends_first(self) -> None:
        """In TLS 1.3 the client hears of the destination's end at once, and what it still says arrives."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            context = ssl.create_default_context(cafile=str(self.authority.path))
            raw = socket.create_connection(("127.0.0.1", self.supervisor.port_of("certified")), timeout=20)
            context.load_cert_chain(self.authority.client)
            with context.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                self.assertTrue(client.recv(1000).startswith(b"HTTP/1.1 200 "))
                listening.settimeout(20)
                origin, _ = listening.accept()
                with origin:
                    origin.settimeout(20)
                    origin.sendall(b"all I have")
                    origin.shutdown(socket.SHUT_WR)
                    received = b""
                    while len(received) < 10:
                        received += client.recv(100)
                    self.assertEqual(b"", client.recv(100))
                    client.sendall(b"but I have more")
                    self.assertEqual(b"but I have more", origin.recv(100))
                    self.assertEqual(b"all I have", received)


class ReloadTests(CallersCase):
    """Certificates and authorities change while the proxy runs."""

    engine = "twisted"

    def test_new_authority(self) -> None:
        """A connection that was accepted by the certificate of another authority serves no further request."""
        trusting = self.authority.for_client()
        trusting.load_cert_chain(self.authority.client)
        address = ("127.0.0.1", self.supervisor.port_of("certified"))
        connection = socket.create_connection(address, timeout=30)
        self.addCleanup(connection.close)
        client = trusting.wrap_socket(connection, server_hostname="localhost")
        self.addCleanup(client.close)
        client.sendall(b"GET http://nowhere.example/ HTTP/1.1\r\nHost: nowhere.example\r\n\r\n")
        self.assertTrue(client.recv(65_536).startswith(b"HTTP/1.1 403 "))
        other = Path(self.mktemp()).resolve()
        other.mkdir()

        accepted = self.supervisor.configuration.parent / "authority.pem"
        accepted.write_bytes(CertificateAuthority(other).path.read_bytes())
        self.supervisor.process.send_signal(signal.SIGHUP)

        self.assertEqual(b"", client.recv(65_536))

    def test_new_certificate(self) -> None:
        """A reload shows the new one to those who connect from then on; what cannot be used changes nothing."""
        address = ("127.0.0.1", self.supervisor.port_of("secure"))
        first = ssl.get_server_certificate(address)
        shown = self.supervisor.configuration.parent / "server.pem"

        shown.write_text("nonsense", "ascii")
        self.supervisor.process.send_signal(signal.SIGHUP)
        await_that(lambda: "listener[1].tls.certificate" in self.supervisor.said(), self.supervisor.said)
        self.assertEqual(first, ssl.get_server_certificate(address))
        shown.write_bytes(CertificateAuthority(self.directory()).chain.read_bytes())
        self.supervisor.process.send_signal(signal.SIGHUP)

        await_that(lambda: ssl.get_server_certificate(address) != first, self.supervisor.said)
