"""The descriptors that connections may use; the rest is for files, the control socket and the status listener."""

from __future__ import annotations

import fcntl
import os
import sys

_NEAR = 64


class DescriptorCeiling:
    """Tells whether one more connection would use a descriptor of the reserve.

    The kernel assigns the lowest free descriptor (POSIX), so its number is a lower bound of the number of open
    descriptors, whatever opened them.

    Args:
        number: the first descriptor of the reserve; None for no reserve.

    Attributes:
        number: the first descriptor of the reserve.
        near: from this descriptor on, `is_reached` is asked before a connection is accepted.
    """

    def __init__(self, number: int | None = None) -> None:
        self.set(number)

    def set(self, number: int | None) -> None:
        """Begin the reserve elsewhere."""
        self.number = sys.maxsize if number is None else number
        self.near = self.number if number is None else max(0, number - _NEAR)

    def is_reached(self, descriptor: int) -> bool:
        """Whether the lowest free descriptor is one of the reserve.

        Args:
            descriptor: any open one, which is duplicated for a moment.
        """
        try:
            lowest = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)
        except OSError:
            return True
        os.close(lowest)
        return lowest >= self.number
