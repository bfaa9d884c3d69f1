"""Traffic through a proxy: large, in both directions, over IPv4 and IPv6, and on reused connections."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path
from typing import ClassVar

from tests.live import test_transfers
from tests.live.origins import HELLO
from tests.live.routes.client import ask
from tests.live.routes.environment import ORIGIN, ORIGIN_6, ORIGIN_NAME, SECOND_NAME, SITE, SITE_6
from tests.live.routes.squid import PORT
from tests.live.routes.support import LISTENER, PASSWORD, RULES, USER, RouteCase, filed
from tests.live.support import PATIENCE_SECONDS, await_that

REQUEST_FORMS = ("http", "connect")
SIZE = 48_000_000
BY_ADDRESS = f"""
[[policy.allow]]
name = "by address"
hosts = ["{ORIGIN}", "{ORIGIN_6}"]
ports = ["1-65535"]
"""


class TransferTests(RouteCase, test_transfers.TransferTests):
    """Large transfers with curl, without and with a client that does not read."""

    size: ClassVar[int] = SIZE


class AddressTests(RouteCase):
    """The proxy is reached by IPv6, and asked for addresses of both families."""

    def proxies(self) -> dict[str, str]:
        """Give its other address."""
        return {"HTTPS_PROXY": f"http://{USER}:{PASSWORD}@[{SITE_6}]:{PORT}"}

    def configuration(self, directory: Path) -> str:
        """Open the addresses."""
        return LISTENER + RULES + BY_ADDRESS

    def test_addresses(self) -> None:
        """A literal stays one, in brackets where it needs them."""
        port = self.origin().port
        for host in (ORIGIN, f"[{ORIGIN_6}]", ORIGIN_NAME):
            for supervisor in REQUEST_FORMS:
                with self.subTest(host=host, supervisor=supervisor):
                    self.assertEqual(200, ask(self.supervisor.port, supervisor, f"{host}:{port}").status)
            self.squid.await_asked(f"{host}:{port}", 2)
        self.assertEqual({SITE_6}, {line["network_peer_address"] for line in self.lines(port, 6)})


class ConnectionTests(RouteCase):
    """Connections, and how they end."""

    def configuration(self, directory: Path) -> str:
        """Give another listener a file with credentials."""
        tables, type(self).words = filed(directory, "wrong")
        return LISTENER + tables + RULES

    words: ClassVar[Path]

    def dial(self, authority: str) -> tuple[socket.socket, bytes]:
        """Open a tunnel.

        Returns:
            Its socket, and what came behind the answer's head.
        """
        dialled = socket.create_connection(("127.0.0.1", self.supervisor.port), PATIENCE_SECONDS)
        self.addCleanup(dialled.close)
        dialled.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii"))
        came = b""
        while b"\r\n\r\n" not in came:
            piece = dialled.recv(65_536)
            assert piece, came
            came += piece
        head, _, rest = came.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
        return dialled, rest

    def plain_server(self) -> socket.socket:
        """Listen outside."""
        with self.there():
            listening = socket.create_server((self.place.address, 0), family=self.place.family)
        listening.settimeout(PATIENCE_SECONDS)
        self.addCleanup(listening.close)
        return listening

    def test_no_other_way(self) -> None:
        """The world of these tests is what it says: the node reaches the proxy, and no origin."""
        port = self.origin().port
        for address in (ORIGIN, ORIGIN_6):
            self.assertRaises(OSError, socket.create_connection, (address, port), PATIENCE_SECONDS)
        socket.create_connection((SITE, PORT), PATIENCE_SECONDS).close()

    def test_last_bytes_up(self) -> None:
        """All that a client sent before it closed arrives."""
        listening = self.plain_server()
        sent = bytes(range(256)) * 20_000
        client, _ = self.dial(f"{ORIGIN_NAME}:{listening.getsockname()[1]}")
        accepted, _ = listening.accept()
        accepted.settimeout(PATIENCE_SECONDS)
        came = bytearray()

        def read() -> None:
            with accepted:
                while piece := accepted.recv(65_536):
                    came.extend(piece)

        reading = threading.Thread(target=read)
        reading.start()
        client.sendall(sent)
        client.close()
        reading.join(PATIENCE_SECONDS)

        self.assertEqual(sent, bytes(came))

    def test_last_bytes_down(self) -> None:
        """So does all that the origin sent, which spoke first."""
        listening = self.plain_server()
        sent = bytes(range(256)) * 20_000
        client, came = self.dial(f"{ORIGIN_NAME}:{listening.getsockname()[1]}")
        accepted, _ = listening.accept()

        def write() -> None:
            with accepted:
                accepted.sendall(sent)

        writing = threading.Thread(target=write)
        writing.start()
        while piece := client.recv(65_536):
            came += piece
        writing.join(PATIENCE_SECONDS)

        self.assertEqual(sent, came)

    def test_plain_is_kept_alive(self) -> None:
        """One client's plain requests share one connection to the proxy, to whichever origin they go."""
        origins = [self.origin(), self.origin()]
        names = (ORIGIN_NAME, SECOND_NAME)
        connection = http.client.HTTPConnection("127.0.0.1", self.supervisor.port, timeout=PATIENCE_SECONDS)
        self.addCleanup(connection.close)
        for _ in range(3):
            for origin, name in zip(origins, names, strict=True):
                connection.request("GET", f"http://{name}:{origin.port}/")
                self.assertEqual(HELLO, connection.getresponse().read())

        asked = [
            each
            for origin, name in zip(origins, names, strict=True)
            for each in self.squid.await_asked(f"{name}:{origin.port}", 3)
        ]
        self.assertEqual(1, len({each.port for each in asked}), asked)
        self.assertEqual({USER}, {each.user for each in asked})

    def test_changed_credentials(self) -> None:
        """Credentials in a file are changed without a reload, and a new password is used at once."""
        port, listener = self.origin().port, self.supervisor.port_of("filed")
        for supervisor in REQUEST_FORMS:
            answer = ask(listener, supervisor, f"{ORIGIN_NAME}:{port}")
            self.assertEqual("proxy_auth_required", json.loads(answer.text)["code"])

        self.words.write_text(f"{USER}:{PASSWORD}", "ascii")

        await_that(lambda: ask(listener, "connect", f"{ORIGIN_NAME}:{port}").status == 200, lambda: "it is not used")
        self.assertEqual(200, ask(listener, "http", f"{ORIGIN_NAME}:{port}").status)

    def test_proxy_goes_away(self) -> None:
        """While the proxy is away, clients are told. Once it is back, no connection of before costs a request."""
        port = self.origin().port
        authority = f"{ORIGIN_NAME}:{port}"
        self.assertEqual(200, ask(self.supervisor.port, "http", authority).status)

        self.squid.suspend()
        for supervisor in REQUEST_FORMS:
            problem = ask(self.supervisor.port, supervisor, authority).problem
            self.assertEqual((502, "proxy_unreachable"), (problem["status"], problem["code"]))
            self.assertTrue(problem["may_retry"])
        self.assertEqual(200, self.again("http", authority))
        self.squid.suspend()
        self.assertEqual(200, self.again("http", authority))

    def again(self, supervisor: str, authority: str) -> int:
        """Start the proxy again, and ask.

        Returns:
            The status.
        """
        self.squid.resume()
        return ask(self.supervisor.port, supervisor, authority).status
