"""The state of each upstream proxy, from the result of its last use. Each change is logged once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from math import inf
from typing import TypeAlias

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from egress.model import Authority
from egress.upstream.upstream import Upstream

QUIET_SECONDS = 10.0
"""At most one line of each kind is logged for one upstream in this time."""

READINESS_SECONDS = 60.0
"""Seconds for which a failed CONNECT ends readiness.

A supervisor that is not ready may receive no further requests, and only a request could show that the proxy works.
"""

_log = Logger()


class Stage(Enum):
    """The stage at which a use of a proxy failed.

    Attributes:
        REACH: connecting, or TLS.
        CONNECT: the response to CONNECT, which the proxy itself makes.
        RELAY: the response to a request in absolute form, which an origin may have made.
    """

    REACH = "reach"
    CONNECT = "connect"
    RELAY = "relay"


@define(eq=False)
class UpstreamState:
    """The state of one upstream proxy.

    Attributes:
        name: the name of the upstream.
        url: the scheme, host and port of the proxy.
        clock: the clock.
        code: the code of the failure of the last use, one of the `proxy_` codes; "" after a success or before any use.
        is_known: whether the proxy was used.
        is_fresh: whether the proxy was used since `is_fresh` was last set to false.
        is_retired: whether no configuration has the upstream any more, so that nothing is logged.
    """

    name: str
    url: str
    clock: IReactorTime
    code: str = ""
    is_known: bool = False
    is_fresh: bool = False
    is_retired: bool = False
    _reason: str = ""
    _stage: Stage = Stage.REACH
    _failed_at: float = -inf
    # The last line, and when there was one of each code; "" stands for the line that it works again.
    _said: str = field(init=False, default="")
    _said_at: dict[str, float] = field(init=False, factory=dict)
    _later: IDelayedCall | None = field(init=False, default=None)

    def worked(self) -> None:
        """Note a response that shows that the proxy works."""
        self.is_fresh = True
        if self.code or not self.is_known:
            self.is_known = True
            self.code = ""
            self._say()

    def reached(self) -> None:
        """Note a connection to the proxy on which no request was sent."""
        if not self.code or self._stage is Stage.REACH:
            self.worked()

    def failed(self, code: str, reason: str, stage: Stage) -> None:
        """Note a use of the proxy that failed.

        Args:
            code: one of the `proxy_` codes.
            reason: one sentence.
            stage: what failed. What an origin may have caused does not replace another reason.
        """
        self.is_known = self.is_fresh = True
        if stage is Stage.RELAY and self.code:
            return
        self.code, self._reason, self._stage = code, reason, stage
        self._failed_at = self.clock.seconds()
        self._say()

    def readiness_fault(self) -> str:
        """Return a sentence if requests that need the proxy cannot be served now, else ""."""
        if not self.is_known:
            return f"The upstream {self.name!r} has not been reached yet."
        is_recent = self.clock.seconds() - self._failed_at < READINESS_SECONDS
        if self.code and (self._stage is Stage.REACH or (self._stage is Stage.CONNECT and is_recent)):
            return f"The upstream {self.name!r} does not work: {self.code}."
        return ""

    def retire(self) -> None:
        """Stop logging."""
        self.is_retired = True
        later, self._later = self._later, None
        if later is not None:
            later.cancel()

    def _say(self) -> None:
        """Log a change, now or once the last line of the same kind is old enough."""
        if self.code == self._said or self._later is not None or self.is_retired:
            return
        wait = self._said_at.get(self.code, -inf) + QUIET_SECONDS - self.clock.seconds()
        if wait > 0.0:
            self._later = self.clock.callLater(wait, self._say_later)
        else:
            self._log()

    def _say_later(self) -> None:
        self._later = None
        if self.code != self._said:
            self._log()

    def _log(self) -> None:
        self._said = self.code
        self._said_at[self.code] = self.clock.seconds()
        if self.code:
            words = "upstream {upstream} at {url} does not work: {code}: {reason}"
            _log.warn(words, upstream=self.name, url=self.url, code=self.code, reason=self._reason)
        else:
            _log.info("upstream {upstream} at {url} works again", upstream=self.name, url=self.url)


_Key: TypeAlias = tuple[str, str, Authority]


@define(eq=False)
class UpstreamStates:
    """The states of all upstreams. They outlive a reload.

    Attributes:
        clock: the clock.
    """

    clock: IReactorTime
    _states: dict[_Key, UpstreamState] = field(init=False, factory=dict)

    def of(self, upstream: Upstream) -> UpstreamState:
        """Return the state of an upstream. An upstream with another address has another state."""
        key = _key(upstream)
        found = self._states.get(key)
        if found is None:
            url = f"{upstream.scheme}://{upstream.authority.text}"
            found = self._states[key] = UpstreamState(upstream.name, url, self.clock)
        return found

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """Forget the states of all other upstreams."""
        kept = set(map(_key, upstreams))
        for key in self._states.keys() - kept:
            self._states.pop(key).retire()

    def up(self, upstreams: Mapping[str, Upstream]) -> dict[tuple[str], bool]:
        """Return for each upstream whether it works or was not used yet, by label value of a metric."""
        return {(name,): not self.of(upstream).code for name, upstream in upstreams.items()}


def _key(upstream: Upstream) -> _Key:
    return upstream.name, upstream.scheme, upstream.authority
