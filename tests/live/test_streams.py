"""Streamed responses: server-sent events and WebSockets arrive without being buffered."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidProxyStatus

from tests.live.origins import Origin
from tests.live.support import FIELDS, PATIENCE_SECONDS, QUERY, REFUSED, LiveCase, needs

REQUEST_FORMS = ((False, "http"), (True, "connect"))
EVENTS = ["0", "1", "2", "3", "4", "all were heard"]
LONG = 300_000
MESSAGES = ("abc", "x" * LONG + "y", "\0\1\2")

Talk = Callable[[str], Awaitable[list[str]]]


class EventTests(LiveCase):
    """Server-sent events: the origin sends one only after the one before was acknowledged on another connection."""

    def acknowledge(self, origin: Origin) -> None:
        """Tell the origin directly, by no proxy."""
        openers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.authority.for_client()))
        with urllib.request.build_opener(*openers).open(f"{origin.url}/heard", timeout=PATIENCE_SECONDS) as response:
            response.read()

    def test_curl(self) -> None:
        """curl --no-buffer prints each event as it comes."""
        needs("curl", "curl is not installed")
        words = ["curl", "--no-progress-meter", "--no-buffer", "--max-time", "60", "--cacert", str(self.authority.path)]
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin, came = self.origin(is_tls=is_tls), []

                with subprocess.Popen(
                    [*words, f"{origin.url}/events"], env=self.environment(), stdout=subprocess.PIPE, text=True
                ) as curl:
                    self.addCleanup(curl.kill)
                    assert curl.stdout is not None
                    for line in curl.stdout:
                        if line.startswith("data: "):
                            came.append(line.removeprefix("data: ").strip())
                            self.acknowledge(origin)

                self.assertEqual(EVENTS, came)
                self.assert_passed(origin.port, supervisor)

    def test_httpx(self) -> None:
        """httpx hands each event on as it comes."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin, came = self.origin(is_tls=is_tls), []

                with (
                    httpx.Client(
                        verify=self.authority.for_client(), proxy=self.supervisor.url, timeout=PATIENCE_SECONDS
                    ) as client,
                    client.stream("GET", f"{origin.url}/events") as response,
                ):
                    for line in response.iter_lines():
                        if line.startswith("data: "):
                            came.append(line.removeprefix("data: "))
                            self.acknowledge(origin)

                self.assertEqual(EVENTS, came)
                self.assert_passed(origin.port, supervisor)


async def echo(connection: ServerConnection) -> None:
    """Send back what comes, turned round."""
    async for message in connection:
        await connection.send(message[::-1])


class WebSocketTests(LiveCase):
    """WebSockets: a tunnel by CONNECT, and for ws: also an Upgrade of a plain request.

    Client and server share a loop, which runs until the record is there: a client's connection may close late.
    """

    async def dialogue(self, talk: Talk, *, is_tls: bool, supervisor: str) -> dict[str, Any]:
        """Start a server, send it messages and compare its answers.

        Returns:
            The audit log's line.
        """
        context = self.authority.for_server() if is_tls else None
        with self.there():
            listening = socket.create_server((self.place.address, 0), family=self.place.family)
        async with serve(echo, sock=listening, ssl=context):
            port = int(listening.getsockname()[1])
            url = f"{'wss' if is_tls else 'ws'}://{self.place.host}:{port}/hello?{QUERY}"
            self.assertEqual([message[::-1] for message in MESSAGES], await talk(url))
            (line,) = await asyncio.to_thread(self.assert_passed, port, supervisor)
        self.assertGreater(line["client_bytes"], LONG)
        self.assertGreater(line["server_bytes"], LONG)
        return line

    async def talk_by_websockets(self, url: str) -> list[str]:
        """Send the messages with the library websockets."""
        context = self.authority.for_client() if url.startswith("wss:") else None
        async with connect(
            url, proxy=self.supervisor.url, ssl=context, additional_headers=FIELDS, compression=None
        ) as connection:
            answers = []
            for message in MESSAGES:
                await connection.send(message)
                answers.append(str(await asyncio.wait_for(connection.recv(), PATIENCE_SECONDS)))
            return answers

    async def talk_by_aiohttp(self, url: str) -> list[str]:
        """Send the messages with aiohttp."""
        connector = aiohttp.TCPConnector(ssl=self.authority.for_client())
        async with (
            aiohttp.ClientSession(connector=connector, proxy=self.supervisor.url, headers=FIELDS) as session,
            session.ws_connect(url) as socket,
        ):
            answers = []
            for message in MESSAGES:
                await socket.send_str(message)
                answers.append(await socket.receive_str(timeout=PATIENCE_SECONDS))
            return answers

    def test_websockets(self) -> None:
        """The library opens a tunnel for both schemes."""
        for is_tls, name in ((False, None), (True, self.place.host)):
            with self.subTest(is_tls=is_tls):
                line = asyncio.run(self.dialogue(self.talk_by_websockets, is_tls=is_tls, supervisor="connect"))

                self.assertEqual((200, name), (line["http_response_status_code"], line["tls_client_server_name"]))

    def test_aiohttp(self) -> None:
        """aiohttp sends a plain request with an absolute target for ws:, and opens a tunnel for wss:."""
        for (is_tls, supervisor), status in zip(REQUEST_FORMS, (101, 200), strict=True):
            with self.subTest(supervisor=supervisor):
                line = asyncio.run(self.dialogue(self.talk_by_aiohttp, is_tls=is_tls, supervisor=supervisor))

                self.assertEqual(status, line["http_response_status_code"])

    def test_refused(self) -> None:
        """Both libraries raise an error that has the status."""
        port = self.origin().port

        with self.assertRaises(InvalidProxyStatus) as tunnel:
            asyncio.run(self.talk_by_websockets(f"wss://{REFUSED}:{port}/"))
        with self.assertRaises(aiohttp.WSServerHandshakeError) as plain:
            asyncio.run(self.talk_by_aiohttp(f"ws://{REFUSED}:{port}/"))

        self.assertEqual(403, tunnel.exception.response.status_code)
        self.assertEqual(403, plain.exception.status)
        self.assert_refused(port, "connect", "http")
