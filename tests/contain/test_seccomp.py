"""The filter of system calls, by every number and by the arguments that decide."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.contain.seccomp import ABSENT, ALLOW, ARCHITECTURES, KILL_PROCESS, Architecture, make_filter, refused
from tests.contain.machine import execute

EPERM, ENOSYS, EAFNOSUPPORT = (0x5_0000 | number for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
# By which agents read and write files, talk to their proxy, and run programs.
PLAIN = {"x86_64": (0, 1, 2, 3, 9, 42, 59, 257), "aarch64": (56, 57, 63, 64, 203, 221, 222)}


class FilterTests(SynchronousTestCase):
    """What the filter decides on each machine."""

    def decide(self, machine: str, name: str | int, *arguments: int) -> int:
        """Decide about a call, by its name or number."""
        architecture = ARCHITECTURES[machine]
        number = architecture.numbers[name] if isinstance(name, str) else name
        return execute(make_filter(architecture), architecture.audit, number, arguments)

    def test_every_number(self) -> None:
        """A number has one of three answers: those of new calls are ENOSYS, those of the lists are as listed."""
        for machine, architecture in ARCHITECTURES.items():
            octets, denied = make_filter(architecture), set(refused(architecture).values())
            for number in range(600):
                found = execute(octets, architecture.audit, number)
                known = number <= architecture.last or 424 <= number <= 456
                if not known or number in (425, 426, 427, 434, 435):
                    self.assertEqual(ENOSYS, found, (machine, number))
                elif number in denied:
                    self.assertEqual(EPERM, found, (machine, number))
                else:
                    self.assertIn(found, (ALLOW, EPERM, EAFNOSUPPORT), (machine, number))
            for number in PLAIN[machine]:
                self.assertEqual(ALLOW, execute(octets, architecture.audit, number), (machine, number))

    def test_absent(self) -> None:
        """io_uring, clone3 and pidfd_open are as on a kernel without them."""
        self.assertEqual({"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "pidfd_open"}, set(ABSENT))

    def test_other_machines(self) -> None:
        """Calls of another architecture, and of the x32 table, end the process."""
        for architecture in ARCHITECTURES.values():
            octets = make_filter(architecture)
            self.assertEqual(KILL_PROCESS, execute(octets, 0x4000_0003, 1))
        self.assertEqual(KILL_PROCESS, self.decide("x86_64", 0x4000_0000 | 1))

    @given(machine=st.sampled_from(sorted(ARCHITECTURES)), number=st.integers(0, 0xFFFF_FFFF))
    def test_any_number(self, machine: str, number: int) -> None:
        """No number is allowed outside of the tables."""
        architecture: Architecture = ARCHITECTURES[machine]
        found = execute(make_filter(architecture), architecture.audit, number)
        if not (number <= architecture.last or 424 <= number <= 456):
            self.assertIn(found, (ENOSYS, KILL_PROCESS))

    def test_sockets(self) -> None:
        """TCP, UDP, unix and routing sockets; nothing raw, no other family, no other protocol."""
        stream, datagram, raw, cloexec = 1, 2, 3, 0o2000000
        for machine in ARCHITECTURES:
            for allowed in (
                *(
                    (1, stream, 0),
                    (1, datagram | cloexec, 0),
                    (2, stream, 0),
                    (2, stream | cloexec, 6),
                    (10, stream, 6),
                ),
                *((2, datagram, 0), (10, datagram, 17), (16, raw, 0)),
            ):
                self.assertEqual(ALLOW, self.decide(machine, "socket", *allowed), allowed)
            # MPTCP, SCTP, ICMP, UDP-Lite, raw IP.
            for denied in ((2, stream, 262), (2, stream, 132), (2, datagram, 1), (10, datagram, 58), (2, raw, 0)):
                self.assertEqual(EPERM, self.decide(machine, "socket", *denied), denied)
            self.assertEqual(EPERM, self.decide(machine, "socket", 2, datagram, 136))
            # Packet, vsock, algorithm, XDP, Bluetooth; netlink of sock_diag and netfilter.
            for family in (
                (17, raw, 0),
                (40, stream, 0),
                (38, 5, 0),
                (44, raw, 0),
                (31, raw, 0),
                (16, raw, 4),
                (16, raw, 12),
            ):
                self.assertEqual(EAFNOSUPPORT, self.decide(machine, "socket", *family), family)
            self.assertEqual(ALLOW, self.decide(machine, "socketpair", 1, stream, 0))
            self.assertEqual(EAFNOSUPPORT, self.decide(machine, "socketpair", 2, stream, 0))

    def test_high_halves(self) -> None:
        """The kernel reads 32 bits of these arguments, and so does the filter."""
        high = 1 << 32
        for machine in ARCHITECTURES:
            self.assertEqual(EAFNOSUPPORT, self.decide(machine, "socket", high | 17, 3, 0))
            self.assertEqual(EPERM, self.decide(machine, "ioctl", 0, high | 0x5412))

    def test_arguments(self) -> None:
        """Fast open, namespaces, terminal injection and personalities."""
        for machine in ARCHITECTURES:
            self.assertEqual(EPERM, self.decide(machine, "sendto", 3, 0, 0, 0x2000_0000))
            self.assertEqual(ALLOW, self.decide(machine, "sendto", 3, 0, 0, 0x4000))
            self.assertEqual(EPERM, self.decide(machine, "sendmsg", 3, 0, 0x2000_0000))
            self.assertEqual(EPERM, self.decide(machine, "sendmmsg", 3, 0, 1, 0x2000_0000))
            for flag in (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000):
                self.assertEqual(EPERM, self.decide(machine, "clone", flag | 17), hex(flag))
                self.assertEqual(EPERM, self.decide(machine, "unshare", flag), hex(flag))
            self.assertEqual(EPERM, self.decide(machine, "unshare", 0x80))
            self.assertEqual(ALLOW, self.decide(machine, "clone", 0x100 | 17))
            self.assertEqual(ALLOW, self.decide(machine, "unshare", 0x200))
            for request in (0x5412, 0x541C, 0x541D, 0x5423):
                self.assertEqual(EPERM, self.decide(machine, "ioctl", 0, request))
            self.assertEqual(ALLOW, self.decide(machine, "ioctl", 0, 0x5401))
            self.assertEqual(ALLOW, self.decide(machine, "personality", 0xFFFF_FFFF))
            self.assertEqual(EPERM, self.decide(machine, "personality", 0x0400_0000))

    def test_installed(self) -> None:
        """The kernel takes the filter: a process under it works, and is refused what the filter refuses."""
        if platform.machine() not in ARCHITECTURES:
            self.fail("this machine is not known to the filter")
        script = (
            "import socket; from egress.contain import seccomp; seccomp.install()\n"
            "open('/dev/null').close(); socket.socket().close()\n"
            "for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (17, 3), (40, 1)):\n"
            "    try: socket.socket(family, kind); print('opened')\n"
            "    except OSError as error: print(error.errno)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

        self.assertEqual(("1\n97\n97\n", ""), (done.stdout, done.stderr))
