"""The seccomp filter of a contained process: an allow-list of system calls, and of the arguments of some.

A number that is not on the list answers ENOSYS, so that programs fall back as on an older kernel. What a program could
leave the containment by, or reach another process with, answers EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import platform
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from egress.contain.bpf import AND, ANY_BIT, EQUAL, GREATER_OR_EQUAL, LOAD, RETURN, Program
from egress.contain.kernel import PR_SET_NO_NEW_PRIVS, prctl

FILTER_VERSION = 1
"""Counts the filters that differ in what they allow."""

ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
_ERRNO = 0x0005_0000

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

# Offsets in `struct seccomp_data`. Arguments are 64 bits; their low half is compared, because the kernel reads no more
# of the arguments that are compared here.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x4000_0000

# clone(2) and unshare(2): the flags of new namespaces.
_NAMESPACES = 0x7E02_0000 | 0x80
_CLONE_NAMESPACES = 0x7E02_0000  # The bit of CLONE_NEWTIME is part of the exit signal here.
_MSG_FASTOPEN = 0x2000_0000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF
_IPPROTO_TCP, _IPPROTO_UDP, _NETLINK_ROUTE = 6, 17, 0
# Terminal input injection, console selection, console redirection and line disciplines (ioctl_tty(2)).
_TERMINAL_REQUESTS = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCCONS": 0x541D, "TIOCSETD": 0x5423}
# Linux, Linux with 32-bit names, the same without address randomization (debuggers), and the question.
_PERSONALITIES = (0x0, 0x8, 0x0004_0000, 0xFFFF_FFFF)


class Architecture(NamedTuple):
    """The system calls of one machine.

    Attributes:
        audit: the AUDIT_ARCH_* number of its calls.
        last: the last number of the old table. From 424 on all machines have one table.
        numbers: of the calls that the filter names.
        has_x32: numbers with bit 30 are another table, which is not allowed.
    """

    audit: int
    last: int
    numbers: Mapping[str, int]
    has_x32: bool = False


# From asm/unistd_64.h and asm-generic/unistd.h of Linux 6.12.
ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000_003E,
        334,
        {
            "ioctl": 16,
            "socket": 41,
            "sendto": 44,
            "sendmsg": 46,
            "socketpair": 53,
            "clone": 56,
            "ptrace": 101,
            "syslog": 103,
            "personality": 135,
            "vhangup": 153,
            "pivot_root": 155,
            "adjtimex": 159,
            "chroot": 161,
            "acct": 163,
            "settimeofday": 164,
            "mount": 165,
            "umount2": 166,
            "swapon": 167,
            "swapoff": 168,
            "reboot": 169,
            "sethostname": 170,
            "setdomainname": 171,
            "iopl": 172,
            "ioperm": 173,
            "init_module": 175,
            "delete_module": 176,
            "quotactl": 179,
            "lookup_dcookie": 212,
            "clock_settime": 227,
            "kexec_load": 246,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "name_to_handle_at": 303,
            "open_by_handle_at": 304,
            "clock_adjtime": 305,
            "sendmmsg": 307,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "kcmp": 312,
            "finit_module": 313,
            "kexec_file_load": 320,
            "bpf": 321,
            "userfaultfd": 323,
        },
        has_x32=True,
    ),
    "aarch64": Architecture(
        0xC000_00B7,
        294,
        {
            "lookup_dcookie": 18,
            "ioctl": 29,
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "chroot": 51,
            "vhangup": 58,
            "quotactl": 60,
            "acct": 89,
            "personality": 92,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "delete_module": 106,
            "clock_settime": 112,
            "syslog": 116,
            "ptrace": 117,
            "reboot": 142,
            "sethostname": 161,
            "setdomainname": 162,
            "settimeofday": 170,
            "adjtimex": 171,
            "socket": 198,
            "socketpair": 199,
            "sendto": 206,
            "sendmsg": 211,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "clone": 220,
            "swapon": 224,
            "swapoff": 225,
            "perf_event_open": 241,
            "name_to_handle_at": 264,
            "open_by_handle_at": 265,
            "clock_adjtime": 266,
            "setns": 268,
            "sendmmsg": 269,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "kcmp": 272,
            "finit_module": 273,
            "bpf": 280,
            "userfaultfd": 282,
            "kexec_file_load": 294,
        },
    ),
}

_COMMON_FIRST, _COMMON_LAST = 424, 456
# Of the common table: what answers EPERM, and what answers ENOSYS so that programs fall back.
_COMMON = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
}
ABSENT = frozenset({"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "pidfd_open"})
"""Calls that answer ENOSYS: their arguments are in memory, which a filter cannot read, or programs have another way."""

_COMPARED = frozenset(
    {"clone", "ioctl", "personality", "sendmmsg", "sendmsg", "sendto", "socket", "socketpair", "unshare"}
)
"""Calls whose arguments decide."""


def refused(architecture: Architecture) -> dict[str, int]:
    """Return the calls that answer EPERM, by name."""
    named = {**architecture.numbers, **_COMMON}
    return {name: number for name, number in named.items() if name not in _COMPARED and name not in ABSENT}


def make_filter(architecture: Architecture) -> bytes:
    """Return the filter as an array of `struct sock_filter`."""
    numbers = architecture.numbers
    program = Program()
    program.add(LOAD, _ARCHITECTURE)
    program.add(EQUAL, architecture.audit, then=1)
    program.add(RETURN, KILL_PROCESS)
    program.add(LOAD, _NUMBER)
    if architecture.has_x32:
        program.add(GREATER_OR_EQUAL, _X32_BIT, otherwise=1)
        program.add(RETURN, KILL_PROCESS)
    program.add(GREATER_OR_EQUAL, _COMMON_LAST + 1, then="absent")
    program.add(GREATER_OR_EQUAL, _COMMON_FIRST, then="known")
    program.add(GREATER_OR_EQUAL, architecture.last + 1, then="absent")
    program.label("known")
    for name in sorted(ABSENT):
        program.add(EQUAL, _COMMON[name], then="absent")
    for number in refused(architecture).values():
        program.add(EQUAL, number, then="refused")
    for name in sorted(_COMPARED):
        program.add(EQUAL, numbers[name], then=name)
    program.add(RETURN, ALLOW)
    program.label("refused")
    program.add(RETURN, _ERRNO | errno.EPERM)
    program.label("absent")
    program.add(RETURN, _ERRNO | errno.ENOSYS)
    _add_arguments(program)
    return program.assemble()


def _add_arguments(program: Program) -> None:
    """Append what is decided by arguments."""
    _add_bits(program, "clone", 0, _CLONE_NAMESPACES)
    _add_bits(program, "unshare", 0, _NAMESPACES)
    # TCP Fast Open sends octets with the SYN, past what judges connect(2).
    for name, at in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        _add_bits(program, name, at, _MSG_FASTOPEN)
    _add_words(program, "ioctl", 1, tuple(_TERMINAL_REQUESTS.values()), found=_ERRNO | errno.EPERM, other=ALLOW)
    _add_words(program, "personality", 0, _PERSONALITIES, found=ALLOW, other=_ERRNO | errno.EPERM)
    _add_words(program, "socketpair", 0, (_AF_UNIX,), found=ALLOW, other=_ERRNO | errno.EAFNOSUPPORT)
    program.label("socket")
    program.add(LOAD, _argument(0))
    program.add(EQUAL, _AF_UNIX, then="socket allowed")
    program.add(EQUAL, _AF_INET, then="inet")
    program.add(EQUAL, _AF_INET6, then="inet")
    program.add(EQUAL, _AF_NETLINK, otherwise="no family")
    program.add(LOAD, _argument(2))
    program.add(EQUAL, _NETLINK_ROUTE, then="socket allowed")
    program.label("no family")
    program.add(RETURN, _ERRNO | errno.EAFNOSUPPORT)
    program.label("inet")
    program.add(LOAD, _argument(1))
    program.add(AND, _SOCK_TYPE_MASK)
    program.add(EQUAL, _SOCK_STREAM, then="stream")
    program.add(EQUAL, _SOCK_DGRAM, otherwise="socket refused")
    program.add(LOAD, _argument(2))
    program.add(EQUAL, 0, then="socket allowed")
    program.add(EQUAL, _IPPROTO_UDP, then="socket allowed", otherwise="socket refused")
    program.label("stream")
    program.add(LOAD, _argument(2))
    program.add(EQUAL, 0, then="socket allowed")
    program.add(EQUAL, _IPPROTO_TCP, then="socket allowed")
    program.label("socket refused")
    program.add(RETURN, _ERRNO | errno.EPERM)
    program.label("socket allowed")
    program.add(RETURN, ALLOW)


def _argument(at: int) -> int:
    return _ARGUMENTS + 8 * at


def _add_bits(program: Program, name: str, at: int, bits: int) -> None:
    """Refuse a call one of whose arguments has one of some bits."""
    program.label(name)
    program.add(LOAD, _argument(at))
    program.add(ANY_BIT, bits, otherwise=1)
    program.add(RETURN, _ERRNO | errno.EPERM)
    program.add(RETURN, ALLOW)


def _add_words(program: Program, name: str, at: int, words: Sequence[int], *, found: int, other: int) -> None:
    """Decide about a call by the value of one of its arguments."""
    program.label(name)
    program.add(LOAD, _argument(at))
    for word in words:
        program.add(EQUAL, word, then=f"{name} found")
    program.add(RETURN, other)
    program.label(f"{name} found")
    program.add(RETURN, found)


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]  # as ctypes wants it


def install() -> None:
    """Apply the filter to this process and all its descendants.

    Raises:
        OSError: the kernel has no seccomp filters, or this machine is not known.
    """
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise OSError(errno.ENOSYS, f"seccomp: the system calls of {platform.machine()} are not known")
    octets = make_filter(architecture)
    held = ctypes.create_string_buffer(octets, len(octets))
    found = _Filter(len(octets) // 8, ctypes.addressof(held))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    try:
        prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(found))
    except OSError as error:
        raise OSError(error.errno, f"seccomp: {error.strerror}") from None
