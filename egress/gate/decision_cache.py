"""The decisions of a configuration snapshot so far, by the facts that the decisions may depend on."""

from __future__ import annotations

from typing import TypeAlias

from attrs import define, field

from egress.memo import Memo
from egress.model import Admission, Request, RoutePlan, Verdict

# A client that always sends new keys costs all others one evaluation for each key.
_DECISIONS = 8192

PATH_CHARACTERS = 512
"""The longest path of a decision that is kept: 8,192 keys and decisions are below 16 MiB, whatever clients send."""

DecisionKey: TypeAlias = tuple[str, frozenset[str], str, str, str, str, frozenset[str], "str | None"]
"""Client key and labels, listener, request form, method, authority, override fields and path.

Pure policies and selectors look at nothing else.

Labels count by themselves: one client key can stand for several addresses that limits count together.
"""


def decision_key(request: Request) -> DecisionKey:
    """Return the key of a request's decisions."""
    client = request.client
    form, method, authority = request.request_form, request.method, request.authority
    return client.key, client.labels, request.listener, form, method, authority.text, request.overrides, request.path


@define(eq=False)
class DecisionCache:
    """Caches decisions of one configuration snapshot. Refusals are not cached, so that a flood of them evicts nothing.

    Attributes:
        by_name: the verdicts of all pure policies in the first round, and the route plan.
        admissions: complete admissions. An admission is valid only while its Resolution is the resolver's current
            answer.
    """

    by_name: Memo[DecisionKey, tuple[tuple[Verdict, ...], RoutePlan]] = field(
        init=False, factory=lambda: Memo(_DECISIONS)
    )
    admissions: Memo[DecisionKey, Admission] = field(init=False, factory=lambda: Memo(_DECISIONS))

    def keep_by_name(self, key: DecisionKey, verdicts: tuple[Verdict, ...], plan: RoutePlan) -> None:
        """Keep the verdicts of the first round and the route plan, unless the key is too long."""
        if is_short(key):
            self.by_name.keep(key, (verdicts, plan))

    def keep_admission(self, key: DecisionKey, admission: Admission) -> None:
        """Keep an admission, unless the key is too long."""
        if is_short(key):
            self.admissions.keep(key, admission)


def is_short(key: DecisionKey) -> bool:
    """Tell whether decisions of a key are kept. All of it but the path is bounded by configuration or a DNS name."""
    path = key[-1]
    return path is None or len(path) <= PATH_CHARACTERS
