"""Roads and the endpoints made of them."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.interfaces import ITunnelingAgent, IUpstreamSelector
from egress.model import Authority, Client, Hop, Plan, Request, Resolution, Route, Trace
from egress.testing.network import Network
from egress.upstream import DirectSelector, TunnelingAgent

ADDRESS = ip_address("192.0.2.1")
TARGET = Authority("example.com", 8443)


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
        """A road that cannot be taken is an error; leaving it quietly would be a way round."""
        hop = Hop("corporate", "http", Authority("192.0.2.9", 8080))

        with self.assertRaises(ValueError):
            self.agent.endpoint_for(TARGET, Route("corporate", (hop,), (ADDRESS,)), Trace())

        self.assertEqual(self.network.dialled, [])


class DirectSelectorTests(SynchronousTestCase):
    """There is one road."""

    def test_it_is_a_selector(self) -> None:
        """It can stand wherever a selector is asked for."""
        self.assertTrue(verifyObject(IUpstreamSelector, DirectSelector()))

    def test_every_request_goes_direct(self) -> None:
        """The plan says so, and is one object, so that judgements can be remembered by it."""
        request = Request("1", "connect", "CONNECT", TARGET, None, Client("a/b"), "a", 0.0)

        plan = DirectSelector().select(request)

        self.assertEqual(plan, Plan("direct", 6))
        self.assertIs(DirectSelector().select(request), plan)
        self.assertEqual(plan.settle(Resolution("example.com", (ADDRESS,))), Route("direct", (), (ADDRESS,)))
