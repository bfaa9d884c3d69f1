"""Credentials for a proxy: accepted and refused values, and secrecy."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import ClassVar, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import ConfigError
from egress.interfaces import ICredentialSource
from egress.model import Secret
from egress.upstream.credentials import (
    FILE_LIMIT_BYTES,
    BasicCredentials,
    FileCredentials,
    FixedCredentials,
    find_credentials,
)


class BasicTests(SynchronousTestCase):
    """Basic credentials (RFC 7617 section 2)."""

    def test_what_is_sent(self) -> None:
        """The example of the standard, and others."""
        rows = [
            ("Aladdin", "open sesame", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test", "123\xa3", b"Basic dGVzdDoxMjPCow=="),
            ("token", "", b"Basic dG9rZW46"),
            ("u", "a:b:c", b"Basic dTphOmI6Yw=="),
        ]
        for user, password, value in rows:
            self.assertEqual(BasicCredentials(user, Secret(password)).authorization, value)
            self.assertEqual(BasicCredentials.parse(f"{user}:{password}").authorization, value)

    def test_what_cannot_be_sent(self) -> None:
        """It is refused, in words that hold nothing of it."""
        rows = [
            ("", "hunter2"),
            ("us:er", "hunter2"),
            ("us\ner", "hunter2"),
            ("user", "hunter2\r\nX-Evil: 1"),
            ("user", "hunter2\0"),
            ("user", "hunter2\x7f"),
            ("user", "hunter2\ud800"),
        ]
        for user, password in rows:
            with self.assertRaises(ValueError) as caught:
                BasicCredentials(user, Secret(password))
            self.assertNotIn("hunter2", repr(caught.exception))

    def test_no_colon(self) -> None:
        """A user alone is not enough."""
        with self.assertRaises(ValueError) as caught:
            BasicCredentials.parse("hunter2")
        self.assertNotIn("hunter2", repr(caught.exception))

    @given(st.text(min_size=1), st.text())
    def test_nobody_sees_them(self, user: str, password: str) -> None:
        """Whatever they are: not in any spelling, and what is sent is exactly they, in one line."""
        user, password = f"USER-{user}-RESU", f"PASS-{password}-SSAP"
        try:
            credentials = BasicCredentials(user, Secret(password))
        except ValueError as problem:
            texts = [str(problem), repr(problem)]
        else:
            source = FixedCredentials(credentials)
            texts = [f(each) for f in (str, repr) for each in (credentials, source)]
            value = credentials.authorization
            self.assertEqual(b64decode(value.removeprefix(b"Basic ")), f"{user}:{password}".encode())
            self.assertNotIn(b"\n", value)
            texts.append(repr(credentials.password))
            for text in texts:
                self.assertNotIn(value.decode()[6:], text)
        for text in texts:
            self.assertNotIn("PASS-", text)
            self.assertNotIn("USER-", text)

    def test_it_is_a_source(self) -> None:
        """It can stand wherever a source is asked for."""
        source = FixedCredentials(BasicCredentials("u", Secret("p")))

        self.assertTrue(verifyObject(ICredentialSource, source))
        self.assertEqual(source.authorization(), b"Basic dTpw")


class FileCase(SynchronousTestCase):
    """A directory, a clock and what is logged."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "proxy"
        self.clock = Clock()
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, content: bytes, mode: int = 0o600) -> None:
        """Put another file in its place, as a careful writer does."""
        fresh = self.directory / "fresh"
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.replace(self.path)

    def warnings(self) -> list[str]:
        """What was logged by the module, in words."""
        mine = [each for each in self.logged if "credentials" in str(each.get("log_namespace", ""))]
        return [formatEvent(each) for each in mine]

    def refused(self, setting: str, directory: str | None = None) -> ConfigError:
        """Give the error with which a setting ends the start."""
        with self.assertRaises(ConfigError) as caught:
            find_credentials(setting, self.clock, directory)
        problem = caught.exception
        assert isinstance(problem, ConfigError)
        self.assertEqual(problem.where, "credentials")
        self.assertNotIn("hunter2", str(problem))
        self.assertNotIn("\n", str(problem))
        return problem


