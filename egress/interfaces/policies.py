"""Interfaces of policies and of their plugins."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from egress.interfaces.resolver import IResolver
from egress.model import Admission, AuditEvent, PolicyRule, Request, Resolution, Verdict


class IPolicy(Interface):
    """Judges requests."""

    name: str = Attribute("The policy's name in the configuration.")
    pure: bool = Attribute(
        "True promises one verdict for each client, method, authority and path until the next configuration "
        "snapshot. Only such verdicts are remembered."
    )

    def decide(request: Request, resolution: Resolution | None) -> Verdict | Deferred[Verdict]:
        """Judge one request at one stage.

        Args:
            request: the request.
            resolution: the addresses of its host; None in the first round, before the name is resolved.

        Returns:
            A verdict that bears this policy's name.
        """


class IPolicyObserver(Interface):
    """Optional on a policy: hears what became of the requests that were admitted."""

    def started(request: Request, admission: Admission) -> None:
        """An admitted request begins to move bytes."""

    def moved(request: Request, up: int, down: int) -> Verdict | None:
        """Bytes moved since the last call; at most once a second for each request.

        The first call comes within a second of ``started`` or at the end, even if no bytes have moved: an idle tunnel
        can be ended too.

        Returns:
            None, or a verdict; a DENY ends the request.
        """

    def ended(record: AuditEvent) -> None:
        """A started request is over. Called exactly once for each ``started``."""


class IFailureVerdict(Interface):
    """Optional on a policy: the verdict that stands where the policy raises, is late or returns no verdict.

    Without it such a policy denies.
    """

    def failure_verdict(problem: str) -> Verdict:
        """Give the verdict.

        Args:
            problem: one sentence, such as "The policy was late.".
        """


class IPolicyDescription(Interface):
    """Optional on a policy: describes it to ``egress check``, to the start message and to a reload.

    Without a description they know a policy by its table only: a reload tells that the table changed, and not what the
    change means.
    """

    def rules() -> Sequence[PolicyRule]:
        """List the rules of the policy. Called once, after the policy was made.

        What is written in a rule is checked as a rule of ``destinations`` is: its clients must be able to come by a
        listener of the configuration. An allow rule that no earlier rule covers, or a deny rule that no later rule
        covers, is reported at a reload. Therefore an allow rule covers everything that the policy allows by it, and a
        deny rule nothing that the policy does not deny.
        """

    def weaker_than(previous: IPolicy) -> Sequence[str]:
        """Compare the policy with the one that a reload replaces by it.

        The allow and deny rules of all policies are compared by the caller. What is left for this method is what rules
        do not show, such as the height of a limit.

        Args:
            previous: has the name and the kind of this policy, and decided.

        Returns:
            A sentence for each way in which this policy protects less, without the policy's name.
        """


class IHostServices(Interface):
    """The services that the supervisor lends to a plugin."""

    clock: object = Attribute("IReactorTime: the injected clock.")
    resolver: IResolver = Attribute("The supervisor's resolver.")

    def counters(name: str) -> MutableMapping[str, float]:
        """Give the counters of the policy called ``name``. They survive a reload."""


class IPolicyMaker(IPlugin):
    """A policy plugin: makes policies from configuration tables."""

    kind: str = Attribute("The value of ``kind`` in the configuration that selects this maker.")

    def make_policy(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        """Build one policy.

        Args:
            name: its name in the configuration, unique among policies.
            settings: the policy's table without ``kind``, ``name`` and ``mode``, unvalidated.
            host: the services of the supervisor.

        Raises:
            ConfigError: names the wrong key, relative to the table. A policy raises it here or never.
        """
