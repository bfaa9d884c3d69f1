"""Look-ups with `getaddrinfo`, which is replaced here. `tests/live/test_names` asks the system's resolver."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from queue import SimpleQueue
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import NameNotFound, ResolverFailed
from egress.upstream.daemon_threads import DaemonThreads
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.hosts_file import HostsFile
from egress.upstream.system_lookup import SystemLookup, lookup


class SystemResolverCase(SynchronousTestCase):
    """Arranges the answer of `getaddrinfo`."""

    def setUp(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.texts: list[str] = ["192.0.2.1"]
        self.error: Exception | None = None
        self.patch(socket, "getaddrinfo", self.answer)

    def answer(self, *arguments: Any) -> list[Any]:
        """Answer in the place of `getaddrinfo`."""
        self.asked.append(arguments)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in self.texts]

    def hosts(self, text: str) -> HostsFile:
        """Write a hosts file."""
        path = self.mktemp()
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return HostsFile(path)


class LookupTests(SystemResolverCase):
    """`lookup`."""

    def test_question(self) -> None:
        """The question is for the absolute name as octets, for stream sockets of both families."""
        lookup("a.example", None)

        self.assertEqual([(b"a.example.", None, socket.AF_UNSPEC, socket.SOCK_STREAM)], self.asked)

    def test_addresses(self) -> None:
        """The addresses keep the resolver's order and have no scope."""
        self.texts = ["2001:db8::1", "fe80::1%2", "192.0.2.1"]

        found = lookup("a.example", None)

        self.assertEqual(tuple(map(ip_address, ("2001:db8::1", "fe80::1", "192.0.2.1"))), found)
        self.assertIsNone(found[1].scope_id)  # type: ignore[union-attr]

    def test_hosts_file(self) -> None:
        """The answer of the hosts file is the whole answer; a name that is not in the file is asked for."""
        hosts = self.hosts("198.51.100.7 one.example\n")

        self.assertEqual((ip_address("198.51.100.7"),), lookup("one.example", hosts))
        self.assertEqual([], self.asked)
        self.assertEqual((ip_address("192.0.2.1"),), lookup("two.example", hosts))

    def test_unusable_hosts_file(self) -> None:
        """A hosts file that cannot be read is a failure, and the resolver is not asked instead."""
        error = self.assertRaises(ResolverFailed, lookup, "a.example", HostsFile("/"))

        self.assertIn("hosts file", str(error))
        self.assertEqual([], self.asked)

    def test_no_such_name(self) -> None:
        """A name without an address does not exist."""
        for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"):
            self.error = socket.gaierror(getattr(socket, name), "x")
            self.assertRaises(NameNotFound, lookup, "a.example", None)

    def test_failures(self) -> None:
        """Every other error of the resolver is a failure, by its name or its number."""
        for number, words in (
            (socket.EAI_AGAIN, "EAI_AGAIN"),
            (socket.EAI_FAIL, "EAI_FAIL"),
            (socket.EAI_MEMORY, "EAI_MEMORY"),
            (socket.EAI_SYSTEM, "EAI_SYSTEM"),
            (-1000, "getaddrinfo error -1000"),
        ):
            self.error = socket.gaierror(number, "a text of the C library")
            error = self.assertRaises(ResolverFailed, lookup, "a.example", None)
            self.assertEqual(f"the system's resolver failed: {words}", str(error))

    def test_system_error(self) -> None:
        """An error of the system is a failure, not an exception of another kind."""
        self.error = PermissionError(13, "denied")

        error = self.assertRaises(ResolverFailed, lookup, "a.example", None)

        self.assertEqual("the system's resolver failed: PermissionError", str(error))

    def test_no_name_of_dns(self) -> None:
        """A host that cannot be encoded, or that `getaddrinfo` does not take, does not exist."""
        self.assertRaises(NameNotFound, lookup, "\xe4.example", None)
        self.assertEqual([], self.asked)
        self.error = ValueError("embedded null character")
        self.assertRaises(NameNotFound, lookup, "a\0b", None)


class SystemLookupTests(SystemResolverCase):
    """`SystemLookup`, whose results the test delivers."""

    def setUp(self) -> None:
        super().setUp()
        self.results: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.lookup = SystemLookup(DaemonThreads(self, 2), self.hosts("198.51.100.7 one.example\n"))
        self.addCleanup(self.lookup.stop)

    def callFromThread(self, *call: Any) -> None:
        """Take a result."""
        self.results.put(call)

    def deliver(self) -> None:
        """Wait for a result, and deliver it."""
        call, *arguments = self.results.get(timeout=60)
        call(*arguments)

    def test_look_up(self) -> None:
        """The hosts file and the resolver answer, each with addresses or a failure."""
        self.lookup.start()
        for host, expected in (("one.example", "198.51.100.7"), ("two.example", "192.0.2.1")):
            result = self.lookup(host)
            self.deliver()
            self.assertEqual((ip_address(expected),), self.successResultOf(result))

        self.error = socket.gaierror(socket.EAI_NONAME, "x")
        result = self.lookup("two.example")
        self.deliver()
        self.failureResultOf(result, NameNotFound)

    def test_life(self) -> None:
        """No look-up is made before the start and after the stop; a look-up cannot be interrupted."""
        self.failureResultOf(self.lookup("one.example"), ResolverFailed)
        self.lookup.start()
        self.lookup.stop()
        self.failureResultOf(self.lookup("one.example"), ResolverFailed)
        self.assertFalse(self.lookup.is_stoppable)

    def test_renew(self) -> None:
        """New settings replace the limit of threads."""
        self.lookup.renew(DnsSettings(concurrent=77))

        self.assertEqual(77, self.lookup.threads.limit)

    def test_hosts_of_the_system(self) -> None:
        """The hosts file is that of the system where no other is given."""
        self.assertEqual(HostsFile().path, SystemLookup(DaemonThreads(self, 1)).hosts.path)  # type: ignore[union-attr]
