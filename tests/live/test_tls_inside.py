"""Protocols inside tunnels: HTTP/2, gRPC, and TLS with another server name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.live.http2_origin import Http2Origin
from tests.live.origins import digest, pattern
from tests.live.support import COOKIE, FIELDS, PATIENCE_SECONDS, QUERY, REFUSED, TOKEN, LiveCase, needs

ROOT = Path(__file__).resolve().parents[2]
UPLOAD_SIZE = 1_000_000


class Http2Tests(LiveCase):
    """HTTP/2 inside CONNECT, agreed upon by ALPN."""

    def setUp(self) -> None:
        """Start an origin that speaks nothing else."""
        super().setUp()
        with self.there():
            self.origin2 = Http2Origin(self.authority.for_server("h2"), self.place)
        self.addCleanup(self.origin2.stop)

    def assert_came(self, came: dict[str, Any]) -> None:
        """The origin got all of it."""
        fields = came["fields"]
        self.assertEqual(f"/upload?{QUERY}", fields[":path"])
        self.assertEqual(f"Bearer {TOKEN}", fields["authorization"])
        self.assertIn(COOKIE, fields["cookie"])
        self.assertEqual((digest(pattern(UPLOAD_SIZE)), UPLOAD_SIZE), (came["sha256"], came["size"]))

    def test_curl(self) -> None:
        """curl --http2."""
        needs("curl", "curl is not installed")
        needs(lambda: "HTTP2" in self.run_client("curl", "--version").stdout, "curl is built without HTTP/2")
        fields = [word for name, value in FIELDS.items() for word in ("--header", f"{name}: {value}")]
        trust = ("--cacert", str(self.authority.path))

        done = self.run_client(
            *("curl", "--no-progress-meter", "--http2", *trust, *fields, "--data-binary", "@-"),
            *("--write-out", "%{stderr}%{http_version} %{num_connects}", f"{self.origin2.url}/upload?{QUERY}"),
            stdin=b"".join(pattern(UPLOAD_SIZE)),
        )

        self.assertEqual((0, "2 1"), (done.returncode, done.stderr))
        self.assert_came(json.loads(done.stdout))
        (line,) = self.assert_passed(self.origin2.port, "connect")
        self.assertEqual(self.place.host, line["tls_client_server_name"])

    def test_httpx(self) -> None:
        """httpx with http2=True; several requests share one tunnel."""
        with httpx.Client(
            http2=True, verify=self.authority.for_client(), proxy=self.supervisor.url, timeout=PATIENCE_SECONDS
        ) as client:
            for _ in range(3):
                response = client.post(
                    f"{self.origin2.url}/upload?{QUERY}", headers=FIELDS, content=b"".join(pattern(UPLOAD_SIZE))
                )
                self.assertEqual("HTTP/2", response.http_version)
                self.assert_came(response.json())

        (line,) = self.assert_passed(self.origin2.port, "connect")
        self.assertGreater(line["client_bytes"], 3 * UPLOAD_SIZE)


class GrpcTests(LiveCase):
    """gRPC's own client, which opens a tunnel if its environment names a proxy."""

    def talk(self, host: str) -> tuple[int, dict[str, Any]]:
        """Run server and client.

        Returns:
            The server's port and what came of the calls.
        """
        words = ("-m", "tests.live.grpc_dialogue", self.authority.chain, self.authority.path, host)
        done = self.run_client(sys.executable, *words, cwd=ROOT)
        self.assertEqual(0, done.returncode, done.stderr)
        port, came = done.stdout.splitlines()
        return int(port), json.loads(came)

    def test_calls(self) -> None:
        """One answer; and a stream of them, each of which arrives before the next is sent."""
        port, came = self.talk("localhost")

        self.assertEqual({"echo": "cba", "count": ["n 0", "n 1", "n 2"]}, came)
        (line,) = self.assert_passed(port, "connect")
        self.assertEqual("localhost", line["tls_client_server_name"])

    def test_refused(self) -> None:
        """The call fails at once, as UNAVAILABLE."""
        port, came = self.talk(REFUSED)

        self.assertEqual("UNAVAILABLE", came["error"])
        self.assertIn("403", came["details"])
        # How often it tries is its own affair.
        lines = self.lines(port)
        self.assertEqual(
            {("deny", REFUSED, 403)},
            {(each["verdict"], each["server_address"], each["http_response_status_code"]) for each in lines},
        )


class ServerNameTests(LiveCase):
    """The name in a ClientHello is the host that was judged, or the tunnel is reset."""

    def setUp(self) -> None:
        """Look for curl."""
        needs("curl", "curl is not installed")
        super().setUp()

    def get(self, url: str, *words: str) -> int:
        """Get a page with curl.

        Returns:
            curl's exit status.
        """
        done = self.run_client("curl", "--no-progress-meter", "--cacert", self.authority.path, *words, url)
        return done.returncode

    def test_other_name(self) -> None:
        """A tunnel to one host cannot be used for another one behind the same address."""
        origin = self.origin(is_tls=True)
        way = f"other.example:443:localhost:{origin.port}"

        status = self.get("https://other.example/", "--connect-to", way)

        # 35: the handshake failed; 56: the connection was reset.
        self.assertIn(status, (35, 56))
        (line,) = self.lines(origin.port, 1)
        told = (line["event"], line["server_address"], line["tls_client_server_name"], line["code"], line["cause"])
        self.assertEqual(("refused", "localhost", "other.example", "server_name_refused", "server_name"), told)
        self.assertEqual([], origin.seen)

    def test_other_name_at_an_address(self) -> None:
        """A tunnel to an address was judged by the address: any name may be inside, and is on record."""
        origin = self.origin(is_tls=True)
        way = f"other.example:443:127.0.0.1:{origin.port}"

        status = self.get("https://other.example/", "--connect-to", way)

        self.assertEqual(0, status)
        (line,) = self.assert_passed(origin.port, "connect", host="127.0.0.1")
        self.assertEqual("other.example", line["tls_client_server_name"])

    def test_no_name(self) -> None:
        """TLS to an address has no server name, and the record says so."""
        origin = self.origin(is_tls=True)

        status = self.get(f"https://127.0.0.1:{origin.port}/")

        self.assertEqual(0, status)
        (line,) = self.assert_passed(origin.port, "connect", host="127.0.0.1")
        self.assertEqual("", line["tls_client_server_name"])

    def test_spelling(self) -> None:
        """A host is the same in capitals and with a dot at its end."""
        origin = self.origin(is_tls=True)

        for host in ("LOCALHOST", "localhost."):
            self.assertEqual(0, self.get(f"https://{host}:{origin.port}/"))

        self.assert_passed(origin.port, "connect", "connect")
