"""Further fields of CONNECT requests to a proxy."""

from __future__ import annotations

from importlib.metadata import version

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.errors import ConfigError
from egress.model import ConnectFields, Secret
from egress.upstream.connect_headers import FIELD_LIMIT, LIMIT_BYTES, NO_HEADERS, ConnectHeaders
from egress.upstream.routing_settings import UpstreamSettings
from egress.wire.request_head import RequestReader

OWN_AGENT = b"User-Agent: egress/%b\r\n" % version("egress").encode("ascii")
SECRET = "hunter2"

RESERVED = (
    *("Host", "Proxy-Authorization", "Connection", "Content-Length", "Transfer-Encoding", "TE", "Trailer", "Upgrade"),
    *("Expect", "Keep-Alive", "HTTP2-Settings", "Via", "Max-Forwards"),
)
VALUES = [
    "",
    " ",
    f" {SECRET}",
    f"{SECRET} ",
    f"{SECRET}\r\nX: y",
    f"{SECRET}\n",
    f"{SECRET}\0",
    f"{SECRET}\x7f",
    "p\u00e4ss",
]
NAMES = ["", " ", "X Y", "X:", "X\r\nY", ":method", "N\u00e4me", "X\t"]


def parse(**headers: str) -> ConnectHeaders:
    """Parse a table; `_` stands for a hyphen."""
    return ConnectHeaders.parse({name.replace("_", "-"): Secret(value) for name, value in headers.items()})


class ConnectHeadersTests(SynchronousTestCase):
    """What may be set, and what the proxy then gets."""

    def assert_wrong(self, headers: dict[str, object]) -> ConfigError:
        """The table is an error at its key, which repeats no value."""
        table = {"name": "corp", "url": "http://proxy.example", "connect_headers": headers}
        with self.assertRaises(ConfigError, msg=repr(headers)) as caught:
            structure(UpstreamSettings, table, "upstream[0]")
        error: ConfigError = caught.exception
        self.assertTrue(error.where.startswith("upstream[0].connect_headers"), error)
        self.assertNotIn(SECRET, str(error))
        self.assertTrue(str(error).isascii() and str(error).isprintable())
        return error

    def test_lines(self) -> None:
        """The fields follow in their order, as they are written."""
        headers = parse(X_Zone="agents", Cookie="a=b; c=d", Proxy_Connection="keep-alive")

        lines = b"X-Zone: agents\r\nCookie: a=b; c=d\r\nProxy-Connection: keep-alive\r\n"
        self.assertEqual(headers.lines(ConnectFields()), OWN_AGENT + lines)
        self.assertEqual(NO_HEADERS.lines(ConnectFields()), OWN_AGENT)

    def test_user_agent(self) -> None:
        """That of the configuration counts before that of the client, and both before that of egress."""
        client = ConnectFields(b"curl/8.5.0")

        self.assertEqual(NO_HEADERS.lines(client), b"User-Agent: curl/8.5.0\r\n")
        self.assertEqual(parse(user_agent="Mozilla/5.0").lines(client), b"user-agent: Mozilla/5.0\r\n")

    def test_via(self) -> None:
        """The proxies that the request has passed are named before the fields of the configuration."""
        fields = ConnectFields(b"curl/8.5.0", b"Via: 1.1 a\r\nVia: 1.1 egress\r\n")

        self.assertEqual(
            parse(X_Zone="agents").lines(fields),
            b"User-Agent: curl/8.5.0\r\nVia: 1.1 a\r\nVia: 1.1 egress\r\nX-Zone: agents\r\n",
        )

    def test_reserved(self) -> None:
        """What frames the request, belongs to the connection or is written by egress cannot be set, in any case."""
        for name in (*RESERVED, *map(str.lower, RESERVED), *map(str.upper, RESERVED)):
            error = self.assert_wrong({name: SECRET})
            self.assertIn("cannot be set", error.problem)

    def test_malformed(self) -> None:
        """Neither a name nor a value can begin another field."""
        for value in VALUES:
            self.assert_wrong({"X-Zone": value})
        for name in NAMES:
            self.assert_wrong({name: SECRET})
        self.assert_wrong({"X-Zone": 5})
        self.assert_wrong({"X-Zone": [SECRET]})
        self.assert_wrong({"X-Zone": SECRET, "x-zone": SECRET})

    def test_bounds(self) -> None:
        """The table is neither empty nor without bounds."""
        self.assert_wrong({})
        self.assert_wrong({f"X-{number}": SECRET for number in range(FIELD_LIMIT + 1)})
        self.assert_wrong({"X-Zone": "x" * LIMIT_BYTES})
        parse(**{f"X_{number}": SECRET for number in range(FIELD_LIMIT)})

    def test_values_are_secrets(self) -> None:
        """No spelling of the settings shows a value; a changed value makes other settings."""
        table = {"name": "corp", "url": "http://proxy.example", "connect_headers": {"X-Token": SECRET}}
        settings = structure(UpstreamSettings, table)

        self.assertNotIn(SECRET, repr(settings) + str(settings))
        self.assertIn("X-Token", repr(settings))
        self.assertNotEqual(settings, structure(UpstreamSettings, {**table, "connect_headers": {"X-Token": "x"}}))

    @given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=4))
    def test_any_table(self, headers: dict[str, str]) -> None:
        """Any table is an error, or fields that a strict reader finds to be those of the table."""
        try:
            parsed = ConnectHeaders.parse({name: Secret(value) for name, value in headers.items()})
        except ConfigError as error:
            self.assertTrue(error.problem)
            return
        head = RequestReader(16384, 1024, 128).feed(
            b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n%b\r\n" % parsed.lines(ConnectFields())
        )
        assert head is not None
        found = {name.decode("ascii"): value.decode("ascii") for _, name, value in head.fields.all()}
        self.assertEqual(found | headers, found)
        self.assertEqual(found.keys() - headers.keys() - {"Host"}, set() if parsed.has_user_agent else {"User-Agent"})
