"""Pauses a listener while there are no descriptors or no memory for another connection."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from egress.transports.descriptor_ceiling import DescriptorCeiling

PAUSE_SECONDS = 0.1
"""The seconds for which a listener pauses before it accepts again."""

_LOG_INTERVAL_SECONDS = 60.0

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = Logger()


@define(eq=False)
class AcceptBackoff:
    """Stops and restarts the accepting of one listener.

    Without a pause, a level-triggered listener would report the waiting connection again and again.

    Attributes:
        clock: provides callLater and seconds of IReactorTime.
        stop: stops accepting.
        restart: accepts again.
        ceiling: the ceiling of the descriptors that the listener's connections may use.
        pauses: the number of pauses so far.
        is_near: whether `may_accept` has to be called before the next accept, because the last one came near the
            ceiling.
    """

    clock: Any
    stop: Callable[[], object]
    restart: Callable[[], object]
    ceiling: DescriptorCeiling = field(factory=DescriptorCeiling)
    pauses: int = field(init=False, default=0)
    is_near: bool = field(init=False, default=False)
    _call: IDelayedCall | None = field(init=False, default=None)
    _logged_at: float | None = field(init=False, default=None)

    def may_accept(self, listening: int) -> bool:
        """Whether there is a descriptor for one more connection. If not, accepting pauses.

        Args:
            listening: the descriptor of the listener.
        """
        if not self.ceiling.is_reached(listening):
            self.is_near = False
            return True
        self.pause(OSError(errno.EMFILE, "the descriptors that are left are reserved"))
        return False

    def pause(self, problem: OSError) -> bool:
        """Pause, if an error of accept(2) reports that descriptors or memory are exhausted.

        Returns:
            Whether the listener pauses. If not, the error concerns the one connection that was to be accepted.
        """
        if problem.errno not in _EXHAUSTED:
            return False
        if self._call is None:
            self.pauses += 1
            self.stop()
            self._call = self.clock.callLater(PAUSE_SECONDS, self._restart)
            self._report(problem)
        return True

    def cancel(self) -> None:
        """Do not restart: the listener is closed."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _report(self, problem: OSError) -> None:
        now = self.clock.seconds()
        if self._logged_at is None or now - self._logged_at >= _LOG_INTERVAL_SECONDS:
            self._logged_at = now
            _log.error(
                "no more connections can be accepted for now: {problem}; those that wait are tried again every "
                "{seconds} s",
                problem=problem.strerror,
                seconds=PAUSE_SECONDS,
            )

    def _restart(self) -> None:
        self._call = None
        self.restart()
