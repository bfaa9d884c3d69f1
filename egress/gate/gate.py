"""The gate: the choke point that every request of every form passes."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from egress.errors import Refused, ResolutionError
from egress.gate.decision_cache import decision_key
from egress.gate.eager import Steps, run_eagerly
from egress.gate.evaluation import Evaluation, Fixed, evaluate
from egress.gate.explanation import Explanation
from egress.gate.name_resolution import NameResolution, own_address
from egress.gate.snapshot import Snapshot
from egress.gate.trace import NO_TRACE, Trace
from egress.model import Admission, Request, Resolution


@define(eq=False)
class Gate:
    """Decides about every request. No other object makes this decision.

    Attributes:
        snapshot: the active configuration snapshot; a reload replaces it.
        clock: the clock of the deadlines.
        policy_seconds: the deadline of a policy that returns a Deferred.
        delegated_seconds: the time for which a name that failed to resolve is delegated to an upstream proxy.
        names: the name resolution.
    """

    snapshot: Snapshot
    clock: IReactorTime
    policy_seconds: float
    delegated_seconds: float = 60.0
    names: NameResolution = field(init=False)

    @names.default
    def _make_names(self) -> NameResolution:
        return NameResolution(self.clock, self.delegated_seconds)

    def renew(self, snapshot: Snapshot, policy_seconds: float, delegated_seconds: float) -> None:
        """Activate another configuration snapshot.

        Args:
            snapshot: the new snapshot.
            policy_seconds: see the attribute.
            delegated_seconds: see the attribute. A change drops the cached failures of names.
        """
        self.snapshot, self.policy_seconds = snapshot, policy_seconds
        if delegated_seconds != self.delegated_seconds:
            self.delegated_seconds = delegated_seconds
            self.names = NameResolution(self.clock, delegated_seconds)

    def admit(self, request: Request, within: Admission | None = None) -> Admission | Deferred[Admission]:
        """Judge a request.

        Args:
            request: the request.
            within: for a request inside an intercepted tunnel, the admission of that tunnel. The request keeps the
                route and the addresses of the tunnel.

        Returns:
            The admission, or a Deferred of it that fails with Refused. Cancelling the Deferred stops the evaluation.

        Raises:
            Refused: the request is refused; `authority_mismatch` if its host or port differs from the tunnel's.
        """
        snapshot = self.snapshot
        if within is not None:
            if within.authority != request.authority:
                raise Refused("authority_mismatch", "The request names another host or port than its tunnel.")
            return run_eagerly(evaluate(self._evaluation(request, Fixed.of(within))))
        if snapshot.has_impure:
            return run_eagerly(self._evaluate_new(request, None))
        client, authority = request.client, request.authority
        form, method = request.request_form, request.method
        known = snapshot.decisions.admissions.get(  # the key is `decision_key(request)`
            (client.key, client.labels, request.listener, form, method, authority.text, request.overrides, request.path)
        )
        if known is None:
            return run_eagerly(self._evaluate_new(request, None))
        # A cached admission is valid as long as the resolver returns the same object.
        host = authority.host
        if known.resolution.is_delegated:
            if (
                known.plan.dns == "remote"
                or self.names.delegations.find(host, snapshot.resolver, client.key) is known.resolution
            ):
                return known
            return run_eagerly(self._evaluate_new(request, None))
        try:
            resolution = snapshot.resolver.resolve(host, client.key)
        except ResolutionError:
            # The evaluation may delegate the name to an upstream proxy.
            return run_eagerly(self._evaluate_new(request, None))
        if resolution is not known.resolution:
            return run_eagerly(self._evaluate_new(request, resolution))
        # The addresses of an upstream proxy's name may have been recorded since.
        own = snapshot.own
        if authority.port in own.hop_ports and own.holds(authority, resolution.addresses):
            raise own_address()
        return known

    def admit_again(self, request: Request, admission: Admission, dialled: str) -> Admission | Deferred[Admission]:
        """Judge a request in progress that an earlier configuration snapshot admitted.

        The name is not looked up again. The request is marked, so that policies do not count the request a second time.

        Args:
            request: a request in progress, or about to be dialled.
            admission: the admission of the earlier snapshot.
            dialled: the dialled address; "" if not known.

        Returns:
            An admission by the active snapshot for the route in use, even if the selector would now choose another.

        Raises:
            Refused: the request must end.
        """
        request.is_judged_again = True
        return run_eagerly(self._evaluate_again(request, admission, dialled))

    def explain(self, request: Request) -> Explanation | Deferred[Explanation]:
        """Explain the decision about a request. The name is looked up where `admit` would; nothing is dialled.

        Args:
            request: a dry run.
        """
        return run_eagerly(self._explain(request))

    def _evaluation(
        self,
        request: Request,
        fixed: Fixed | None = None,
        trace: Trace = NO_TRACE,
        started_lookup: Resolution | Deferred[Resolution] | None = None,
    ) -> Evaluation:
        return Evaluation(
            self.snapshot,
            request,
            decision_key(request),
            self.clock,
            self.policy_seconds,
            self.names,
            fixed,
            trace,
            started_lookup,
            is_cacheable=trace is NO_TRACE,
        )

    def _evaluate_new(
        self, request: Request, started_lookup: Resolution | Deferred[Resolution] | None
    ) -> Steps[Admission]:
        evaluation = self._evaluation(request, started_lookup=started_lookup)
        admission = yield from evaluate(evaluation)
        if not evaluation.snapshot.has_impure:
            evaluation.snapshot.decisions.keep_admission(evaluation.key, admission)
        return admission

    def _evaluate_again(self, request: Request, admission: Admission, dialled: str) -> Steps[Admission]:
        evaluation = self._evaluation(request, Fixed.of(admission, dialled))
        again = yield from evaluate(evaluation)
        # The admission keeps the whole resolution, although only the dialled address was judged.
        return Admission(
            again.verdict,
            again.verdicts,
            again.plan,
            again.route,
            admission.resolution,
            again.generation,
            again.authority,
        )

    def _explain(self, request: Request) -> Steps[Explanation]:
        explanation = Explanation()
        try:
            explanation.admission = yield from evaluate(self._evaluation(request, trace=explanation))
        except Refused as refused:
            explanation.refused = refused
        return explanation
