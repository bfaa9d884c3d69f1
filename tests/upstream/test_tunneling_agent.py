"""Routes and their endpoints."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import DialFailed, NameNotFound, ResolverTimeout
from egress.interfaces import IResolver, ITunnelingAgent, IUpstreamSelector
from egress.model import Authority, Client, Hop, Request, Resolution, Route, RoutePlan, Secret, Trace
from egress.testing.network import Network
from egress.tls import UpstreamTls
from egress.upstream import DirectSelector, TunnelingAgent, Upstream
from egress.upstream.credentials import BasicCredentials, FixedCredentials
from tests.upstream.certificates import Identity, Root
from tests.upstream.ends import Ear, Ears, dial_failed, place
from tests.upstream.forward_proxy import ForwardProxy
from tests.upstream.tls_proxy import TlsProxy

ADDRESS = ip_address("192.0.2.1")
TARGET = Authority("example.com", 8443)
NEAR, FAR = "192.0.2.9", "192.0.2.10"
ROOT = Root()
ALICE = FixedCredentials(BasicCredentials("alice", Secret("near")))
BOB = FixedCredentials(BasicCredentials("bob", Secret("far")))


class TunnelingAgentTests(SynchronousTestCase):
    """What was judged is what is dialled."""

    def setUp(self) -> None:
        self.network = Network()
        self.agent = TunnelingAgent(self.network.reactor, 1.0, 2.0)

    def test_it_is_an_agent(self) -> None:
        """It can stand wherever an agent is asked for."""
        self.assertTrue(verifyObject(ITunnelingAgent, self.agent))

    def test_the_routes_addresses_are_dialled(self) -> None:
        """The name is not looked at again: only its port, and the addresses of the route."""
        self.network.origin("192.0.2.1", 8443)
        trace = Trace()

        endpoint = self.agent.endpoint_for(TARGET, Route("direct", (), (ADDRESS,)), trace)
        connected = endpoint.connect(Factory.forProtocol(Protocol))
        self.network.settle()

        self.successResultOf(connected)
        self.assertEqual(self.network.dialled, [("192.0.2.1", 8443)])
        self.assertEqual(trace.dialled, "192.0.2.1")

    def test_a_route_through_proxies_is_never_dialled_straight(self) -> None:
        """A route with a proxy that is not known is an error; leaving it quietly would be a way round."""
        hop = Hop("corporate", "http", Authority("192.0.2.9", 8080))

        with self.assertRaises(ValueError):
            self.agent.endpoint_for(TARGET, Route("corporate", (hop,), (ADDRESS,)), Trace())

        self.assertEqual(self.network.dialled, [])


@implementer(IResolver)
@define(eq=False)
class Names:
    """A resolver that answers later, or at once."""

    known: dict[str, Resolution | Exception] = field(factory=dict)
    waiting: list[Deferred[Resolution]] = field(factory=list)

    def resolve(self, host: str, client: str = "") -> Resolution | Deferred[Resolution]:
        """Look a name up."""
        if host in self.known:
            answer = self.known[host]
            if isinstance(answer, Exception):
                raise answer
            return answer
        self.waiting.append(Deferred())
        return self.waiting[-1]


class Chain:
    """Proxies, an origin, and an agent that knows them, on one network."""

    def __init__(self) -> None:
        self.network = Network()
        self.names = Names()
        self.trace = Trace()
        self.ears = Ears()
        self.upstreams: dict[str, Upstream] = {}
        self.origin = self.network.origin(str(ADDRESS), 8443)
        self.agent = TunnelingAgent(
            self.network.reactor, 1.0, 6.0, 2.0, 4096, upstreams=self.upstreams, resolver=self.names
        )

    def proxy(self, name: str, address: str, **how: Any) -> ForwardProxy:
        """Add an http:// proxy."""
        proxy = ForwardProxy(self.network, {"example.com": str(ADDRESS), "far.example": FAR})
        self.network.listen(address, 8080, proxy)
        self.upstreams[name] = Upstream(name, "http", place(how.pop("host", address), 8080), **how)
        return proxy

    def tls_proxy(self, name: str, address: str, host: str, identity: Identity, **how: Any) -> ForwardProxy:
        """Add an https:// proxy."""
        proxy = ForwardProxy(self.network, {"example.com": str(ADDRESS), "far.example": FAR})
        accepting = TlsProxy(identity.for_server())
        factory = TLSMemoryBIOFactory(accepting, False, proxy, self.network.reactor)
        self.network.listen(address, 8080, factory)
        authority = place(host, 8080)
        self.upstreams[name] = Upstream(name, "https", authority, tls=UpstreamTls.make(authority, ROOT.trust), **how)
        return proxy

    def route(self, *names: str, addresses: tuple[str, ...] = (), by_name: bool = False) -> Route:
        """Make a route through some of them."""
        hops = tuple(Hop(each, self.upstreams[each].scheme, self.upstreams[each].authority) for each in names)
        return Route(names[-1], hops, tuple(map(ip_address, addresses)), by_name)

    def dial(self, route: Route, target: Authority = TARGET) -> Deferred[IProtocol]:
        """Begin, and let all that happens at once happen."""
        result = self.agent.endpoint_for(target, route, self.trace).connect(self.ears)
        self.network.settle()
        return result


