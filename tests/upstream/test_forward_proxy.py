"""The last proxy of a route, as a recipient of requests. `test_tunneling_agent` has its endpoints."""

from __future__ import annotations

from attrs import define
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.interfaces import ICredentialSource, IForwardProxies, IForwardProxy
from egress.model import Hop, Route
from egress.upstream import Upstream, UpstreamStates
from egress.upstream.forward_proxy import ForwardProxies, ForwardProxy
from tests.upstream.ends import place


@implementer(ICredentialSource)
@define(eq=False)
class ChangingCredentials:
    """Credentials that a test changes."""

    value: bytes

    def authorization(self) -> bytes:
        """Give the present value."""
        return self.value


class ForwardProxyTests(SynchronousTestCase):
    """Two proxies, one behind the other."""

    def setUp(self) -> None:
        self.near, self.far = ChangingCredentials(b"Basic near"), ChangingCredentials(b"Basic far")
        upstreams = {
            "near": Upstream("near", "http", place("192.0.2.9", 8080), self.near),
            "far": Upstream("far", "http", place("far.example", 8080), self.far),
            "open": Upstream("open", "http", place("open.example", 8080)),
        }
        reactor = MemoryReactorClock()
        states = self.states = UpstreamStates(reactor)
        self.proxies = ForwardProxies(reactor, 1.0, 2.0, 3.0, 4096, upstreams, None, lambda *_: False, states)
        self.upstreams = upstreams

    def proxy(self, *names: str) -> ForwardProxy:
        """Find the last proxy of a route."""
        hops = tuple(Hop(name, "http", self.upstreams[name].authority) for name in names)
        return self.proxies.last_proxy(Route(names[-1], hops, ()))

    def test_interfaces(self) -> None:
        """Both provide what the proxy server asks for."""
        verifyObject(IForwardProxies, self.proxies)
        verifyObject(IForwardProxy, self.proxy("near"))

    def test_its_own_credentials(self) -> None:
        """They are the last proxy's, as they are now; a proxy may have none."""
        proxy = self.proxy("near", "far")

        self.assertEqual((proxy.upstream, proxy.authorization()), ("far", b"Basic far"))
        self.far.value = b"Basic new"
        self.assertEqual(b"Basic new", proxy.authorization())
        self.assertIsNone(self.proxy("open").authorization())

    def test_the_mark_changes_with_any_credentials(self) -> None:
        """Those of every proxy of the route count, and the mark shows none of them."""
        proxy = self.proxy("near", "far")
        marks = [proxy.credentials_mark(), proxy.credentials_mark()]
        for credentials in (self.far, self.near):
            credentials.value = b"Basic new"
            marks.append(proxy.credentials_mark())

        self.assertEqual(marks[0], marks[1])
        self.assertEqual(3, len(set(marks)))

    def test_unauthorized(self) -> None:
        """A 407 is described without the hop for the client, and with it for the audit log."""
        failed = self.proxy("far").unauthorized([b"Negotiate"], is_sent=True)

        self.assertEqual("proxy_auth_required", failed.code)
        self.assertIn("does not accept our credentials; it offers Negotiate", failed.reason)
        self.assertNotIn("far", failed.reason)
        self.assertIn("'far'", failed.detail)

    def test_connection_lost(self) -> None:
        """A failure of TLS is described; other ends are left to the exchange."""
        alert = SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")])
        proxy = self.proxy("far")

        failed = proxy.connection_lost(Failure(alert))

        assert failed is not None
        self.assertEqual("proxy_tls_failed", failed.code)
        self.assertIn("it wants a client certificate", failed.reason)
        self.assertIsNone(proxy.connection_lost(Failure(ConnectionDone())))

    def test_its_state(self) -> None:
        """What it answers in absolute form is taken note of, in the state that all routes through it share."""
        self.proxy("near", "far").unauthorized([], is_sent=True)
        state = self.states.of(self.upstreams["far"])
        self.assertEqual("proxy_auth_required", state.code)
        self.proxy("far").answered()
        self.assertEqual("", state.code)
        self.proxy("far").malformed("It is not HTTP/1.1.")
        self.assertEqual("proxy_malformed", state.code)
        self.assertEqual("", state.readiness_fault())
        self.proxy("far").answered()

        self.proxy("far").connection_lost(
            Failure(SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")]))
        )

        self.assertIn("proxy_tls_failed", state.readiness_fault())
        self.assertEqual("", self.states.of(self.upstreams["near"]).code)

    def test_another_proxy(self) -> None:
        """A route to another place than its name has now is an error, and so is a direct one."""
        for hops in ((Hop("far", "https", place("far.example", 8080)),), (Hop("gone", "http", place("a", 1)),), ()):
            with self.assertRaises(ValueError):
                self.proxies.last_proxy(Route("far", hops, ()))
