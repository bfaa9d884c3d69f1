"""Python's libraries as clients: requests, urllib3, httpx and aiohttp."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from unittest.mock import patch
from urllib.parse import urlsplit

import aiohttp
import httpx
import requests
import urllib3

from tests.live.origins import HELLO, Origin, digest, pattern
from tests.live.support import BASIC, COOKIE, FIELDS, PATIENCE_SECONDS, QUERY, REFUSED, TOKEN, LiveCase, with_user

UPLOAD_SIZE = 300_000
REQUEST_FORMS = ((False, "http"), (True, "connect"))
EXPECTED = {"sha256": digest(pattern(UPLOAD_SIZE)), "size": UPLOAD_SIZE}


class LibraryCase(LiveCase):
    """Libraries that read the environment do so in this process."""

    def setUp(self) -> None:
        """Give the process the environment of a sandbox."""
        super().setUp()
        trust = str(self.authority.path)
        environment = self.environment({"REQUESTS_CA_BUNDLE": trust, "SSL_CERT_FILE": trust})
        patched = patch.dict(os.environ, environment, clear=True)
        patched.start()
        self.addCleanup(patched.stop)

    def assert_pages(self, get: Callable[[str], bytes]) -> None:
        """A page by plain HTTP and by HTTPS, with all that the client sent."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                self.assertEqual(HELLO, get(f"{origin.url}/hello?{QUERY}"))

                self.assert_got_in_full(origin)
                self.assert_passed(origin.port, supervisor)

    def assert_got_in_full(self, origin: Origin) -> None:
        """The origin got what is on no record."""
        (seen,) = origin.seen
        self.assertEqual(f"/hello?{QUERY}", seen.target)
        self.assertEqual(f"Bearer {TOKEN}", seen.fields["authorization"])
        self.assertIn(COOKIE, seen.fields["cookie"])

    def assert_uploads(self, post: Callable[[str], object]) -> None:
        """Content without a known length arrives whole."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                self.assertEqual(EXPECTED, post(f"{origin.url}/upload"))

                self.assertEqual("chunked", origin.seen[0].fields["transfer-encoding"])
                self.assert_passed(origin.port, supervisor)


class RequestsTests(LibraryCase):
    """requests, by its environment."""

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        self.assert_pages(lambda url: requests.get(url, headers=FIELDS, timeout=PATIENCE_SECONDS).content)

    def test_uploads(self) -> None:
        """Content in chunks."""
        self.assert_uploads(lambda url: requests.post(url, data=pattern(UPLOAD_SIZE), timeout=PATIENCE_SECONDS).json())

    def test_refused(self) -> None:
        """A problem document by plain HTTP, and a ProxyError with the status for a tunnel."""
        port = self.origin().port

        response = requests.get(f"http://{REFUSED}:{port}/", timeout=PATIENCE_SECONDS)
        error = self.assertRaises(
            requests.exceptions.ProxyError, requests.get, f"https://{REFUSED}:{port}/", timeout=PATIENCE_SECONDS
        )

        self.assertEqual((403, "no_rule"), (response.status_code, response.json()["code"]))
        self.assertIn("403", str(error))
        self.assert_refused(port, "http", "connect")


class UrllibTests(LibraryCase):
    """urllib of the standard library, by its environment."""

    def test_user_information(self) -> None:
        """User information of the URL, which urllib leaves in the target, reaches the origin as credentials."""
        origin = self.origin()

        with urllib.request.urlopen(with_user(f"{origin.url}/hello"), timeout=PATIENCE_SECONDS) as response:
            self.assertEqual(HELLO, response.read())

        (seen,) = origin.seen
        self.assertEqual(("/hello", BASIC), (seen.target, seen.fields["authorization"]))
        self.assertNotIn("@", seen.fields["host"])
        self.assert_passed(origin.port, "http")


class Urllib3Tests(LibraryCase):
    """urllib3, which is told of the proxy."""

    def pool(self) -> urllib3.ProxyManager:
        """Make a client."""
        trust = str(self.authority.path)
        return urllib3.ProxyManager(self.supervisor.url, ca_certs=trust, timeout=PATIENCE_SECONDS, retries=False)

    def get(self, url: str) -> bytes:
        """Get a page."""
        with self.pool() as pool:
            return pool.request("GET", url, headers=FIELDS).data

    def post(self, url: str) -> object:
        """Send content in chunks."""
        with self.pool() as pool:
            return pool.request("POST", url, body=pattern(UPLOAD_SIZE)).json()

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        self.assert_pages(self.get)

    def test_uploads(self) -> None:
        """Content in chunks."""
        self.assert_uploads(self.post)

    def test_kept_alive(self) -> None:
        """One connection serves requests to several origins, also after HEAD and after chunks."""
        origins = [self.origin(), self.origin()]

        with self.pool() as pool:
            for origin in origins:
                self.assertEqual(200, pool.request("HEAD", f"{origin.url}/hello").status)
                self.assertEqual(b"".join(pattern(5000)), pool.request("GET", f"{origin.url}/chunked/5000").data)
                self.assertEqual(HELLO, pool.request("GET", f"{origin.url}/hello").data)

        connections = set()
        for origin in origins:
            connections |= {line["connection_id"] for line in self.assert_passed(origin.port, *["http"] * 3)}
        self.assertEqual(1, len(connections))

    def test_refused(self) -> None:
        """A problem document by plain HTTP, and a ProxyError with the status for a tunnel."""
        port = self.origin().port

        response = self.pool().request("GET", f"http://{REFUSED}:{port}/")
        error = self.assertRaises(
            urllib3.exceptions.ProxyError, self.pool().request, "GET", f"https://{REFUSED}:{port}/"
        )

        self.assertEqual((403, "no_rule"), (response.status, response.json()["code"]))
        self.assertIn("403", str(error))
        self.assert_refused(port, "http", "connect")


class HttpxTests(LibraryCase):
    """httpx, by its environment."""

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        self.assert_pages(lambda url: httpx.get(url, headers=FIELDS, timeout=PATIENCE_SECONDS).content)

    def test_uploads(self) -> None:
        """Content in chunks."""
        self.assert_uploads(lambda url: httpx.post(url, content=pattern(UPLOAD_SIZE), timeout=PATIENCE_SECONDS).json())

    def test_upload_is_not_gathered(self) -> None:
        """Each piece of a request's content is at the origin before the client makes the next one."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                def pieces(origin: Origin = origin) -> Iterator[bytes]:
                    yield b"first"
                    for piece in (b"second", b"third"):
                        assert origin.heard.acquire(timeout=PATIENCE_SECONDS), "the piece before did not arrive"
                        yield piece

                answer = httpx.post(f"{origin.url}/upload", content=pieces(), timeout=PATIENCE_SECONDS)

                self.assertEqual(len(b"firstsecondthird"), answer.json()["size"])
                self.assert_passed(origin.port, supervisor)

    def test_refused(self) -> None:
        """A problem document by plain HTTP, and a ProxyError with the status for a tunnel."""
        port = self.origin().port

        response = httpx.get(f"http://{REFUSED}:{port}/")
        error = self.assertRaises(httpx.ProxyError, httpx.get, f"https://{REFUSED}:{port}/")

        self.assertEqual((403, "no_rule"), (response.status_code, response.json()["code"]))
        self.assertIn("403", str(error))
        self.assert_refused(port, "http", "connect")


