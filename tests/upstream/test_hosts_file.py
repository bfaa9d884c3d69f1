"""The hosts file."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.upstream.hosts_file import HostsFile, parse


class ParseTests(SynchronousTestCase):
    """Its text (hosts(5))."""

    def test_lines(self) -> None:
        """Each line names one address; what is not a line of that form says nothing."""
        rows: list[tuple[str, str, list[str]]] = [
            # text, a name, its addresses
            ("192.0.2.1 one", "one", ["192.0.2.1"]),
            ("192.0.2.1\tone two\tthree", "three", ["192.0.2.1"]),
            ("  192.0.2.1 one  ", "one", ["192.0.2.1"]),
            ("192.0.2.1 One.Example.", "one.example", ["192.0.2.1"]),
            ("192.0.2.1 one\n2001:db8::1 one", "one", ["192.0.2.1", "2001:db8::1"]),
            ("192.0.2.1 one\n192.0.2.1 one", "one", ["192.0.2.1"]),
            ("192.0.2.1 one # two", "two", []),
            ("# 192.0.2.1 one", "one", []),
            ("192.0.2.1 one#two", "one", ["192.0.2.1"]),
            ("fe80::1%eth0 one", "one", ["fe80::1"]),
            ("192.0.2.256 one\n192.0.2.1 two", "one", []),
            ("192.0.2.256 one\n192.0.2.1 two", "two", ["192.0.2.1"]),
            ("192.0.2.1", "", []),
            ("one 192.0.2.1", "192.0.2.1", []),
            ("192.0.2.1 one\r\n192.0.2.2 two\r\n", "one", ["192.0.2.1"]),
        ]
        for text, name, addresses in rows:
            with self.subTest(text=text, name=name):
                self.assertEqual(parse(text).get(name, ()), tuple(map(ip_address, addresses)))

    @given(st.text())
    def test_no_text_breaks_it(self, text: str) -> None:
        """Whatever the file holds, names have addresses without zones."""
        for addresses in parse(text).values():
            self.assertTrue(addresses)
            self.assertNotIn("%", " ".join(map(str, addresses)))


class HostsFileTests(SynchronousTestCase):
    """The file on the disk."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.hosts = HostsFile(str(self.path))

    def test_a_missing_file_has_no_names(self) -> None:
        """Not every system has one."""
        self.assertEqual(self.hosts.find("one"), ())

    def test_a_change_is_seen(self) -> None:
        """A running supervisor follows the file, and does not read it again without need."""
        self.path.write_text("192.0.2.1 one\n")
        os.utime(self.path, ns=(1, 1))
        before = self.hosts.find("one")
        self.assertIs(self.hosts.find("one"), before)

        self.path.write_text("192.0.2.2 one\n")
        os.utime(self.path, ns=(2, 2))

        self.assertEqual((before, self.hosts.find("one")), ((ip_address("192.0.2.1"),), (ip_address("192.0.2.2"),)))

    def test_a_file_that_goes_away(self) -> None:
        """Names go with it, and come back with it."""
        self.path.write_text("192.0.2.1 one\n")
        self.hosts.find("one")

        self.path.unlink()

        self.assertEqual(self.hosts.find("one"), ())

    def test_what_is_known_without_reading(self) -> None:
        """A file that has changed has to be read, which may take long; one that is missing or known has not."""
        self.assertEqual({}, self.hosts.current())
        self.path.write_text("192.0.2.1 one\n")
        self.assertIsNone(self.hosts.current())

        table = self.hosts.read()

        self.assertIs(table, self.hosts.current())
        self.path.unlink()
        self.assertEqual({}, self.hosts.read())

    def test_an_unreadable_file_is_an_error(self) -> None:
        """It was configured to be asked, so it is not passed over."""
        self.path.mkdir()

        with self.assertRaises(OSError):
            self.hosts.find("one")
