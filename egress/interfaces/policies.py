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
        "True promises one verdict for each client, method, authority, path and set of override fields until the next "
        "configuration snapshot. Only such verdicts are remembered."
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
    """Optional for a policy: receives the progress and the end of admitted requests."""

    def started(request: Request, admission: Admission) -> None:
        """Note that a request is admitted. Its origin is dialled next, if no idle connection leads to it."""

    def moved(request: Request, up: int, down: int) -> Verdict | None:
        """Note the bytes transferred since the last call; called at most once a second for each request.

        The first call is made within a second of ``started`` or at the end, even if no bytes were transferred, so that
        an idle tunnel, or a request that is still dialled, can be ended too.

        Returns:
            None, or a verdict. A DENY ends the request, with an answer while it is dialled and by a reset afterwards.
        """

    def ended(record: AuditEvent) -> None:
        """Note the end of a started request, also if its dial failed. Called exactly once for each ``started``."""


class IFailureVerdict(Interface):
    """Optional for a policy: supplies the verdict where the policy raises, is late or returns no verdict.

    Without this interface such a policy denies.
    """

    def failure_verdict(problem: str) -> Verdict:
        """Return the verdict.

        Args:
            problem: one sentence, such as "The policy was late.".
        """


class IPolicyDescription(Interface):
    """Optional for a policy: describes the policy to ``egress check``, to the start message and to a reload.

    Without a description only the policy's table is known: a reload reports that the table changed, and not the effect
    of the change.
    """

    def rules() -> Sequence[PolicyRule]:
        """List the rules of the policy. Called once, after the policy was made.

        A rule is checked like a rule of ``destinations``: its client patterns must be able to match a client of a
        listener of the configuration. An allow rule that no earlier rule covers, or a deny rule that no later rule
        covers, is reported at a reload. Therefore an allow rule must cover every request that the policy allows by it,
        and a deny rule must cover no request that the policy does not deny.
        """

    def weaker_than(previous: IPolicy) -> Sequence[str]:
        """Compare the policy with the previous policy, which a reload replaces.

        The allow and deny rules of all policies are compared by the caller. This method reports only differences that
        rules do not show, such as a higher limit.

        Args:
            previous: the previous policy, which has this policy's name and kind, and was enforced.

        Returns:
            A sentence for each way in which this policy protects less, without the policy's name.
        """


class IHostServices(Interface):
    """The services that the supervisor provides to a plugin."""

    clock: object = Attribute("IReactorTime: the injected clock.")
    resolver: IResolver = Attribute("The supervisor's resolver.")

    def counters(name: str) -> MutableMapping[str, float]:
        """Return the counters of the policy called ``name``, which survive a reload."""


class IPolicyMaker(IPlugin):
    """A policy plugin: makes policies from configuration tables."""

    kind: str = Attribute("The value of ``kind`` in the configuration that selects this maker.")

    def make_policy(name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        """Build one policy.

        Args:
            name: the policy's name in the configuration, unique among policies.
            settings: the policy's table without ``kind``, ``name`` and ``mode``, unvalidated.
            host: the services of the supervisor.

        Raises:
            ConfigError: a setting is wrong; the key is relative to the table. A policy raises this error only here.
        """
