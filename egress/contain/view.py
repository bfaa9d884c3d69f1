"""What of the file system a contained command sees, and where it may write.

The new root is the host's tree, read-only with everything that is mounted in it. Directories that hold secrets, sockets
or other users' files are replaced by empty ones. Only paths that were named are writable.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from egress.contain.kernel import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    attach_tree,
    clone_tree,
    mount,
    pivot_root,
    restrict_tree,
    unmount,
)

HIDDEN = (
    "/boot",
    "/etc/egress",
    "/home",
    "/media",
    "/mnt",
    "/root",
    "/run",
    "/var/lib/docker",
    "/var/lib/egress",
    "/var/run",
    "/var/snap",
    "/var/spool",
)
"""Directories that are empty inside, where they exist: runtime sockets, removable media and the files of users."""

PRIVATE = ("/tmp", "/var/tmp")
"""Directories that are empty and writable inside."""

_STAGE = "/tmp"
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_COVERED_PROC = ("kcore", "keys", "key-users", "timer_list", "sched_debug")
_TREE = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_WRITABLE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV


class View(NamedTuple):
    """The view of a command.

    Attributes:
        home: the home directory, which is empty and private inside.
        directory: the working directory.
        read_write: paths that can be written, the working directory among them.
        read_only: further paths that can be read.
        resolv_conf: the content of /etc/resolv.conf.
    """

    home: str
    directory: str
    read_write: tuple[str, ...]
    read_only: tuple[str, ...]
    resolv_conf: str = "# There are no name servers here: the proxy resolves names.\n"


def check_path(path: str, home: str, kept: tuple[str, ...]) -> str | None:
    """Return why a path may not be opened up; None if it may.

    Args:
        path: the path, absolute and without links.
        home: the home directory, likewise.
        kept: paths that no run may write: egress's own.
    """
    if path == "/":
        return "it is the root directory"
    if path == home:
        return "it is the home directory; change to a directory in it"
    if is_within(home, path):
        return "the home directory is in it"
    for each in kept:
        if is_within(each, path):
            return f"it contains files of egress ({each})"
    return None


def is_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory or in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def build(view: View) -> None:
    """Replace the root of this mount namespace by the view. /proc is the host's until `mount_proc`."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # Before anything hides the sources.
    opened = [(path, _open_tree(path), _TREE) for path in view.read_only]
    opened += [(path, _open_tree(path), _WRITABLE) for path in view.read_write]
    devices = {name: _open_tree(f"/dev/{name}") for name in _DEVICES}
    host = os.open("/", os.O_PATH | os.O_CLOEXEC)
    tree = clone_tree(host)
    mount("tmpfs", _STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m")
    root = f"{_STAGE}/root"
    os.mkdir(root)
    attach_tree(tree, root)
    restrict_tree(tree, _TREE)
    os.close(tree)
    os.close(host)
    for path in HIDDEN:
        _cover(root + path)
    for path in PRIVATE:
        _mount_private(root + path)
    _cover(f"{root}/sys")
    _make_home(root, view.home)
    _make_devices(f"{root}/dev", devices)
    # Parents first, so that a path inside another one is not hidden by it.
    for path, source, attributes in sorted(opened, key=lambda each: each[0].count("/")):
        _attach(root + path, source, attributes)
    _write_over(f"{root}/etc/resolv.conf", view.resolv_conf)
    os.mkdir(f"{_STAGE}/old")
    pivot_root(root, f"{root}/tmp")
    unmount("/tmp")
    os.chdir("/")


def mount_proc() -> None:
    """Mount a /proc of this process namespace. Called by its first process.

    Raises:
        OSError: the kernel refuses it, as it does in a container whose own /proc is masked.
    """
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in _READ_ONLY_PROC:
        path = f"/proc/{name}"
        if os.path.exists(path):
            mount(path, path, None, MS_BIND | MS_REC)
            mount(None, path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in _COVERED_PROC:
        if os.path.exists(f"/proc/{name}"):
            mount("/dev/null", f"/proc/{name}", None, MS_BIND)


def _open_tree(path: str) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return clone_tree(descriptor)
    finally:
        os.close(descriptor)


def _attach(target: str, tree: int, attributes: int) -> None:
    """Attach a tree at a path of the new root; what the path needs is made where the directory around it is ours."""
    is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    if not os.path.lexists(target):
        os.makedirs(target if is_directory else os.path.dirname(target), mode=0o755, exist_ok=True)
        if not is_directory:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    restrict_tree(tree, attributes)
    attach_tree(tree, target)
    os.close(tree)


def _cover(path: str) -> None:
    """Let a directory be empty and read-only, where it is one."""
    if os.path.isdir(path) and not os.path.islink(path):
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")


def _mount_private(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def _make_home(root: str, home: str) -> None:
    target = root + home
    os.makedirs(target, mode=0o700, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")


def _make_devices(path: str, devices: dict[str, int]) -> None:
    mount("tmpfs", path, "tmpfs", MS_NOSUID, "mode=0755,size=1m")
    for name, tree in devices.items():
        os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
        attach_tree(tree, f"{path}/{name}")
        os.close(tree)
    os.mkdir(f"{path}/shm")
    mount("tmpfs", f"{path}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    os.mkdir(f"{path}/pts")
    mount("devpts", f"{path}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    for name, target in _DEVICE_LINKS:
        os.symlink(target, f"{path}/{name}")


def _write_over(path: str, content: str) -> None:
    """Put a read-only file over another one, through a link where it is one."""
    target = os.path.realpath(path) if not os.path.islink(path) else None
    if target is None or not os.path.exists(target):
        return
    made = f"{_STAGE}/file-{os.path.basename(path)}"
    with open(made, "w", encoding="utf-8") as file:
        file.write(content)
    descriptor = os.open(made, os.O_PATH | os.O_CLOEXEC)
    tree = clone_tree(descriptor, is_recursive=False)
    os.close(descriptor)
    restrict_tree(tree, _TREE)
    attach_tree(tree, target)
    os.close(tree)
