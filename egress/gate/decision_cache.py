"""What a configuration snapshot has decided so far, by what its decisions may depend on."""

from __future__ import annotations

from typing import TypeAlias

from attrs import define, field

from egress.memo import Memo
from egress.model import Admission, Request, RoutePlan, Verdict

# A few thousand keys are a few megabytes. A client that sends ever new ones costs everybody one evaluation a key.
_DECISIONS = 8192

DecisionKey: TypeAlias = tuple[str, frozenset[str], str, str, str, str, "str | None"]
"""Client key and labels, listener, request form, method, authority, path: all that pure policies and selectors look at.

Labels count by themselves: one client key can stand for several addresses that limits count together.
"""


def decision_key(request: Request) -> DecisionKey:
    """Give the key of a request's decisions."""
    client = request.client
    form, method, authority = request.request_form, request.method, request.authority
    return client.key, client.labels, request.listener, form, method, authority.text, request.path


@define(eq=False)
class DecisionCache:
    """Remembers decisions of one configuration snapshot. Refusals are not kept: a flood of them must evict nothing.

    Attributes:
        by_name: verdicts of the first round, where every pure policy has one, and the route plan.
        admissions: whole admissions. One is valid only while its Resolution is the resolver's current answer.
    """

    by_name: Memo[DecisionKey, tuple[tuple[Verdict, ...], RoutePlan]] = field(
        init=False, factory=lambda: Memo(_DECISIONS)
    )
    admissions: Memo[DecisionKey, Admission] = field(init=False, factory=lambda: Memo(_DECISIONS))