class RouteTests(SynchronousTestCase):
    """Routes through proxies."""

    def setUp(self) -> None:
        self.chain = Chain()
        self.network = self.chain.network

    def talk(self, result: Deferred[IProtocol]) -> None:
        """See that bytes go both ways."""
        ear = self.successResultOf(result)
        assert isinstance(ear, Ear)
        ear.stream.write(b"up")
        self.network.settle()
        self.chain.origin.peer.says(b"down")
        self.network.settle()
        self.chain.origin.heard(b"up")
        self.assertEqual(ear.heard, b"down")
        ear.stream.loseConnection()
        self.network.settle()
        self.chain.origin.peer.closes()
        self.network.settle()
        self.network.assert_quiet()

    def failed(self, result: Deferred[IProtocol]) -> DialFailed:
        """Take the failure, and see that nothing is left."""
        problem = dial_failed(self.failureResultOf(result))
        self.network.settle()
        self.network.assert_quiet()
        return problem

    def test_by_name(self) -> None:
        """The proxy is asked for the name, and nothing but the proxy is dialled from here."""
        proxy = self.chain.proxy("near", NEAR)

        result = self.chain.dial(self.chain.route("near", addresses=("192.0.2.77",), by_name=True))

        self.assertEqual(proxy.targets, ["example.com:8443"])
        self.assertEqual(self.network.dialled[0], (NEAR, 8080))
        self.assertEqual(self.chain.trace.dialled, NEAR)
        self.assertEqual(self.chain.trace.attempts, [(NEAR, ""), ("example.com:8443", "")])
        self.talk(result)

    def test_by_address(self) -> None:
        """The proxy is asked for what was judged, and never for the name."""
        proxy = self.chain.proxy("near", NEAR)

        result = self.chain.dial(self.chain.route("near", addresses=(str(ADDRESS),)))

        self.assertEqual(proxy.targets, ["192.0.2.1:8443"])
        self.assertNotIn(b"example.com", proxy.asked[0])
        self.talk(result)

    def test_ipv6(self) -> None:
        """Proxies and targets of the other family are written with brackets."""
        proxy = self.chain.proxy("near", "2001:db8::9")
        origin = self.network.origin("2001:db8::1", 8443)

        result = self.chain.dial(self.chain.route("near", addresses=("2001:db8::1",)))

        self.successResultOf(result)
        self.assertEqual(proxy.targets, ["[2001:db8::1]:8443"])
        self.assertEqual(len(origin.peers), 1)

    def test_a_literal_target_by_name(self) -> None:
        """An address that the client wrote is its own name."""
        proxy = self.chain.proxy("near", NEAR)
        self.network.origin("2001:db8::1", 443)
        route = self.chain.route("near", addresses=("2001:db8::1",), by_name=True)

        self.chain.dial(route, place("2001:db8::1", 443))

        self.assertEqual(proxy.targets, ["[2001:db8::1]:443"])

    def test_nothing_was_judged(self) -> None:
        """Without an address and without leave to name the target, nothing is sent anywhere."""
        self.chain.proxy("near", NEAR)

        problem = self.failed(self.chain.dial(self.chain.route("near")))

        self.assertEqual(problem.code, "unreachable")
        self.assertEqual(self.network.dialled, [])

    def test_two_hops(self) -> None:
        """The first is asked for the second, and the second for the target; each gets its own credentials."""
        near = self.chain.proxy("near", NEAR, credentials=ALICE)
        far = self.chain.proxy("far", FAR, host="far.example", credentials=BOB)

        result = self.chain.dial(self.chain.route("near", "far", by_name=True))

        self.assertEqual((near.targets, far.targets), (["far.example:8080"], ["example.com:8443"]))
        self.assertIn(b"Proxy-Authorization: " + ALICE.authorization() + b"\r\n", near.asked[0])
        self.assertNotIn(BOB.authorization(), near.asked[0])
        self.assertIn(b"Proxy-Authorization: " + BOB.authorization() + b"\r\n", far.asked[0])
        self.assertNotIn(ALICE.authorization(), far.asked[0])
        self.talk(result)

    def test_no_credentials_for_who_has_none(self) -> None:
        """The field is absent for a hop without."""
        near = self.chain.proxy("near", NEAR)
        self.chain.proxy("far", FAR, credentials=BOB)

        self.chain.dial(self.chain.route("near", "far", by_name=True))

        self.assertNotIn(b"Proxy-Authorization", near.asked[0])

    def test_kinds_of_hops(self) -> None:
        """Any of the two may be spoken to in TLS, and TLS goes through TLS."""
        for near_is_tls, far_is_tls in ((True, False), (False, True), (True, True)):
            self.setUp()
            if near_is_tls:
                near = self.chain.tls_proxy("near", NEAR, NEAR, ROOT.issue(NEAR), credentials=ALICE)
            else:
                near = self.chain.proxy("near", NEAR)
            if far_is_tls:
                far = self.chain.tls_proxy("far", FAR, "far.example", ROOT.issue("far.example"), credentials=BOB)
            else:
                far = self.chain.proxy("far", FAR, host="far.example")

            result = self.chain.dial(self.chain.route("near", "far", addresses=(str(ADDRESS),)))

            self.assertEqual((near.targets, far.targets), (["far.example:8080"], ["192.0.2.1:8443"]))
            self.talk(result)

    def test_the_far_certificate_is_verified(self) -> None:
        """A hop behind a hop is no less looked at."""
        self.chain.tls_proxy("near", NEAR, NEAR, ROOT.issue(NEAR))
        far = self.chain.tls_proxy("far", FAR, "far.example", ROOT.issue("other.example"), credentials=BOB)

        problem = self.failed(self.chain.dial(self.chain.route("near", "far", by_name=True)))

        self.assertEqual(problem.code, "proxy_tls_failed")
        self.assertIn("'far'", problem.detail)
        self.assertEqual(far.asked, [])

    def test_which_hop_failed(self) -> None:
        """The audit log names it, the client's sentence does not."""
        near = self.chain.proxy("near", NEAR)
        far = self.chain.proxy("far", FAR)
        near_refuses = b"HTTP/1.1 403 no\r\n\r\n"
        for proxy, target, name in ((far, "example.com:8443", "far"), (near, f"{FAR}:8080", "near")):
            proxy.refusals[target] = near_refuses

            problem = self.failed(self.chain.dial(self.chain.route("near", "far", by_name=True)))

            self.assertEqual(problem.code, "proxy_refused")
            self.assertIn(f"'{name}'", problem.detail)
            self.assertEqual(problem.reason, "An upstream proxy refused the connection with status 403.")

    def test_states(self) -> None:
        """What becomes of a dial tells which proxies work."""
        near, far = self.chain.proxy("near", NEAR), self.chain.proxy("far", FAR)
        tls = self.chain.tls_proxy("tls", "192.0.2.11", "192.0.2.11", ROOT.issue("other.example"))
        self.chain.upstreams["gone"] = Upstream("gone", "http", place("192.0.2.12", 8080))
        self.chain.names.known["lost.example"] = NameNotFound("no")
        self.chain.upstreams["lost"] = Upstream("lost", "http", place("lost.example", 8080))
        self.network.blackhole("192.0.2.13")
        self.chain.upstreams["silent"] = Upstream("silent", "http", place("192.0.2.13", 8080))
        target = "example.com:8443"
        for names, refusing, answer, codes in (
            (["near"], near, None, {"near": ""}),
            (["near"], near, b"HTTP/1.1 403 No\r\n\r\n", {"near": ""}),
            (["near"], near, b"HTTP/1.1 502 No\r\n\r\n", {"near": ""}),
            (["near"], near, b"HTTP/1.1 407 No\r\n\r\n", {"near": "proxy_auth_required"}),
            (["near"], near, b"", {"near": "proxy_auth_required"}),
            (["near"], near, b"SSH-2.0-x\r\n", {"near": "proxy_malformed"}),
            (["near", "far"], far, b"HTTP/1.1 407 No\r\n\r\n", {"near": "", "far": "proxy_auth_required"}),
            (["near", "far"], near, b"HTTP/1.1 503 No\r\n\r\n", {"near": "", "far": "proxy_unreachable"}),
            (["near", "far"], near, None, {"near": "", "far": ""}),
            (["near", "tls"], tls, None, {"near": "", "tls": "proxy_tls_failed"}),
            (["near", "gone"], near, None, {"near": "", "gone": "proxy_unreachable"}),
            (["gone", "far"], near, None, {"gone": "proxy_unreachable", "far": "proxy_unreachable"}),
            (["tls"], tls, None, {"tls": "proxy_tls_failed"}),
            (["gone"], near, None, {"gone": "proxy_unreachable"}),
            (["lost"], near, None, {"lost": "proxy_unreachable"}),
            (["silent"], near, None, {"silent": "proxy_unreachable"}),
        ):
            asked = f"{FAR}:8080" if len(names) > 1 and refusing is near else target
            near.refusals, far.refusals = {}, {}
            if answer is not None:
                refusing.refusals = {asked: answer}
            self.chain.ears = Ears()
            result = self.chain.dial(self.chain.route(*names, by_name=True))
            self.network.advance(10.0)
            for ear in self.chain.ears.built:
                ear.stream.abortConnection()
            self.network.settle()
            result.addErrback(lambda failure: failure.trap(DialFailed))
            self.assertEqual(
                codes, {name: self.chain.agent.states.of(self.chain.upstreams[name]).code for name in codes}, names
            )

    def test_cancelled_dial(self) -> None:
        """A client that leaves says nothing of the proxy."""
        self.network.blackhole(NEAR)
        self.chain.upstreams["near"] = Upstream("near", "http", place(NEAR, 8080))
        result = self.chain.dial(self.chain.route("near", by_name=True))

        result.cancel()

        self.failureResultOf(result, CancelledError)
        state = self.chain.agent.states.of(self.chain.upstreams["near"])
        self.assertEqual(("", False), (state.code, state.is_known))

    def test_another_proxy_than_the_judged(self) -> None:
        """A route to another place than the name has now is not taken, and no credentials are given for it."""
        self.chain.proxy("near", NEAR, credentials=ALICE)
        for hop in (
            Hop("near", "http", place(FAR, 8080)),
            Hop("near", "https", place(NEAR, 8080)),
            Hop("gone", "http", place(NEAR, 8080)),
        ):
            route = Route("near", (hop,), (ADDRESS,))

            for use in (
                lambda route: self.chain.agent.endpoint_for(TARGET, route, Trace()),
                lambda route: self.chain.agent.proxies.last_proxy(route),
            ):
                with self.assertRaises(ValueError):
                    use(route)

    def test_to_the_proxy_itself(self) -> None:
        """Plain HTTP is spoken with the last proxy, through those before it."""
        near = self.chain.proxy("near", NEAR, credentials=ALICE)
        self.chain.tls_proxy("far", FAR, "far.example", ROOT.issue("far.example"), credentials=BOB)
        route = self.chain.route("near", "far")

        proxy = self.chain.agent.proxies.last_proxy(route)
        result = proxy.endpoint(self.chain.trace).connect(self.chain.ears)
        self.network.settle()

        self.successResultOf(result)
        self.assertEqual(near.targets, ["far.example:8080"])
        self.assertEqual(proxy.authorization(), BOB.authorization())

    def test_to_the_only_proxy(self) -> None:
        """With one, it is just dialled; without credentials there are none."""
        near = self.chain.proxy("near", NEAR)
        route = self.chain.route("near")

        proxy = self.chain.agent.proxies.last_proxy(route)
        result = proxy.endpoint(self.chain.trace).connect(self.chain.ears)
        self.network.settle()

        self.successResultOf(result)
        self.assertEqual(near.asked, [])
        self.assertIsNone(proxy.authorization())

    def test_a_direct_route_has_no_proxy(self) -> None:
        """To ask for it is a mistake."""
        route = Route("direct", (), (ADDRESS,))

        with self.assertRaises(ValueError):
            self.chain.agent.proxies.last_proxy(route)

    def test_a_proxy_that_is_not_there(self) -> None:
        """Also where nothing but the proxy is wanted, it is the proxy that is told of."""
        self.chain.proxy("near", NEAR)
        self.network.unreachable(NEAR)

        proxy = self.chain.agent.proxies.last_proxy(self.chain.route("near"))
        result = proxy.endpoint(self.chain.trace).connect(self.chain.ears)
        self.network.settle()

        self.assertEqual(self.failed(result).code, "proxy_unreachable")