class FileTests(FileCase):
    """Credentials in a file."""

    def test_it_is_a_source(self) -> None:
        """It can stand wherever a source is asked for, and shows nothing."""
        self.write(b"user:hunter2")
        source = FileCredentials(str(self.path), self.clock)

        self.assertTrue(verifyObject(ICredentialSource, source))
        self.assertNotIn("hunter2", repr(source) + str(source))
        self.assertNotIn("user", repr(source).replace(str(self.path), ""))

    def test_what_is_good(self) -> None:
        """One newline at the end belongs to the editor; everything else to the credentials."""
        rows = [
            (b"u:p", b"u:p"),
            (b"u:p\n", b"u:p"),
            (b"u:p\r\n", b"u:p"),
            (b" u : p \n", b" u : p "),
            ("\u00fc:\u00e4\n".encode(), "\u00fc:\u00e4".encode()),
            (b"u:" + b"p" * (FILE_LIMIT_BYTES - 2), b"u:" + b"p" * (FILE_LIMIT_BYTES - 2)),
        ]
        for content, expected in rows:
            self.write(content)

            sent = FileCredentials(str(self.path), self.clock).authorization()

            self.assertEqual(b64decode(sent.removeprefix(b"Basic ")), expected)

    BAD: ClassVar = [
        (b"", "not `user:password`"),
        (b"\n", "not `user:password`"),
        (b"hunter2", "not `user:password`"),
        (b":hunter2", "user is empty"),
        (b"u:hunter2\n\n", "control character"),
        (b"u:hunter2\r", "control character"),
        (b"u:hunter2\nmore", "control character"),
        (b"u:hunter2\0", "control character"),
        (b"u:hunter2\xff", "is not UTF-8"),
        (b"\xef\xbb\xbfu:hunter2", "byte order mark"),
        (b"u:" + b"p" * FILE_LIMIT_BYTES, "longer than 4096 bytes"),
    ]

    def test_what_is_bad(self) -> None:
        """It ends the start, with a reason and without a word of it."""
        for content, words in self.BAD:
            self.write(content)

            self.assertIn(words, self.refused(str(self.path)).problem, content[:20])

    def test_open_to_others(self) -> None:
        """A secret that every user can read is none; one that every user can write is not ours."""
        for mode in (0o604, 0o602, 0o666):
            self.write(b"u:hunter2", mode)

            self.assertIn("open to every user", self.refused(str(self.path)).problem)

    def test_open_to_the_group(self) -> None:
        """A group may be how it is handed over: an access list shows itself in these bits too."""
        self.write(b"u:p", 0o440)

        self.assertEqual(FileCredentials(str(self.path), self.clock).authorization(), b"Basic dTpw")

    def test_no_file(self) -> None:
        """What is not there or not a file; and a password that was written in the place of a path is not repeated."""
        os.mkfifo(self.directory / "fifo", 0o600)
        for setting, words in (
            (str(self.path), "No such file"),
            (str(self.directory), "regular file"),
            (str(self.directory / "fifo"), "regular file"),
            ("user:hunter2", "No such file"),
            ("hunter2\0", "no file name"),
        ):
            self.assertIn(words, self.refused(setting).problem)


class ChangeTests(FileCase):
    """A file that changes while it is used."""

    def setUp(self) -> None:
        super().setUp()
        self.write(b"u:one")
        self.source = FileCredentials(str(self.path), self.clock)

    def sent(self) -> bytes:
        """Give what would be sent, taken apart."""
        return b64decode(self.source.authorization().removeprefix(b"Basic "))

    def test_a_change_is_seen(self) -> None:
        """Within a second."""
        self.write(b"u:two")
        self.assertEqual(self.sent(), b"u:one")

        self.clock.advance(1.0)

        self.assertEqual(self.sent(), b"u:two")

    def test_a_change_in_place(self) -> None:
        """Also where the file stays and its content changes."""
        with self.path.open("r+b") as stream:
            stream.write(b"u:TWO")
        os.utime(self.path, ns=(1, 1))
        self.clock.advance(1.0)

        self.assertEqual(self.sent(), b"u:TWO")

    def test_a_link_that_leads_elsewhere(self) -> None:
        """As orchestrators replace what they mount."""
        (self.directory / "a").write_bytes(b"u:a")
        (self.directory / "b").write_bytes(b"u:b")
        for each in ("a", "b"):
            (self.directory / each).chmod(0o600)
        link = self.directory / "link"
        link.symlink_to("a")
        self.source = FileCredentials(str(link), self.clock)
        self.assertEqual(self.sent(), b"u:a")

        (self.directory / "next").symlink_to("b")
        (self.directory / "next").replace(link)
        self.clock.advance(1.0)

        self.assertEqual(self.sent(), b"u:b")

    def test_one_that_cannot_be_used(self) -> None:
        """The last good ones stay, and it is logged once, without a word of it."""
        for content, words in FileTests.BAD:
            self.write(content)
            before = len(self.warnings())
            for _ in range(3):
                self.clock.advance(1.0)
                self.assertEqual(self.sent(), b"u:one")

            fresh = self.warnings()[before:]
            self.assertEqual(len(fresh), 1, content[:20])
            self.assertIn(words, fresh[0])
            self.assertNotIn("hunter2", repr(self.logged))

    def test_one_that_is_gone(self) -> None:
        """The same, and when it is back it counts."""
        self.path.unlink()
        for _ in range(3):
            self.clock.advance(1.0)
            self.assertEqual(self.sent(), b"u:one")
        self.assertEqual(len(self.warnings()), 1)

        self.write(b"u:two")
        self.clock.advance(1.0)

        self.assertEqual(self.sent(), b"u:two")

    def test_it_is_not_asked_for_each_request(self) -> None:
        """Between two looks the file is not touched."""
        self.clock.advance(1.0)
        self.sent()
        self.path.unlink()

        self.clock.advance(0.9)
        self.sent()

        self.assertEqual(self.warnings(), [])


class SystemdTests(FileCase):
    """Credentials that the service manager hands over."""

    def test_found_by_name(self) -> None:
        """In the directory that it names."""
        self.write(b"u:p\n", 0o440)

        source = find_credentials("systemd:proxy", self.clock, str(self.directory))

        self.assertEqual(source.authorization(), b"Basic dTpw")

    def test_none_handed_over(self) -> None:
        """Where it named no directory."""
        for directory in (None, ""):
            self.assertIn("CREDENTIALS_DIRECTORY", self.refused("systemd:proxy", directory).problem)

    def test_not_there(self) -> None:
        """Where it has no such credential."""
        self.assertIn("No such file", self.refused("systemd:proxy", str(self.directory)).problem)

    def test_no_way_out_of_the_directory(self) -> None:
        """A name is not a path."""
        for name in ("", ".", "..", "../proxy", "/etc/passwd", "a/b"):
            self.assertIn("names no credential", self.refused(f"systemd:{name}", str(self.directory)).problem)
