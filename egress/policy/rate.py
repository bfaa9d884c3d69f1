"""The policy `rate`: limits of the requests, bytes and concurrent connections of each client.

Requests and bytes are limited by token buckets. A bucket holds one minute's worth and refills evenly. A bucket is
stored as one number: the time at which it is full. A full bucket need not be stored.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping
from math import ceil, inf
from typing import TypeVar, cast

from attrs import Attribute, define, field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from egress.config import structure
from egress.errors import ConfigError
from egress.interfaces import IHostServices, IPolicy, IPolicyDescription, IPolicyObserver
from egress.match import ClientPatterns
from egress.model import Admission, AuditEvent, Client, Outcome, PolicyRule, Request, Resolution, RuleEffect, Verdict

BUCKETS_LIMIT = 20_000
"""The largest number of stored buckets. While all are in use, further clients share one bucket."""

_MINUTE = 60.0
# The rounding error of sums of fractions of a minute is below this.
_SLACK = 1e-6
_SWEEP_SECONDS = 1.0
# The largest number of requests that are remembered as counted. A `Memo` is unsuitable: emptying it would count
# requests twice.
_COUNTED_LIMIT = 4096
_OTHERS = ""

_Number = TypeVar("_Number", bound="int | None")


def _positive(_: object, attribute: Attribute[_Number], value: _Number) -> None:
    if value is not None and value < 1:
        raise ValueError("must be at least 1")


def _compile(patterns: tuple[str, ...] | None) -> ClientPatterns | None:
    return None if patterns is None else ClientPatterns.compile(patterns)


@frozen
class RateSettings:
    """The keys of a `rate` policy.

    Attributes:
        requests_per_minute: the limit of requests and tunnels begun.
        bytes_per_minute: the limit of content and tunnel octets, the sum of both directions.
        connections: the limit of concurrent requests and tunnels.
        clients: patterns of the clients that are limited; None for every client.
    """

    requests_per_minute: int | None = field(default=None, validator=_positive)
    bytes_per_minute: int | None = field(default=None, validator=_positive)
    connections: int | None = field(default=None, validator=_positive)
    clients: ClientPatterns | None = field(default=None, converter=_compile)

    def __attrs_post_init__(self) -> None:
        if self.requests_per_minute is None and self.bytes_per_minute is None and self.connections is None:
            raise ConfigError("", "limits nothing: give requests_per_minute, bytes_per_minute or connections")


def make_rate(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
    """Build the policy. See `IPolicyMaker.make_policy`."""
    return RatePolicy(name, structure(RateSettings, settings), cast(IReactorTime, host.clock), host.counters(name))


@implementer(IPolicy, IPolicyObserver, IPolicyDescription)
@define(eq=False)
class RatePolicy:
    """Abstains until a client reaches a limit, then denies with the seconds after which a retry can succeed.

    The counters have keys of four kinds: `requests KEY` and `bytes KEY` are buckets, `open KEY` is the number of active
    requests, `counted ID` is the number of counted bytes of an active request. The counters survive a reload.
    """

    name: str
    settings: RateSettings
    clock: IReactorTime
    counters: MutableMapping[str, float]
    pure: bool = field(default=False, init=False)
    _quiet: Verdict = field(init=False)
    _asked: OrderedDict[str, None] = field(init=False, factory=OrderedDict)
    _excess: set[str] = field(init=False, factory=set)
    _buckets: int = field(init=False)
    _swept: float = field(init=False, default=-inf)

    @_quiet.default
    def _make_quiet(self) -> Verdict:
        return Verdict(Outcome.ABSTAIN, self.name)

    @_buckets.default
    def _count(self) -> int:
        return sum(map(_is_bucket, self.counters))

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Compare the request with every limit, and count it once."""
        client = request.client
        if not self._limits(client) or f"counted {request.id}" in self.counters:
            return self._quiet
        if request.is_judged_again:
            # The request was counted at its admission, perhaps by the policy before a reload. The request's bytes are
            # still counted.
            return self._quiet
        denial = self._full(client) or self._spent(client, -_SLACK)
        if denial is not None:
            return denial
        if self.settings.requests_per_minute is None or resolution is not None or request.id in self._asked:
            return self._quiet
        return self._take_request(request, self.settings.requests_per_minute)

    def started(self, request: Request, admission: Admission) -> None:
        """Count the request as active."""
        if not self._limits(request.client):
            return
        self.counters[f"counted {request.id}"] = 0.0
        limit = self.settings.connections
        if self._add_open(request.client, 1.0) > (inf if limit is None else limit):
            self._excess.add(request.id)

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        """Count bytes; end a request over a limit.

        Requests that were judged at the same moment, because another policy made them wait, may exceed `connections`.
        The first call for each, which comes even if no bytes have moved, ends it.
        """
        counted = self.counters.get(f"counted {request.id}")
        if counted is None:
            return None
        self.counters[f"counted {request.id}"] = counted + up + down
        self._add_bytes(request.client, up + down)
        return self._spent(request.client, _SLACK) or self._crowded(request)

    def ended(self, record: AuditEvent) -> None:
        """Count the remaining bytes of the request, and one active request less."""
        request = record.request
        counted = None if request is None else self.counters.pop(f"counted {request.id}", None)
        if request is None or counted is None:
            # The request started before this policy was configured.
            return
        self._excess.discard(request.id)
        self._add_open(request.client, -1.0)
        self._add_bytes(request.client, max(0.0, record.client_bytes + record.server_bytes - counted))

    def rules(self) -> tuple[PolicyRule, ...]:
        """Describe the policy as one rule that limits. See `IPolicyDescription.rules`."""
        clients = self.settings.clients
        return (PolicyRule(RuleEffect.LIMIT, self.name, clients=None if clients is None else clients.texts),)

    def weaker_than(self, previous: IPolicy) -> tuple[str, ...]:
        """Compare the limits and their clients. See `IPolicyDescription.weaker_than`."""
        return tuple(_relaxed(previous.settings, self.settings)) if isinstance(previous, RatePolicy) else ()

    def _limits(self, client: Client) -> bool:
        clients = self.settings.clients
        return clients is None or clients.match(client.labels)

    def _take_request(self, request: Request, limit: int) -> Verdict:
        now = self.clock.seconds()
        key = self._bucket("requests", request.client, now)
        full_at = max(self.counters.get(key, now), now) + _MINUTE / limit
        if full_at - now > _MINUTE + _SLACK:
            return self._deny(
                "requests_per_minute", f"More than {_count(limit, 'request')} a minute.", full_at - now - _MINUTE
            )
        if not request.is_dry_run:
            self._keep(key, full_at)
            if len(self._asked) >= _COUNTED_LIMIT:
                self._asked.popitem(last=False)
            self._asked[request.id] = None
        return self._quiet

    def _spent(self, client: Client, over: float) -> Verdict | None:
        limit = self.settings.bytes_per_minute
        if limit is None:
            return None
        now = self.clock.seconds()
        debt = self.counters.get(self._bucket("bytes", client, now), now) - now - _MINUTE
        if debt <= over:
            return None
        return self._deny("bytes_per_minute", f"More than {_count(limit, 'byte')} a minute.", debt)

    def _add_bytes(self, client: Client, count: float) -> None:
        limit = self.settings.bytes_per_minute
        if limit is not None and count:
            now = self.clock.seconds()
            key = self._bucket("bytes", client, now)
            self._keep(key, max(self.counters.get(key, now), now) + _MINUTE * count / limit)

    def _full(self, client: Client) -> Verdict | None:
        limit = self.settings.connections
        if limit is None or self.counters.get(f"open {client.key}", 0.0) < limit:
            return None
        return self._deny("connections", f"{_count(limit, 'connection')} open already.", 1.0)

    def _crowded(self, request: Request) -> Verdict | None:
        limit = self.settings.connections
        if limit is None or request.id not in self._excess:
            return None
        if self.counters.get(f"open {request.client.key}", 0.0) <= limit:
            self._excess.discard(request.id)
            return None
        return self._deny("connections", f"More than {_count(limit, 'connection')} open.", 1.0)

    def _add_open(self, client: Client, change: float) -> float:
        key = f"open {client.key}"
        count = self.counters.get(key, 0.0) + change
        if count > 0:
            self.counters[key] = count
        else:
            self.counters.pop(key, None)
        return count

    def _deny(self, rule: str, reason: str, seconds: float) -> Verdict:
        return Verdict(Outcome.DENY, self.name, rule, reason, retry_seconds=float(max(1, ceil(seconds - _SLACK))))

    def _bucket(self, kind: str, client: Client, now: float) -> str:
        """Return the key of a client's bucket, or of the shared bucket while all are in use."""
        key = f"{kind} {client.key}"
        if key in self.counters or self._buckets < BUCKETS_LIMIT:
            return key
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            for idle in [each for each, full_at in self.counters.items() if _is_bucket(each) and full_at <= now]:
                del self.counters[idle]
            self._buckets = self._count()
        return key if self._buckets < BUCKETS_LIMIT else f"{kind} {_OTHERS}"

    def _keep(self, key: str, full_at: float) -> None:
        if key not in self.counters:
            self._buckets += 1
        self.counters[key] = full_at


def _relaxed(old: RateSettings, new: RateSettings) -> Iterator[str]:
    """Describe the limits that are higher or removed, and clients that may no longer be limited."""
    for key in ("requests_per_minute", "bytes_per_minute", "connections"):
        before: int | None = getattr(old, key)
        after: int | None = getattr(new, key)
        if before is not None and (after is None or after > before):
            yield f"{key} is gone" if after is None else f"{key} is {after}, it was {before}"
    if new.clients is not None and (old.clients is None or not {*old.clients.texts} <= {*new.clients.texts}):
        yield "limits other clients than before, or fewer"


def _is_bucket(key: str) -> bool:
    return key.startswith(("requests ", "bytes "))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