class InTurnTests(SynchronousTestCase):
    """Several judged addresses: the proxy is asked for one after the other."""

    def setUp(self) -> None:
        self.chain = Chain()
        self.network = self.chain.network
        self.proxy = self.chain.proxy("near", NEAR)
        self.route = self.chain.route("near", addresses=("2001:db8::77", "192.0.2.77", str(ADDRESS)))
        self.asked = ["[2001:db8::77]:8443", "192.0.2.77:8443", "192.0.2.1:8443"]

    def test_the_next_is_tried(self) -> None:
        """Where the proxy does not reach one, and where it does not say so in time."""
        self.proxy.refusals["[2001:db8::77]:8443"] = b""
        result = self.chain.dial(self.route)

        self.network.advance(2.1)

        self.successResultOf(result)
        self.assertEqual(self.proxy.targets, self.asked)
        outcomes = [(self.asked[0], "timeout"), (self.asked[1], "503"), (self.asked[2], "")]
        self.assertEqual([each for each in self.chain.trace.attempts if each[0] != NEAR], outcomes)

    def test_the_time_is_shared(self) -> None:
        """All together have the whole deadline, and each its part of what is left."""
        self.chain.agent.handshake_seconds = 60.0
        self.proxy.refusals = dict.fromkeys(self.asked, b"")
        result = self.chain.dial(self.route)

        seen = []
        for _ in range(3):
            seen.append(len(self.proxy.asked))
            self.network.advance(2.0)

        self.assertEqual(seen, [1, 2, 3])
        problem = dial_failed(self.failureResultOf(result))
        self.assertEqual(problem.code, "proxy_timeout")
        self.network.assert_quiet()

    def test_none_is_left(self) -> None:
        """It fails as the last one did, with every attempt on the record."""
        self.proxy.refusals = dict.fromkeys(self.asked, b"HTTP/1.1 502 x\r\n\r\n")
        self.proxy.refusals[self.asked[2]] = b"HTTP/1.1 504 x\r\n\r\n"

        problem = dial_failed(self.failureResultOf(self.chain.dial(self.route)))

        self.assertEqual(problem.code, "proxy_failed")
        self.assertIn("504", problem.reason)
        self.assertEqual([outcome for target, outcome in problem.attempts if target != NEAR], ["502", "502", "504"])

    def test_what_another_address_does_not_mend(self) -> None:
        """Wrong credentials, garbage or a proxy that is gone end it at once."""
        for answer, code in ((b"HTTP/1.1 407 x\r\n\r\n", "proxy_auth_required"), (b"SSH-2.0-x\r\n", "proxy_malformed")):
            self.setUp()
            self.proxy.refusals[self.asked[0]] = answer

            problem = dial_failed(self.failureResultOf(self.chain.dial(self.route)))

            self.assertEqual(problem.code, code)
            self.assertEqual(self.proxy.targets, self.asked[:1])

    def test_cancel(self) -> None:
        """It may be cancelled at any of them."""
        self.proxy.refusals = dict.fromkeys(self.asked, b"")
        for seconds in (0.0, 2.1, 4.1):
            result = self.chain.dial(self.route)
            self.network.advance(seconds)

            result.cancel()
            self.network.settle()

            self.failureResultOf(result, CancelledError)
            self.network.assert_quiet()


