"""Protects the memory and the environment of the process from other processes of its user (PR_SET_DUMPABLE)."""

from __future__ import annotations

import ctypes
import os

from twisted.logger import Logger

_PR_SET_DUMPABLE = 4  # prctl(2), <linux/prctl.h>

_log = Logger()


def make_undumpable() -> bool:
    """Restrict /proc/PID/environ, mem, fd and similar files to root, and disable core dumps.

    The environment may hold the credentials of an upstream, and an agent may run as the supervisor's user. A change of
    the process's user resets the flag (prctl(2)), so the function must be called again.

    Returns:
        Whether the flag is set. A refusal of the system is logged; some systems have no prctl.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):
        return False  # not Linux
    zero = ctypes.c_ulong(0)
    if prctl(_PR_SET_DUMPABLE, zero, zero, zero, zero) == 0:
        return True
    _log.warn(
        "other processes of this user can read this one's environment and memory: PR_SET_DUMPABLE: {problem}",
        problem=os.strerror(ctypes.get_errno()),
    )
    return False
