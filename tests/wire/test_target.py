"""Tests of egress.wire.target."""

from __future__ import annotations

from base64 import b64encode
from unicodedata import normalize
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire import authority as authority_module
from egress.wire import target as target_module
from egress.wire.target import parse_target

# Path as sent, path as judged and sent on, and whether it is ambiguous.
PATHS: list[tuple[bytes, str, bool]] = [
    (b"", "/", False),
    (b"/", "/", False),
    (b"/a/b", "/a/b", False),
    (b"/a/b/", "/a/b/", False),
    (b"//a//b", "//a//b", False),
    (b"/%61%2Db%5f%7E", "/a-b_~", False),
    (b"/%c3%a9", "/%C3%A9", False),
    (b"/%3a%3B%20", "/%3A%3B%20", False),
    (b"/%2561", "/%2561", True),
    (b"/a/..;/b", "/a/..;/b", True),
    (b"/a/.;x/b", "/a/.;x/b", True),
    (b"/a/..%3b/b", "/a/..%3B/b", True),
    (b"/a/%252e%252e/b", "/a/%252e%252e/b", True),
    (b"/a/%c0%ae%c0%ae/b", "/a/%C0%AE%C0%AE/b", True),
    (b"/a;b/x...;/c%25", "/a;b/x...;/c%25", False),
    (b"/a/...;/b", "/a/...;/b", True),
    (b"/a/..%20;/b", "/a/..%20;/b", True),
    (b"/%25%75002e", "/%25u002e", True),
    (b"/a/%e0%80%ae%e0%80%ae/b", "/a/%E0%80%AE%E0%80%AE/b", True),
    (b"/a/..%e0%80%af", "/a/..%E0%80%AF", True),
    (b"/a%f0%80%80%afb", "/a%F0%80%80%AFb", True),
    (b"/a%f8%80%80%80%afb", "/a%F8%80%80%80%AFb", True),
    (b"/a%fc%80%80%80%80%afb", "/a%FC%80%80%80%80%AFb", True),
    (b"/a%ed%a0%80b", "/a%ED%A0%80b", True),
    (b"/a%f4%90%80%80b", "/a%F4%90%80%80b", True),
    (b"/caf%e9", "/caf%E9", True),
    (b"/a/..%ff/b", "/a/..%FF/b", True),
    (b"/a/..%ff", "/a/..%FF", True),
    (b"/a/.%80./b", "/a/.%80./b", True),
    (b"/a/..%20", "/a/..%20", True),
    (b"/a/..%20/b", "/a/..%20/b", True),
    (b"/a/%20../b", "/a/%20../b", True),
    (b"/a/.%20./b", "/a/.%20./b", True),
    (b"/a/.%20", "/a/.%20", True),
    (b"/a/..%c2%a0/b", "/a/..%C2%A0/b", True),
    (b"/a/.%e2%80%8b./b", "/a/.%E2%80%8B./b", True),
    (b"/a/%ef%bc%8e%ef%bc%8e/b", "/a/%EF%BC%8E%EF%BC%8E/b", True),
    (b"/a/%e2%80%a5/b", "/a/%E2%80%A5/b", True),
    (b"/%20", "/%20", False),
    (b"/a..%20b/x..%20", "/a..%20b/x..%20", False),
    (b"/%e6%97%a5.%e6%9c%ac", "/%E6%97%A5.%E6%9C%AC", False),
    (b"/%f0%9f%98%80", "/%F0%9F%98%80", False),
    (b"/a%2fb", "/a%2Fb", True),
    (b"/a%5cb", "/a%5Cb", True),
    (b"/a\\b", "/a\\b", True),
    (b"/a%252fb", "/a%252fb", True),
    (b"/.", "/", False),
    (b"/./", "/", False),
    (b"/a/.", "/a/", False),
    (b"/a/./b", "/a/b", False),
    (b"/a/..", "/", False),
    (b"/a/../", "/", False),
    (b"/a/../b", "/b", False),
    (b"/a/b/../../c", "/c", False),
    (b"/a/%2e%2E/b", "/b", False),
    (b"/a/.%2e/b", "/b", False),
    (b"/a/%2e/b", "/a/b", False),
    (b"/a//../b", "/a/b", False),
    (b"/a%2fb/../c", "/c", False),
    (b"/a/..%2fb", "/a/..%2Fb", True),
    (b"/a/..\\b", "/a/..\\b", True),
    (b"/a/..;x/b", "/a/..;x/b", True),
    (b"/.well-known/x", "/.well-known/x", False),
    (b"/...", "/...", True),
    (b"/a/..../b", "/a/..../b", True),
    (b"/a..", "/a..", False),
    (b"/..a", "/..a", False),
    (b'/a|b"c<d>e{f}g^h`i', '/a|b"c<d>e{f}g^h`i', False),
    (b"/a:b@c!$&'()*+,;=", "/a:b@c!$&'()*+,;=", False),
    (b"/http://b/", "/http://b/", False),
]

