"""The classification of responses of upstream proxies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.proxy_status import _parts, response_source


class ResponseSourceTests(SynchronousTestCase):
    """`response_source`."""

    def test_table(self) -> None:
        """An answer is the proxy's where a field says so, and of unknown source otherwise."""
        for status, block, source in (
            (200, b"", "unknown"),
            (502, b"Content-Length: 0\r\n", "unknown"),
            (503, b"X-Squid-Error: ERR_DNS_FAIL 0\r\n", "upstream"),
            (503, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nx-squid-error: ERR_DNS_FAIL 0\r\n", "upstream"),
            (200, b"X-Note: x-squid-error: none\r\n", "unknown"),
            (504, b"Proxy-Status: SomeProxy; error=connection_timeout\r\n", "upstream"),
            (200, b'proxy-status: a;error=http_request_denied;details="a, b; error=x"\r\n', "upstream"),
            (200, b"Proxy-Status: a; received-status=200\r\n", "unknown"),
            (200, b"Proxy-Status: a\r\n", "unknown"),
            (502, b"Proxy-Status: a;error=http_protocol_error\r\n", "upstream"),
            (502, b'Proxy-Status: a;error="http_protocol_error"\r\n', "upstream"),
            (502, b"Proxy-Status: a;error=http_protocol_error;received-status=200\r\n", "unknown"),
            (200, b"Proxy-Status: a;error=http_response_incomplete\r\n", "unknown"),
            (200, b"Proxy-Status: a;error=unheard_of\r\n", "unknown"),
            (429, b"Proxy-Status: gateway;error=http_request_error, proxy\r\n", "unknown"),
            (429, b"Proxy-Status: gateway\r\nProxy-Status: proxy:80; error=http_request_error\r\n", "upstream"),
            (429, b'Proxy-Status: "a;error=dns_error"\r\n', "unknown"),
        ):
            with self.subTest(block=block):
                self.assertEqual(source, response_source(status, block))

    def test_string_without_end(self) -> None:
        """A string that is not closed is one part: looking for its end from each of its quotes would take seconds."""
        for string in (b'"', b'"a', b'"\\', b'"' + b'\\"' * 1000, b'"' + b'\\"' * 1000 + b"\\"):
            self.assertEqual([b"a", b";", string], _parts(b"a;" + string))
        self.assertEqual([b'"a"', b'"b'], _parts(b'"a""b'))

    @given(st.integers(200, 599), st.binary(max_size=60))
    def test_any_value(self, status: int, value: bytes) -> None:
        """Whatever an origin sends, it is classified."""
        block = b"Proxy-Status: %b\r\n" % value.replace(b"\r", b"").replace(b"\n", b"")

        self.assertIn(response_source(status, block), ("upstream", "unknown"))
