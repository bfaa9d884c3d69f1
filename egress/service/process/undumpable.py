"""Closes the process to others of the same user."""

from __future__ import annotations

import ctypes
import os

from twisted.logger import Logger

_PR_SET_DUMPABLE = 4  # prctl(2), <linux/prctl.h>

_log = Logger()


def make_undumpable() -> bool:
    """Close /proc/PID/environ, mem, fd and the like to everyone but root, and write no core dumps.

    The environment may hold the credentials of a proxy, and an agent may run as the supervisor's own user. A change of
    user undoes it (prctl(2)), so it is done again after one.

    Returns:
        False if the system refused, which the log has then been told, or knows nothing of the kind.
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