REFUSED: list[tuple[str, str, str, bytes]] = [
    ("RFC 9112 3.2.1: the origin form is for origins", "not_for_a_proxy", "GET", b"/"),
    ("RFC 9112 3.2.1: with a query", "not_for_a_proxy", "POST", b"/a?b"),
    ("RFC 9112 3.2.1: with two slashes", "not_for_a_proxy", "GET", b"//a/"),
    ("RFC 9112 3.2.1: for OPTIONS too", "not_for_a_proxy", "OPTIONS", b"/"),
    ("RFC 9112 3.2.2: https is not for the clear", "https_target", "GET", b"https://a/"),
    ("RFC 9112 3.2.2: in any case", "https_target", "GET", b"hTTps://a"),
    ("RFC 6455 3: nor wss", "https_target", "GET", b"wss://a/"),
    ("RFC 9110 4.2: another scheme", "scheme_not_supported", "GET", b"ftp://a/"),
    ("RFC 9110 4.2: one without authority", "scheme_not_supported", "GET", b"urn:a:b"),
    ("RFC 9110 4.2: a file", "scheme_not_supported", "GET", b"file:///etc/passwd"),
    ("RFC 9110 4.2: one that only begins like ours", "scheme_not_supported", "GET", b"httpx://a/"),
    ("RFC 9112 3.2.3: the authority form is for CONNECT", "bad_target", "GET", b"a:80"),
    ("RFC 9112 3.2.3: also without port", "bad_target", "GET", b"a"),
    ("RFC 9112 3.2.4: the asterisk is for OPTIONS", "bad_target", "GET", b"*"),
    ("RFC 9112 3.2.4: and stands alone", "bad_target", "OPTIONS", b"*?a"),
    ("RFC 9110 4.2.1: the host is not empty", "bad_target", "GET", b"http:///a"),
    ("RFC 9110 4.2.1: an authority follows", "bad_target", "GET", b"http:a"),
    ("RFC 9110 4.2.1: after two slashes", "bad_target", "GET", b"http:/a"),
    ("RFC 9110 4.2.1: a port alone", "bad_target", "GET", b"http://:80/"),
    ("RFC 9110 4.2.1: nothing at all", "bad_target", "GET", b"http:"),
    ("RFC 3986 3.2.1: user information is percent-encoded", "bad_target", "GET", b"http://u:p%@a/"),
    ("RFC 3986 3.2.1: and holds no second @", "bad_target", "GET", b"http://u@b@a/"),
    ("RFC 3986 3.2.1: nor brackets", "bad_target", "GET", b"http://[u]@a/"),
    ("RFC 7617 2: no control byte in it", "bad_target", "GET", b"http://u:%0d%0aX%3A@a/"),
    ("RFC 7617 2: no colon in a user name", "bad_target", "GET", b"http://u%3Av:p@a/"),
    ("RFC 3986 3.2.2: a host behind it", "bad_target", "GET", b"http://u:p@/"),
    ("RFC 3986 3.2: a backslash ends no authority", "bad_target", "GET", b"http://a\\@b/"),
    ("RFC 3986 3.2.2: no escapes in the host", "bad_target", "GET", b"http://%61/"),
    ("RFC 3986 3.2.3: the port is a number", "bad_target", "GET", b"http://a:x/"),
    ("RFC 3986 3.2.3: one empty port", "bad_target", "GET", b"http://a::/"),
    ("RFC 3986 3.2.3: an empty port of no host", "bad_target", "GET", b"http://:/"),
    ("RFC 3986 3.2.3: an empty port of a bare address", "bad_target", "GET", b"http://::1:/"),
    ("RFC 9110 9.3.6: CONNECT has a port", "bad_target", "CONNECT", b"a:"),
    ("RFC 3986 3.5: no fragment", "bad_target", "GET", b"http://a/#b"),
    ("RFC 3986 3.5: no fragment in place of a path", "bad_target", "GET", b"http://a#b"),
    ("RFC 3986 3.5: no fragment after a query", "bad_target", "GET", b"http://a/?b#c"),
    ("RFC 3986 2: no octets outside ASCII in a path", "bad_target", "GET", b"http://a/\xe9"),
    ("RFC 3986 2: nor in a query", "bad_target", "GET", b"http://a/?\xe9"),
    ("RFC 3986 2: nor in a host", "bad_target", "GET", b"http://\xe9/"),
    ("RFC 3986 2: no control byte in a path", "bad_target", "GET", b"http://a/\x01"),
    ("RFC 3986 2: nor in a query", "bad_target", "GET", b"http://a/?\r\nX: y"),
    ("RFC 3986 2: no space", "bad_target", "GET", b"http://a/ b"),
    ("RFC 3986 2.1: two hexadecimal digits", "bad_target", "GET", b"http://a/%"),
    ("RFC 3986 2.1: not one", "bad_target", "GET", b"http://a/%6"),
    ("RFC 3986 2.1: hexadecimal", "bad_target", "GET", b"http://a/%6g"),
    ("RFC 3986 2.1: no Unicode of another kind", "bad_target", "GET", b"http://a/%u0061"),
    ("RFC 3986 7.3: no encoded NUL", "bad_target", "GET", b"http://a/%00"),
    ("RFC 3986 7.3: no encoded line end", "bad_target", "GET", b"http://a/%0d%0a"),
    ("RFC 3986 7.3: nor any other below the space", "bad_target", "GET", b"http://a/%1F"),
    ("RFC 3986 7.3: no encoded DEL", "bad_target", "GET", b"http://a/%7F"),
    ("RFC 3986 5.2.4: not above the root", "bad_target", "GET", b"http://a/.."),
    ("RFC 3986 5.2.4: not above the root further on", "bad_target", "GET", b"http://a/b/../../c"),
    ("RFC 3986 5.2.4: not above the root in disguise", "bad_target", "GET", b"http://a/%2e%2E/c"),
    ("an empty target", "bad_target", "GET", b""),
    ("RFC 9112 3.2.3: CONNECT has a port", "bad_target", "CONNECT", b"a"),
    ("RFC 9112 3.2.3: CONNECT has no scheme", "bad_target", "CONNECT", b"http://a:80"),
    ("RFC 9112 3.2.3: CONNECT has no path", "bad_target", "CONNECT", b"a:80/"),
    ("RFC 9112 3.2.3: CONNECT has no query", "bad_target", "CONNECT", b"a:80?b"),
    ("RFC 9112 3.2.3: CONNECT has no userinfo", "bad_target", "CONNECT", b"u@a:80"),
    ("RFC 9112 3.2.3: CONNECT has no origin form", "bad_target", "CONNECT", b"/"),
    ("RFC 9112 3.2.3: CONNECT has no asterisk", "bad_target", "CONNECT", b"*"),
    ("RFC 9110 9.3.6: CONNECT has no port 0", "bad_target", "CONNECT", b"a:0"),
    ("methods are case-sensitive", "bad_target", "connect", b"a:80"),
]


