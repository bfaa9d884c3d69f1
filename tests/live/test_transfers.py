"""Large transfers: every octet arrives in order, and the supervisor does not buffer the content."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx

from tests.live.origins import digest, pattern
from tests.live.support import PATIENCE_SECONDS, LiveCase, needs

SIZE = 200_000_000
PIECE = 1 << 18
REQUEST_FORMS = ((False, "http"), (True, "connect"))


class TransferTests(LiveCase):
    """200 MB each way, with curl."""

    size: ClassVar[int] = SIZE

    def setUp(self) -> None:
        """Look for curl."""
        needs("curl", "curl is not installed")
        super().setUp()
        self.before = self.supervisor.peak_bytes()
        self.words = ["curl", "--no-progress-meter", "--max-time", "120", "--cacert", str(self.authority.path)]
        self.expected = digest(pattern(self.size))

    def assert_room(self) -> None:
        """Not half of what one transfer would take if it were gathered was ever in memory."""
        self.assertLess(self.supervisor.peak_bytes() - self.before, self.size // 2)

    def pieces(self, curl: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Read what curl gets."""
        assert curl.stdout is not None
        while piece := curl.stdout.read(PIECE):
            yield piece

    def assert_download(self, page: str, *, is_tls: bool, supervisor: str) -> None:
        """Get a page and compare its hash."""
        origin = self.origin(is_tls=is_tls)
        words = [*self.words, f"{origin.url}/{page}/{self.size}"]

        with subprocess.Popen(words, env=self.environment(), stdout=subprocess.PIPE) as curl:
            self.addCleanup(curl.kill)
            self.assertEqual(self.expected, digest(self.pieces(curl)))

        self.assertEqual(0, curl.returncode)
        (line,) = self.assert_passed(origin.port, supervisor)
        if is_tls:
            self.assertGreater(line["server_bytes"], self.size)
        else:
            self.assertEqual((0, self.size), (line["client_bytes"], line["server_bytes"]))
        self.assert_room()

    def test_download(self) -> None:
        """A page of known length."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                self.assert_download("download", is_tls=is_tls, supervisor=supervisor)

    def test_download_in_chunks(self) -> None:
        """A page in chunks, which are read and written anew."""
        self.assert_download("chunked", is_tls=False, supervisor="http")

    def assert_upload(self, source: Path | None, *, is_tls: bool, supervisor: str) -> None:
        """Send a file by its length, or standard input in chunks, and compare the hash."""
        origin = self.origin(is_tls=is_tls)
        words = [*self.words, "--upload-file", "-" if source is None else str(source), f"{origin.url}/upload"]

        with subprocess.Popen(words, env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
            self.addCleanup(curl.kill)
            assert curl.stdin is not None and curl.stdout is not None
            for piece in pattern(self.size) if source is None else ():
                curl.stdin.write(piece)
            curl.stdin.close()
            answer = curl.stdout.read()

        self.assertEqual(0, curl.returncode)
        self.assertEqual({"sha256": self.expected, "size": self.size}, json.loads(answer))
        (line,) = self.assert_passed(origin.port, supervisor)
        if is_tls:
            self.assertGreater(line["client_bytes"], self.size)
        else:
            self.assertEqual((self.size, len(answer)), (line["client_bytes"], line["server_bytes"]))
        self.assert_room()

    def test_upload(self) -> None:
        """A file, whose length is known."""
        source = self.directory() / "source"
        with source.open("wb") as file:
            file.writelines(pattern(self.size))
        self.addCleanup(source.unlink)
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                self.assert_upload(source, is_tls=is_tls, supervisor=supervisor)

    def test_upload_in_chunks(self) -> None:
        """What comes from a pipe."""
        self.assert_upload(None, is_tls=False, supervisor="http")

    def test_slow_client(self) -> None:
        """A client that does not read holds the origin up; nothing piles up in between."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)
                url = f"{origin.url}/download/{self.size}"
                with (
                    httpx.Client(
                        verify=self.authority.for_client(), proxy=self.supervisor.url, timeout=PATIENCE_SECONDS
                    ) as client,
                    client.stream("GET", url) as slow,
                ):
                    pieces = slow.iter_raw(PIECE)
                    self.assertEqual(b"".join(pattern(PIECE)), next(pieces))
                    # While it stands still, another one is served in full.
                    self.assert_download("download", is_tls=is_tls, supervisor=supervisor)
                # It left in the middle, with data on the way to it.
                (line,) = self.lines(origin.port, 1)
                told = (line["event"], line["verdict"], line["http_response_status_code"], line["cause"])
                self.assertEqual(("end", "allow", 200, "client_reset"), told)
                self.assertLess(line["server_bytes"], self.size)