class ProxyNameTests(SynchronousTestCase):
    """A proxy with a name is looked up here."""

    def setUp(self) -> None:
        self.chain = Chain()
        self.network = self.chain.network
        self.proxy = self.chain.proxy("near", NEAR, host="proxy.corp")
        self.route = self.chain.route("near", by_name=True)
        self.answer = Resolution("proxy.corp", (ip_address(NEAR),))

    def test_an_answer_at_hand(self) -> None:
        """Nothing waits."""
        self.chain.names.known["proxy.corp"] = self.answer

        self.successResultOf(self.chain.dial(self.route))

    def test_a_private_address(self) -> None:
        """Where a proxy is, the operator has said: no guard stands before it."""
        self.network.listen("10.0.0.9", 8080, self.proxy)
        self.chain.names.known["proxy.corp"] = Resolution("proxy.corp", (ip_address("10.0.0.9"),))

        self.successResultOf(self.chain.dial(self.route))

    def test_an_answer_later(self) -> None:
        """The dial waits for it."""
        result = self.chain.dial(self.route)
        self.assertNoResult(result)

        self.chain.names.waiting[0].callback(self.answer)
        self.network.settle()

        self.successResultOf(result)

    def test_several_addresses(self) -> None:
        """One that does not answer does not cost the whole deadline (RFC 8305)."""
        self.network.blackhole("2001:db8::9")
        self.chain.names.known["proxy.corp"] = Resolution("proxy.corp", (ip_address("2001:db8::9"), ip_address(NEAR)))
        result = self.chain.dial(self.route)

        self.network.advance(0.3)

        self.successResultOf(result)
        self.assertEqual(self.chain.trace.dialled, NEAR)

    def test_it_has_none(self) -> None:
        """That is the proxy's failure and not the destination's, now or later."""
        for error in (NameNotFound("no"), ResolverTimeout("late")):
            self.chain.names.known["proxy.corp"] = error
            problem = dial_failed(self.failureResultOf(self.chain.dial(self.route)))

            del self.chain.names.known["proxy.corp"]
            result = self.chain.dial(self.route)
            self.chain.names.waiting[-1].errback(error)
            problem_later = dial_failed(self.failureResultOf(result))

            for each in (problem, problem_later):
                self.assertEqual(each.code, "proxy_unreachable")
                self.assertEqual(each.reason, "The name of an upstream proxy does not resolve.")
                self.assertIn(error.code, each.detail)

    def test_no_resolver(self) -> None:
        """Without one, names cannot be used; addresses can."""
        self.chain.agent.proxies.resolver = None

        problem = dial_failed(self.failureResultOf(self.chain.dial(self.route)))

        self.assertEqual(problem.code, "proxy_unreachable")

    def test_cancel(self) -> None:
        """While it is looked up, and while what it stands for is dialled."""
        result = self.chain.dial(self.route)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertTrue(self.chain.names.waiting[0].called)

        self.network.blackhole(NEAR)
        result = self.chain.dial(self.route)
        self.chain.names.waiting[1].callback(self.answer)
        self.network.settle()
        result.cancel()
        self.network.settle()

        self.failureResultOf(result, CancelledError)
        self.network.assert_quiet()


class DirectSelectorTests(SynchronousTestCase):
    """There is one route."""

    def test_it_is_a_selector(self) -> None:
        """It can stand wherever a selector is asked for."""
        self.assertTrue(verifyObject(IUpstreamSelector, DirectSelector()))

    def test_every_request_goes_direct(self) -> None:
        """The plan says so, and is one object, so that judgements can be remembered by it."""
        request = Request("1", "connect", "CONNECT", TARGET, None, Client("a/b"), "a", 0.0)

        selector = DirectSelector()
        plan = selector.select(request)

        self.assertEqual(plan, RoutePlan("direct", "none"))
        self.assertIs(DirectSelector().select(request), plan)
        settled = selector.settle(plan, Resolution("example.com", (ADDRESS,)), 443)
        self.assertEqual(settled, (plan, Route("direct", (), (ADDRESS,))))