class TargetTests(SynchronousTestCase):
    """Request targets."""

    def test_absolute(self) -> None:
        """The absolute form gives scheme, authority and path, with port 80 where none is named."""
        for raw, scheme, text in (
            (b"http://A.example./x", "http", "a.example:80"),
            (b"HTTP://a:8080/x", "http", "a:8080"),
            (b"http://[::1]/x", "http", "[::1]:80"),
            (b"Ws://127.1/x", "ws", "127.0.0.1:80"),
        ):
            found = parse_target("GET", raw)
            assert found.authority is not None
            self.assertEqual((found.form, found.scheme, found.authority.text), ("absolute", scheme, text))
            self.assertEqual((found.path, found.forward_target), ("/x", b"/x"))

    def test_paths(self) -> None:
        """Each path has one form, which is judged and sent, with and without a query, and from memory too."""
        for raw, path, is_ambiguous in PATHS:
            for _ in range(2):
                for query in (b"", b"?", b"?a=%2f&b=%zz/../\\|?"):
                    found = parse_target("GET", b"http://a" + raw + query)
                    self.assertEqual(
                        (found.path, found.forward_target, found.is_path_ambiguous),
                        (path, path.encode() + query, is_ambiguous),
                        raw,
                    )

    @settings(max_examples=300, deadline=None)
    @given(
        st.text("./ \xa0\u200b\uff0e\xe9;a%", min_size=1, max_size=8), st.sampled_from(["ignore", "replace", "strict"])
    )
    def test_other_readers(self, text: str, errors: str) -> None:
        """No reader finds a dot segment in a path that is not ambiguous, whatever it strips or folds."""
        raw = "/" + quote(text, safe="/;")
        try:
            found = parse_target("GET", b"http://a" + raw.encode())
        except ProtocolError:
            return
        assert found.path is not None
        if not found.is_path_ambiguous:
            decoded = unquote_to_bytes(found.path).decode("utf-8", errors)
            for segment in decoded.split("/"):
                folded = normalize("NFKC", segment.partition(";")[0]).replace("\u200b", "").replace(" ", "")
                self.assertNotIn(folded, (".", "..", "..."))

    def test_folded_dots(self) -> None:
        """Every character that compatibility folding turns into dots makes an ambiguous segment."""
        folded = [chr(code) for code in range(0x80, 0x110000) if set(normalize("NFKC", chr(code))) == {"."}]
        self.assertGreater(len(folded), 4)
        for character in folded:
            found = parse_target("GET", b"http://a/a/" + quote(character * 2).encode() + b"/b")
            self.assertTrue(found.is_path_ambiguous, ascii(character))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(min_size=1, max_size=6))
    def test_octets_that_are_not_utf8(self, octets: bytes) -> None:
        """A path whose octets are not UTF-8 is ambiguous."""
        try:
            found = parse_target("GET", b"http://a/x" + quote(octets).encode())
        except ProtocolError:
            return
        if not found.is_path_ambiguous:
            octets.decode("utf-8")

    def test_hostile_length(self) -> None:
        """A long path takes time in proportion to its length."""
        for part in (b"/.", b"/%20", b"%CC%80%CC%A3", b"/...a", b".%20", b"/%FF"):
            raw = b"http://a/x/" + part * 100_000
            try:
                found = parse_target("GET", raw)
            except ProtocolError as fault:
                self.assertEqual(fault.code, "bad_target")
            else:
                self.assertTrue(found.is_path_ambiguous or part != b"/%FF")

    def test_authority_form(self) -> None:
        """CONNECT names a host and a port, and nothing else."""
        found = parse_target("CONNECT", b"EXAMPLE.com:443")
        assert found.authority is not None
        self.assertEqual((found.form, found.scheme, found.authority.text), ("authority", "", "example.com:443"))
        self.assertEqual((found.path, found.forward_target), (None, b"example.com:443"))

    def test_asterisk_form(self) -> None:
        """OPTIONS * is about the proxy itself."""
        found = parse_target("OPTIONS", b"*")
        self.assertEqual(
            (found.form, found.authority, found.path, found.forward_target), ("asterisk", None, None, b"*")
        )

    def test_options_of_a_server(self) -> None:
        """OPTIONS without path and query goes on as an asterisk (RFC 9112 section 3.2.4); no other method does."""
        for method, raw, onward in (
            ("OPTIONS", b"http://a", b"*"),
            ("OPTIONS", b"HTTP://a:8080", b"*"),
            ("OPTIONS", b"http://a/", b"/"),
            ("OPTIONS", b"http://a/.", b"/"),
            ("OPTIONS", b"http://a?", b"/?"),
            ("OPTIONS", b"http://a?b", b"/?b"),
            ("OPTIONS", b"http://a/b", b"/b"),
            ("GET", b"http://a", b"/"),
        ):
            for _ in range(2):
                found = parse_target(method, raw)
                self.assertEqual((found.forward_target, found.path), (onward, "/b" if onward == b"/b" else "/"), raw)

    def test_refused(self) -> None:
        """Every refusal of the table has its code, every time."""
        for sentence, code, method, raw in REFUSED:
            for _ in range(2):
                fault = self.assertRaises(ProtocolError, parse_target, method, raw)
                self.assertEqual(fault.code, code, sentence)
                self.assertTrue(fault.reason.isascii())

    def test_user_information(self) -> None:
        """User information becomes credentials; the rest of the target is the one without it."""
        for _ in range(2):
            for method, end in (("GET", b"/x"), ("GET", b"/x?a@b"), ("OPTIONS", b""), ("HEAD", b":81/@/%7E:")):
                found = parse_target(method, b"http://u:p%40@a" + end)
                self.assertEqual(b"Basic " + b64encode(b"u:p@"), found.authorization)
                self.assertEqual(parse_target(method, b"http://a" + end), evolve(found, authorization=None))
            self.assertIsNone(parse_target("GET", b"http://@a/x").authorization)
            self.assertIsNone(parse_target("GET", b"http://a/u:p@b").authorization)

    def test_user_information_is_hidden(self) -> None:
        """No memo holds user information, and no text of a target or of a fault repeats it."""
        for raw in (b"http://joe:sesame@a/", b"http://sesame@a/?b", b"ws://joe:sesame@a", b"http://@a/", b"http://a/"):
            self.assertNotIn("sesame", repr(parse_target("GET", raw)))
        for method, raw in (
            ("GET", b"http://joe:sesame%@a/"),
            ("GET", b"http://joe:sesame@x@a/"),
            ("GET", b"http://joe:sesame/x@a/"),
            ("GET", b"https://joe:sesame@a/"),
            ("GET", b"sesame://joe:sesame@a/"),
            ("GET", b"http://joe:sesame@a/.."),
            ("CONNECT", b"joe:sesame@a:80"),
        ):
            fault = self.assertRaises(ProtocolError, parse_target, method, raw)
            self.assertNotIn("sesame", repr((fault, str(fault), fault.sentence, fault.authority)))
        for memo in (target_module._memo, authority_module._memo):
            self.assertNotIn("sesame", repr([*memo.items()]))
            self.assertNotIn(b64encode(b"joe:sesame").decode(), repr([*memo.items()]))

    def test_destination_of_a_fault(self) -> None:
        """A fault has the destination wherever one can be read, with the port 0 where that is not known."""
        for method, raw, text in (
            ("GET", b"https://A.example./x", "a.example:443"),
            ("GET", b"https://a:8443?x", "a:8443"),
            ("GET", b"wss://a:", "a:443"),
            ("GET", b"ftp://joe:sesame@a/", "a:21"),
            ("GET", b"gopher://a/", "a:0"),
            ("GET", b"gopher://a:70/", "a:70"),
            ("GET", b"http://a/..", "a:80"),
            ("GET", b"http://joe:sesame%@a:81/", "a:81"),
            ("GET", b"http://a/?b#c", "a:80"),
            ("CONNECT", b"joe:sesame@a:443", "a:443"),
            ("CONNECT", b"a", "a:0"),
        ):
            fault = self.assertRaises(ProtocolError, parse_target, method, raw)
            assert fault.authority is not None, raw
            self.assertEqual(text, fault.authority.text)
        for method, raw in (
            *(("GET", b"/x"), ("GET", b"urn:a:b"), ("GET", b"file:///a"), ("GET", b"http://a:x/"), ("GET", b"*")),
            *(("CONNECT", b"a:443/x"), ("CONNECT", b"http://a:443"), ("GET", b"ftp://-/")),
        ):
            self.assertIsNone(self.assertRaises(ProtocolError, parse_target, method, raw).authority, raw)

    def test_queries_are_not_memoized(self) -> None:
        """The memo holds no query, which may be a secret, and a bounded number of short keys."""
        parse_target("GET", b"http://a/b?token=sesame")
        self.assertFalse([key for key in target_module._memo if b"sesame" in key])
        self.assertFalse([kept for kept in target_module._memo.values() if b"sesame" in kept.forward_target])
        for number in range(5000):
            parse_target("GET", b"http://a/%d" % number)
        self.assertLessEqual(len(target_module._memo), 4096)
        parse_target("GET", b"http://a/" + b"long" * 100)
        self.assertNotIn(b"http://a/" + b"long" * 100, target_module._memo)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(["/", ".", "..", "a", "B", "%2e", "%2F", "%41", "%c3", "\\", ";", "%", "?", "#", "~"])
        ),
    )
    def test_canonical_is_stable(self, words: list[str]) -> None:
        """Any path is a bad target, or has a form that is its own form and in which nothing leads upwards."""
        raw = "/" + "".join(words)
        try:
            found = parse_target("GET", b"http://a" + raw.encode())
        except ProtocolError as fault:
            self.assertEqual(fault.code, "bad_target")
            return
        self.assertEqual(parse_target("GET", b"http://a" + found.forward_target), found)
        assert found.path is not None
        self.assertTrue(found.path.startswith("/"))
        self.assertFalse({".", ".."} & set(found.path.split("/")))
        self.assertEqual(found.forward_target.partition(b"?")[0].decode(), found.path)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from([".", "..", "a", "b"]), min_size=1, max_size=8))
    def test_dots_like_another_reader(self, segments: list[str]) -> None:
        """Dot segments are removed as another implementation of RFC 3986 does."""
        path = "/" + "/".join(segments)
        try:
            found = parse_target("GET", b"http://a" + path.encode())
        except ProtocolError:
            # The other reader stops at the root where we refuse.
            depth = [1 if segment in "ab" else -1 if segment == ".." else 0 for segment in segments]
            self.assertLess(min(sum(depth[: end + 1]) for end in range(len(depth))), 0)
            return
        self.assertEqual(found.path, urlsplit(urljoin("http://a/", path)).path)

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(["GET", "OPTIONS", "CONNECT"]),
        st.sampled_from([b"", b"http://", b"ws://a", b"https:", b"/"]),
        st.binary(max_size=16) | st.text("a:/?#@[]%.\\*1", max_size=16).map(str.encode),
    )
    def test_any_octets(self, method: str, start: bytes, end: bytes) -> None:
        """Any octets are a target or a ProtocolError; what is sent on holds no control bytes, spaces or fragment."""
        try:
            found = parse_target(method, start + end)
        except ProtocolError:
            return
        self.assertTrue(all(0x20 < octet < 0x7F and octet != 0x23 for octet in found.forward_target))