class AiohttpTests(LibraryCase):
    """aiohttp with `trust_env`."""

    def within(self, url: str, what: Callable[[aiohttp.ClientSession], Awaitable[bytes]]) -> bytes:
        """Do something with a session, in a loop of its own."""
        port = urlsplit(url).port
        assert port is not None

        async def main() -> bytes:
            connector = aiohttp.TCPConnector(ssl=self.authority.for_client())
            patience = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
            async with aiohttp.ClientSession(connector=connector, trust_env=True, timeout=patience) as session:
                content = await what(session)
            # TLS connections close some time after their session did, and only while the loop runs.
            await asyncio.to_thread(self.lines, port)
            return content

        return asyncio.run(main())

    def get(self, url: str) -> bytes:
        """Get a page."""

        async def get(session: aiohttp.ClientSession) -> bytes:
            async with session.get(url, headers=FIELDS) as response:
                return await response.read()

        return self.within(url, get)

    def post(self, url: str) -> bytes:
        """Send content in chunks."""

        async def pieces() -> AsyncIterator[bytes]:
            for piece in pattern(UPLOAD_SIZE):
                yield piece

        async def post(session: aiohttp.ClientSession) -> bytes:
            async with session.post(url, data=pieces()) as response:
                return await response.read()

        return self.within(url, post)

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        self.assert_pages(self.get)

    def test_uploads(self) -> None:
        """Content in chunks."""
        self.assert_uploads(lambda url: json.loads(self.post(url)))

    def test_refused(self) -> None:
        """A problem document by plain HTTP, and an error with the status for a tunnel."""
        port = self.origin().port

        text = self.get(f"http://{REFUSED}:{port}/")
        error = self.assertRaises(aiohttp.ClientHttpProxyError, self.get, f"https://{REFUSED}:{port}/")

        self.assertEqual("no_rule", json.loads(text)["code"])
        self.assertEqual(403, error.status)
        self.assert_refused(port, "http", "connect")
