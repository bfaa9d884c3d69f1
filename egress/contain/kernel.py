"""System calls that the standard library of Python 3.11 does not offer, by ctypes.

Each function raises OSError with the name of the call and, where there is one, the object, so that a failed launch can
name the control that is missing.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4

MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAP_VERSION_3 = 0x2008_0522
_CAP_LAST = 63

# The numbers that differ between architectures; all calls since Linux 5.1 have one number everywhere.
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "keyctl": 250, "capset": 126},
    "aarch64": {"pivot_root": 41, "keyctl": 219, "capset": 91},
}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR, _CLOSE_RANGE, _OPENAT2 = 428, 429, 442, 436, 437

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = [  # as ctypes wants it
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _number(name: str) -> int:
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise OSError(38, f"{name}: the numbers of system calls on {machine} are not known")
    return _NUMBERS[machine][name]


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (unshare(2))."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system, or change a mount (mount(2))."""

    def encode(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    _check(
        _libc.mount(encode(source), os.fsencode(target), encode(kind), ctypes.c_ulong(flags), encode(data)),
        f"mount on {target}",
    )


def clone_tree(descriptor: int, *, is_recursive: bool = True) -> int:
    """Clone the mounts at an O_PATH descriptor, without attaching the clone (open_tree(2)).

    Returns:
        The descriptor of the clone.
    """
    flags = _OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC | (_AT_RECURSIVE if is_recursive else 0)
    return _check(_libc.syscall(_OPEN_TREE, descriptor, b"", ctypes.c_uint(flags)), "open_tree")


def attach_tree(tree: int, target: str) -> None:
    """Attach a clone of `clone_tree` at a path (move_mount(2))."""
    _check(
        _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH),
        f"move_mount on {target}",
    )


def restrict_tree(descriptor: int, attributes: int) -> None:
    """Set attributes of a mount and of all mounts below it (mount_setattr(2)).

    Args:
        descriptor: of the tree, or an O_PATH descriptor of the mount point.
        attributes: of MOUNT_ATTR_*.
    """
    attr = _MountAttributes(attributes, 0, MS_PRIVATE, 0)
    flags = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE)
    _check(
        _libc.syscall(_MOUNT_SETATTR, descriptor, b"", flags, ctypes.byref(attr), ctypes.c_size_t(32)),
        "mount_setattr",
    )


def open_beneath(directory: int, path: str, flags: int, *, follows_links: bool) -> int:
    """Open a path without leaving a directory, and without magic links (openat2(2)).

    Args:
        directory: the descriptor of the directory.
        path: relative to it.
        flags: of open(2).
        follows_links: False refuses every symbolic link with ELOOP.
    """
    resolve = 0x02 | 0x08 | (0 if follows_links else 0x04)  # NO_MAGICLINKS, BENEATH, NO_SYMLINKS
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    return _check(
        _libc.syscall(_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(24)),
        f"openat2 {path}",
    )


def pivot_root(new: str, old: str) -> None:
    """Change the root of the mount namespace (pivot_root(2))."""
    _check(_libc.syscall(_number("pivot_root"), os.fsencode(new), os.fsencode(old)), "pivot_root")


def unmount(target: str) -> None:
    """Detach a mount and all mounts below it (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount2 {target}")


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2)."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _check(_libc.prctl(option, *map(ctypes.c_ulong, padded)), f"prctl {option}")


def drop_capabilities() -> None:
    """Empty the bounding, ambient, permitted, effective and inheritable sets (capabilities(7))."""
    for capability in range(_CAP_LAST + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # The kernel has no more.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    _check(_libc.syscall(_number("capset"), ctypes.byref(header), bytes(24)), "capset")


def new_session_keyring() -> None:
    """Join a new, empty session keyring (keyctl(2)). A kernel without keyrings has none to leave."""
    try:
        _check(_libc.syscall(_number("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0), "keyctl")
    except OSError as error:
        if error.errno != 38:  # ENOSYS
            raise


def close_descriptors(first: int, kept: Iterable[int] = ()) -> None:
    """Close every descriptor from `first` upwards but the kept ones (close_range(2))."""
    begin = first
    for descriptor in sorted(kept):
        if descriptor > begin:
            _close_range(begin, descriptor - 1)
        begin = max(begin, descriptor + 1)
    _close_range(begin, 0xFFFF_FFFF)


def _close_range(first: int, last: int) -> None:
    _check(_libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0), "close_range")
