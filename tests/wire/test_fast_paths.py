"""Fast paths and memos: results equal those of the slow path, and each memo is bounded and free of secrets.

`MEMOS` lists every memo of the tree by module and name, with the test that holds it equal to the computation. `CACHES`
lists the bounded caches that are no memo, with the reason. `FAST_PATHS` lists the fast paths without a memo.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from egress import hostname
from egress.errors import ProtocolError
from egress.hostname import canonical_host
from egress.identity.listener import ListenerIdentifier, client_of
from egress.memo import Memo
from egress.model import OVERRIDES, Connection
from egress.proxy.http1.request_parsing import ParsedRequest, parse_request
from egress.transports.engine import socket_addresses
from egress.wire import authority, fields, request_head, target
from egress.wire.authority import parse_authority
from egress.wire.fields import MEMO_BLOCK_BYTES, SPECIAL, Fields, override_name, parse_fields, split_fields
from egress.wire.forwarding import _serialize_response, serialize_request, serialize_response
from egress.wire.framing import Framing, Kind, response_framing
from egress.wire.request_head import RequestHead, RequestReader
from egress.wire.response_head import ResponseHead, ResponseReader
from egress.wire.target import Target, parse_target
from egress.wire.via import Via

ROOT = Path(__file__).resolve().parent.parent.parent
T = TypeVar("T")

MEMOS = {
    "egress/identity/identifier.py _memo": "IdentityTests.test_connection_facts",
    "egress/identity/identifier.py _named": "tests.identity.test_identifier",
    "egress/identity/listener.py _memo": "IdentityTests.test_connection_facts",
    "egress/proxy/http1/request_parsing.py _memo": "tests.proxy.http1.test_request_parsing",
    "egress/transports/engine/socket_addresses.py _described": "AddressTests.test_socket_addresses",
    "egress/transports/engine/socket_addresses.py _parsed": "AddressTests.test_socket_addresses",
    "egress/wire/authority.py _memo": "AddressTests.test_authorities",
    "egress/wire/request_head.py _fields_memo": "RequestTests.test_reader",
    "egress/wire/response_head.py _memo": "ResponseTests.test_reader",
    "egress/wire/target.py _memo": "AddressTests.test_targets",
}
"""Memos by module and name: the test that compares the memo with the computation."""

CACHES = {
    "egress/transports/engine/writing.py _is_half_closeable": "by class; lru_cache(256) of a fact about a class",
}
"""Caches by `functools`: the reason why they are no memo. State that is bounded otherwise is listed in `STATE`."""

STATE = {
    "egress/identity/failure_limit.py": "Failures counts wrong credentials; emptying it would lift every limit",
    "egress/identity/tokens.py": "Tokens.proven saves 0.3 s of CPU an entry; emptying it would cause much hashing",
    "egress/policy/rate.py": "RatePolicy counts requests; emptying it would count a request twice",
}
"""Bounded state that is not derived from its keys alone, and replaces its oldest entry."""

# Memos of packages whose own tests compare them with the computation.
ELSEWHERE = ("egress/audit/", "egress/gate/", "egress/proxy/forwarding.py", "egress/upstream/")

FAST_PATHS = {
    "egress.hostname.canonical_host": "AddressTests.test_hosts",
    "egress.proxy.http1.request_parsing.parse_request": "RequestTests.test_parse_request",
    "egress.proxy.http1.origin_stream.Http1OriginStream": "tests.proxy.http1.test_origin_stream",
    "egress.wire.fields._connection_options": "RequestTests.test_connection_options",
    "egress.wire.fields.parse_fields": "RequestTests.test_parse_fields",
    "egress.wire.forwarding.serialize_request": "RequestTests.test_serialize_request",
    "egress.wire.forwarding.serialize_response": "ResponseTests.test_simple_heads",
    "egress.wire.framing.response_framing": "ResponseTests.test_simple_heads",
    "egress.wire.request_head.RequestReader.feed": "RequestTests.test_reader",
    "egress.wire.response_head.ResponseReader.feed": "ResponseTests.test_reader",
    "egress.wire.server_hello.ServerHelloReader.feed": "tests.wire.test_server_hello",
}
"""Fast paths by name: the test that compares the fast path with the slow one."""


def memos(source: str) -> Iterator[tuple[str, str]]:
    """Find memos and caches of `functools` in a module.

    Yields:
        The name that a memo is assigned to, or a cached function's, and "Memo", "cache" or "lru_cache".
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            owner = node.targets[0] if isinstance(node, ast.Assign) else node.target
            parts: list[ast.AST] = [node.annotation] if isinstance(node, ast.AnnAssign) else []
            parts += [] if node.value is None else [node.value]
        elif isinstance(node, ast.FunctionDef):
            owner, parts = ast.Name(node.name), list(node.decorator_list)
        else:
            continue
        words = {word.id for part in parts for word in ast.walk(part) if isinstance(word, ast.Name)}
        words |= {word.attr for part in parts for word in ast.walk(part) if isinstance(word, ast.Attribute)}
        for word in sorted(words & {"Memo", "cache", "lru_cache"}):
            yield ast.unparse(owner).removeprefix("self."), word


class TableTests(SynchronousTestCase):
    """The tables above are complete."""

    def test_memos_are_listed(self) -> None:
        """Every memo of the tree is in a table, and no table lists a memo that does not exist."""
        found = {
            (f"{path.relative_to(ROOT)} {name}", word)
            for path in sorted((ROOT / "egress").rglob("*.py"))
            if path.name != "memo.py"
            for name, word in memos(path.read_text())
        }
        ours = {(name, word) for name, word in found if not (word == "Memo" and name.startswith(ELSEWHERE))}
        self.assertEqual(set(MEMOS), {name for name, word in ours if word == "Memo"})
        self.assertEqual(set(CACHES), {name for name, word in ours if word != "Memo"})

    def test_state_exists(self) -> None:
        """Each module of the list of state exists."""
        for path in STATE:
            self.assertTrue((ROOT / path).exists(), path)

    def test_fast_paths_exist(self) -> None:
        """Each function or class of the list of fast paths exists."""
        for name in FAST_PATHS:
            self.assertTrue(callable(namedAny(name)), name)

    def test_tests_exist(self) -> None:
        """Each test that a table names exists."""
        for name in [*MEMOS.values(), *FAST_PATHS.values()]:
            if name.startswith("tests."):
                self.assertTrue((ROOT / (name.replace(".", "/") + ".py")).exists(), name)
            else:
                kind, _, method = name.partition(".")
                self.assertTrue(hasattr(globals()[kind], method), name)

    def test_scanner(self) -> None:
        """The scanner finds memos of modules, classes and functions, and caches."""
        source = (
            "_a: Memo[int, int] = Memo(1)\n_b = lru_cache(2)(f)\n@functools.cache\ndef c(): ...\n"
            "class D:\n    _e: Memo[int, int] = field(init=False)\n"
            "    def f(self):\n        self._g = Memo(3)\n_h = {}\n"
        )
        self.assertEqual(
            {("_a", "Memo"), ("_b", "lru_cache"), ("c", "cache"), ("_e", "Memo"), ("_g", "Memo")}, set(memos(source))
        )


class EmptyMemosCase(SynchronousTestCase):
    """Empties the memos of modules before and after each test."""

    def setUp(self) -> None:
        self.empty()
        self.addCleanup(self.empty)

    @staticmethod
    def empty() -> None:
        """Empty the memos of modules."""
        for memo in MODULE_MEMOS:
            memo.clear()


MODULE_MEMOS: tuple[Memo[Any, Any], ...] = (
    authority._memo,
    target._memo,
    request_head._fields_memo,
    socket_addresses._parsed,
    socket_addresses._described,
)


def result(compute: Callable[[], T]) -> T | tuple[str, str]:
    """Return a computation's value, or its error's code and reason."""
    try:
        return compute()
    except ProtocolError as error:
        return error.code, error.reason
    except ValueError as error:
        return "ValueError", str(error)


HOSTS = st.text("0123456789abcdefxyzAZ.:-_A%[]@", max_size=24) | st.sampled_from(
    ["a", "A.B.", "127.0.0.1", "0x7f.1", "1.2.3.256", "::1", "::FFFF:1.2.3.4", "a" * 64, "a." * 126 + "a", "a.1", "-a"]
)
PORTS = st.sampled_from(["", ":", ":80", ":443", ":0", ":65536", ":080"])
PATHS = st.sampled_from(
    [
        "",
        "/",
        "/a",
        "/a/../b",
        "/..",
        "/%2e/x",
        "/%2f",
        "/%",
        "/%00",
        "/a//b",
        "/a#b",
        "/\u00e9",
        "/..;/",
        "/" + "x" * 300,
    ]
)
QUERIES = st.sampled_from(["", "?", "?a=b", "?a#b", "?a b", "?%2f"])


class AddressTests(EmptyMemosCase):
    """Hosts, authorities, targets and socket addresses."""

    @settings(max_examples=200, deadline=None)
    @given(HOSTS)
    def test_hosts(self, text: str) -> None:
        """A canonical host is accepted without canonicalization only where canonicalization does not change it."""
        self.assertEqual(result(lambda: canonical_host(text)), result(lambda: hostname._canonicalize(text)))

    @settings(max_examples=200, deadline=None)
    @given(HOSTS, PORTS, st.sampled_from([None, 80, 443]))
    def test_authorities(self, host: str, port: str, default_port: int | None) -> None:
        """An authority from the memo equals the parsed one; the default port is a part of the key."""
        raw = f"{host}{port}".encode()
        for other in (None, 80, 443):
            result(lambda other=other: parse_authority(raw, other))  # type: ignore[misc]

        expected = result(lambda: authority._parse(raw, default_port))
        self.assertEqual(result(lambda: parse_authority(raw, default_port)), expected)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(["http", "ws", "HTTP", "https", "ftp", ""]), HOSTS, PORTS, PATHS, QUERIES)
    def test_targets(self, scheme: str, host: str, port: str, path: str, query: str) -> None:
        """A target from the memo equals the parsed one, whatever method and query came before."""
        base = f"{scheme}://{host}{port}{path}".encode("latin-1")
        raw = base + query.encode()
        for method in ("GET", "OPTIONS", "CONNECT"):
            self.empty()
            expected = result(lambda method=method: parse_target(method, raw))  # type: ignore[misc]
            for before in ("OPTIONS", "GET", "CONNECT"):
                for end in (b"", b"?", b"?x=y"):
                    result(lambda before=before, end=end: parse_target(before, base + end))  # type: ignore[misc]
            self.assertEqual(result(lambda method=method: parse_target(method, raw)), expected)  # type: ignore[misc]

    @settings(max_examples=200, deadline=None)
    @given(HOSTS, st.sampled_from([-1, 0, 1, 80, 65535, 65536]))
    def test_socket_addresses(self, host: str, port: int) -> None:
        """A socket address from the memo equals the parsed one, and its description equals a fresh one."""
        expected = result(lambda: socket_addresses._parse(host, port))
        for _ in range(2):
            self.assertEqual(result(lambda: socket_addresses.parse(host, port)), expected)
        if isinstance(expected[1], tuple):
            for _ in range(2):
                described = socket_addresses.describe_dialled(expected[1])
                self.assertEqual(described, socket_addresses.describe(expected[1]))

    def test_scopes_are_not_memoized(self) -> None:
        """The index of an interface can change."""
        socket_addresses.parse("fe80::1%lo", 80)

        self.assertEqual({}, socket_addresses._parsed)


class IdentityTests(SynchronousTestCase):
    """Clients by the facts of their connections."""

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ab"), HOSTS, st.integers(-1, 1), st.integers(-1, 1), HOSTS), max_size=6))
    def test_connection_facts(self, facts: list[tuple[str, str, int, int, str]]) -> None:
        """A client from the memo equals a fresh one, also in a memo that overflows."""
        identifier = ListenerIdentifier(capacity=2)
        for listener, peer, uid, gid, certificate in facts * 2:
            connection = Connection(listener, peer, 1, uid, gid, certificate)
            self.assertEqual(identifier.identify(connection, None), client_of(connection))


VIA = Via(b"egress")
REQUEST_LINES = [
    *(
        b"GET x HTTP/1.1\r\n",
        b"GET x HTTP/1.0\r\n",
        b"CONNECT x HTTP/1.1\r\n",
        b"GET  HTTP/1.1\r\n",
        b"\r\nGET x HTTP/1.0\r\n",
    ),
    *(
        b"GET http://a/b HTTP/1.1\r\n",
        b"x" * 60 + b" x HTTP/1.1\r\n",
        b"GET " + b"x" * 40 + b" HTTP/1.1\r\n",
        b"\x16\r\n",
    ),
]
REQUEST_FIELDS = [
    *(b"Host: a\r\n", b"host: b\r\n", b"Host: a b\r\n", b"Accept: */*\r\n", b"user-agent: c\r\n", b"X-Key: d\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Connection: X-Key\r\n", b"Proxy-Connection: e\r\n"),
    *(b"Cookie: f\r\n", b"Authorization: g\r\n", b"authorization: NTLM g\r\n"),
    *(b"Proxy-Authorization: Basic h\r\n", b"Content-Length: 1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: i\r\n", b"Upgrade: j\r\n", b"Accept : k\r\n", b"Accept: \x00\r\n"),
    *(b"X-HTTP-Method-Override: o\r\n", b"x_original_url:p\r\n", b"X-Original: q\r\n", b"X-Rewrite-URL: \r\n"),
    *(b" l\r\n", b"Accept: m\n", b"Accept\r\n", b"TE: trailers\r\n", b"Max-Forwards: 0\r\n", b"Keep-Alive: n\r\n"),
    *(b"Via: 1.1 egress\r\n", b"via: 1.0 o\r\n", b"Viaduct: p\r\n"),
]
ENDS = [b"\r\n", b"\r\nrest", b"", b"\n"]
LIMITS = (200, 32, 6)


def values_of(found: Fields) -> tuple[object, ...]:
    """Return all values of fields, comparable."""
    return found.block, found.special, found.ordinary, found.options, found.is_plain, found.lines, found.overrides


def read_request(feed: Callable[[RequestReader], RequestHead | None], limits: tuple[int, int, int] = LIMITS) -> object:
    """Read a request with a new reader; return all of its values and the rest, or the error."""
    reader = RequestReader(*limits)
    head = result(lambda: feed(reader))
    if isinstance(head, RequestHead):
        values = values_of(head.fields)
        return head.method, head.target, head.is_http11, head.authenticates_connection, values, reader.rest
    return head, reader.is_begun


def feed_pieces(reader: Any, pieces: list[bytes]) -> Any:
    """Feed pieces until the last one; a head of an earlier piece is the result."""
    head = None
    for place, piece in enumerate(pieces):
        head = reader.feed(piece)
        if head is not None:
            reader.rest += b"".join(pieces[place + 1 :])
            break
    return head


class RequestTests(EmptyMemosCase):
    """Request heads."""

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from(REQUEST_FIELDS), max_size=8),
        st.sampled_from(REQUEST_LINES),
        st.sampled_from(ENDS),
        st.integers(0, 400),
    )
    def test_reader(self, lines: list[bytes], start: bytes, end: bytes, place: int) -> None:
        """A head is read alike with an empty memo, with a full memo, by the buffer, and in two pieces."""
        block = b"".join(lines)
        data = start + block + end
        self.empty()
        expected = read_request(lambda reader: reader._feed_buffer(data))
        self.assertEqual(read_request(lambda reader: reader.feed(data)), expected)
        # Another client, with wider limits and HTTP/1.1, may have sent these fields before.
        read_request(lambda reader: reader.feed(b"GET y HTTP/1.1\r\n" + block + b"\r\n"), (1 << 12, 64, 64))
        self.assertEqual(read_request(lambda reader: reader.feed(data)), expected)
        cut = [data[: place % len(data)], data[place % len(data) :]]
        self.assertEqual(read_request(lambda reader: feed_pieces(reader, cut)), expected)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.sampled_from([line for line in REQUEST_FIELDS if line.endswith(b"\r\n") and line[:1] != b" "])))
    def test_parse_fields(self, lines: list[bytes]) -> None:
        """One split of the block finds what a look at each line finds; Via and overrides only in requests."""
        lines = [line for line in lines if b" :" not in line and b":" in line]
        every = split_fields(b"".join(lines))
        for is_request, names in ((True, SPECIAL | {b"via"}), (False, SPECIAL)):
            found = parse_fields(b"".join(lines), is_request=is_request)
            special = tuple(each for each in every if each[0] in names or each[0].startswith(b"proxy-"))
            ordinary = b"".join(line for line, each in zip(lines, every, strict=True) if each not in special)
            self.assertEqual((found.special, found.ordinary, found.lines), (special, ordinary, len(lines)))
            expected = {override_name(each[0]) for each in every} & OVERRIDES if is_request else frozenset()
            self.assertEqual(found.overrides, expected)
        kept = tuple(each for each in every if override_name(each[0]) not in OVERRIDES)
        rest = parse_fields(b"".join(lines), is_request=True).without_overrides()
        self.assertEqual((rest.all(), rest.overrides), (kept, frozenset()))

    @given(st.lists(st.sampled_from([b"keep-alive", b"Keep-Alive", b"close", b"Close", b"a, close", b"", b" x ,"])))
    def test_connection_options(self, values: list[bytes]) -> None:
        """The common values of Connection have the options that parsing finds."""
        self.assertEqual(fields._connection_options(values), fields._parse_options(values))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(REQUEST_FIELDS), max_size=6), st.sampled_from([b"GET", b"CONNECT", b"OPTIONS"]))
    def test_parse_request(self, lines: list[bytes], method: bytes) -> None:
        """A request with plain fields is parsed like one whose fields are all examined."""
        address = b"a:443" if method == b"CONNECT" else b"http://a/b"
        head = result(lambda: feed_pieces(RequestReader(1 << 12, 64, 64), [self.head(method, address, lines)]))
        if not isinstance(head, RequestHead) or not head.fields.is_plain:
            return
        careful = RequestHead(head.method, head.target, head.is_http11, evolve(head.fields, is_plain=False))

        def values(parsed: ParsedRequest | tuple[str, str]) -> object:
            if isinstance(parsed, tuple):
                return parsed
            return parsed.target, parsed.framing, parsed.is_own, parsed.credentials, parsed.is_loop

        self.assertEqual(
            values(result(lambda: parse_request(head, 10, VIA))),
            values(result(lambda: parse_request(careful, 10, VIA))),
        )

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(REQUEST_FIELDS), max_size=6), st.booleans())
    def test_serialize_request(self, lines: list[bytes], is_http11: bool) -> None:
        """A request with plain fields is serialized like one whose fields are all examined."""
        head = result(lambda: feed_pieces(RequestReader(1 << 12, 64, 64), [self.head(b"GET", b"http://a/b", lines)]))
        if not isinstance(head, RequestHead) or not head.fields.is_plain:
            return
        parsed = parse_target("GET", head.target)
        assert isinstance(parsed, Target)
        plain = RequestHead("GET", head.target, is_http11, head.fields)
        careful = RequestHead("GET", head.target, is_http11, evolve(head.fields, is_plain=False))
        none = Framing(Kind.NONE)
        self.assertEqual(serialize_request(plain, parsed, none, VIA), serialize_request(careful, parsed, none, VIA))

    @staticmethod
    def head(method: bytes, address: bytes, lines: list[bytes]) -> bytes:
        """Write a head."""
        return method + b" " + address + b" HTTP/1.1\r\n" + b"".join(lines) + b"\r\n"


class FieldsMemoTests(EmptyMemosCase):
    """The memo of request fields."""

    PLAIN = b"Host: a\r\nUser-Agent: b\r\nAccept: */*\r\n"

    def test_equal_fields_are_shared(self) -> None:
        """Heads with equal field lines share one object, whatever their request lines are."""
        reader = RequestReader(1024, 64, 8)
        first = reader.feed(b"GET http://a/b HTTP/1.1\r\n" + self.PLAIN + b"\r\n")
        second = reader.feed(b"HEAD http://a/c HTTP/1.0\r\n" + self.PLAIN + b"\r\n")
        assert first is not None and second is not None
        self.assertIs(first.fields, second.fields)
        self.assertEqual((second.method, second.target, second.is_http11), ("HEAD", b"http://a/c", False))

    def test_secrets_are_not_memoized(self) -> None:
        """Fields with credentials, cookies or unknown names are neither key nor value, in any spelling."""
        for line in (
            *(b"Authorization: x", b"Proxy-Authorization: x", b"Cookie: x", b"Set-Cookie: x", b"X-Api-Key: x"),
            *(b"cookie: x", b"AUTHORIZATION: x", b"Content-Length: 0", b"Referer: x", b"Traceparent: x", b"A: x"),
        ):
            read_request(
                lambda reader, line=line: reader.feed(  # type: ignore[misc]
                    b"GET x HTTP/1.1\r\n" + self.PLAIN + line + b"\r\n\r\n"
                )
            )
            self.assertEqual(request_head._fields_memo, {}, line)

    def test_faults_are_not_memoized(self) -> None:
        """Neither refused fields nor fields that are valid in HTTP/1.0 only are kept."""
        read_request(lambda reader: reader.feed(b"GET x HTTP/1.0\r\nAccept: */*\r\n\r\n"))
        read_request(lambda reader: reader.feed(b"GET x HTTP/1.1\r\nHost: a b\r\n\r\n"))
        self.assertEqual(request_head._fields_memo, {})

    def test_bounds(self) -> None:
        """The memo holds a bounded number of blocks, each of a bounded number of octets."""
        memo = request_head._fields_memo
        reader = RequestReader(1 << 16, 64, 8)
        for number in range(2 * memo.limit):
            reader.feed(b"GET x HTTP/1.1\r\nHost: a%d\r\n\r\n" % number)
            self.assertLessEqual(len(memo), memo.limit)
        memo.clear()
        for octets, count in ((MEMO_BLOCK_BYTES, 1), (MEMO_BLOCK_BYTES + 1, 0)):
            fill = b"a" * (octets - len(b"Host: a\r\nAccept: \r\n"))
            memo.clear()
            reader.feed(b"GET x HTTP/1.1\r\nHost: a\r\nAccept: " + fill + b"\r\n\r\n")
            self.assertEqual([octets] * count, [len(block) for block in memo])


LIMIT_BYTES = 300
DATE = b"Date: now\r\n"

SIMPLE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 404 \r\nDate: x\r\nContent-Length: 0\r\nServer: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive\r\nContent-Length: 007\r\nETag: z\r\n\r\n",
    b"HTTP/1.1 301 A B\xe9\r\nContent-Length: 1\r\nKeep-Alive: timeout=5\r\nConnection: Keep-Alive\r\nC:d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nCookie: a\r\nContents: b\r\nTea: c\r\nHosts: d\r\n_: e\r\nContent-Length: 2\r\n\r\n",
]

NOT_SIMPLE = [
    b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\ncontent-length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: keep-alive, X\r\nX: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nProxy-Authenticate: Basic\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\npRoXy-: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: +13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n A: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: \x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: b\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 13\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: " + b"b" * LIMIT_BYTES + b"\r\n\r\n",
]

RESPONSE_FIELDS = [
    *(b"A: b\r\n", b"a:\r\n", b"Cookie: c\r\n", b"Content-Type: text/plain\r\n", b"Content-Length: 3\r\n"),
    *(b"Content-Length:3\r\n", b"content-length: 4\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: Keep-Alive\r\n", b"connection: keep-alive\r\n", b"TE: a\r\n"),
    *(b"Connection: close\r\n", b"Connection: A\r\n", b"Keep-Alive: timeout=5\r\n", b"keep-alive: x\r\n"),
    *(b"Keep-Alive: max=9, timeout=4\r\n", b"keep-alive: timeout=3\r\n", b"Keep-Alive:\r\n"),
    *(b"Upgrade: h2c\r\n", b"Proxy-Status: a\r\n", b"Expect: a\r\n", b"Host: a\r\n", b"Max-Forwards: 1\r\n"),
    *(b"HTTP2-Settings: a\r\n", b"A\r\n", b" a: b\r\n", b"a: b\n", b"a : b\r\n", b"\x00: b\r\n", b"\r\n", b"a"),
    *(b"Date: x\r\n", b"date: y\r\n", b"Content-Length\t: 3\r\n", b"\tc\r\n", b" \r\n", b"Content-Length: 3, 3\r\n"),
    *(b"Via: a\r\n", b"X-Rewrite-URL: a\r\n"),
]
STATUS_LINES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.1 404 \r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 a\r\n"),
    *(
        b"HTTP/1.1 304 a\r\n",
        b"HTTP/1.1 101 a\r\n",
        b"HTTP/1.1 599 \xff\r\n",
        b"HTTP/1.1 600 a\r\n",
        b"HTTP/1.1 200 \n",
    ),
]
RESPONSES = st.tuples(
    st.sampled_from(STATUS_LINES),
    st.lists(st.sampled_from(RESPONSE_FIELDS), max_size=8),
    st.sampled_from([b"\r\n", b"\r\nrest", b""]),
).map(lambda parts: parts[0] + b"".join(parts[1]) + parts[2]) | st.sampled_from(SIMPLE + NOT_SIMPLE)


def read_response(feed: Callable[[ResponseReader], ResponseHead | None]) -> object:
    """Read a response with a new reader; return its values and the rest, or the error."""
    reader = ResponseReader(LIMIT_BYTES)
    head = result(lambda: feed(reader))
    if isinstance(head, ResponseHead):
        values = values_of(head.fields)
        return head.status, head.reason, head.is_http11, head.is_persistent, head.idle_seconds, values, reader.rest
    return head, reader.is_begun


class ResponseTests(SynchronousTestCase):
    """Response heads."""

    def test_simple(self) -> None:
        """The heads of most origins are simple; heads with other fields and heads with a fault are not."""
        for data in SIMPLE:
            head = ResponseReader(LIMIT_BYTES).feed(data)
            assert head is not None and head.framing is not None, data
        for data in NOT_SIMPLE:
            head = feed_quietly(data, LIMIT_BYTES)
            self.assertTrue(head is None or head.framing is None, data)

    def test_limit_is_reachable(self) -> None:
        """A simple head of exactly the limit is read; one octet more is refused. Fields have no limit of their own."""
        for data in [*SIMPLE, b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n" + b"a:\r\n" * 400 + b"\r\n"]:
            self.assertIsNotNone(feed_quietly(data, len(data)))
            self.assertIsNone(feed_quietly(data, len(data) - 1))

    @settings(max_examples=300, deadline=None)
    @given(RESPONSES, st.integers(0, 400))
    def test_reader(self, data: bytes, place: int) -> None:
        """A head is read alike by the fast paths, by the buffer, and in two pieces."""
        expected = read_response(lambda reader: reader._feed_buffer(data))
        self.assertEqual(read_response(lambda reader: reader.feed(data)), expected)
        cut = [data[: place % len(data)], data[place % len(data) :]]
        self.assertEqual(read_response(lambda reader: feed_pieces(reader, cut)), expected)

    def test_every_split(self) -> None:
        """The heads of the tables are read alike in two pieces at every place."""
        for data in SIMPLE + NOT_SIMPLE:
            expected = read_response(lambda reader, data=data: reader._feed_buffer(data))  # type: ignore[misc]
            for place in range(len(data)):
                cut = [data[:place], data[place:]]
                found = read_response(lambda reader, cut=cut: feed_pieces(reader, cut))  # type: ignore[misc]
                self.assertEqual(found, expected, cut)

    @settings(max_examples=300, deadline=None)
    @given(RESPONSES, st.sampled_from(["GET", "HEAD"]), st.booleans(), st.booleans(), st.sampled_from([None, b"x"]))
    def test_simple_heads(
        self, data: bytes, method: str, is_http11: bool, keep_alive: bool, upgrade: bytes | None
    ) -> None:
        """A simple head has the framing and the serialized form that its fields give."""
        head = feed_quietly(data, LIMIT_BYTES)
        if head is None:
            return
        parsed = ResponseHead(head.status, head.reason, head.is_http11, head.fields)
        self.assertEqual(head.idle_seconds, parsed.idle_seconds)
        framing = result(lambda: response_framing(head, method))
        self.assertEqual(framing, result(lambda: response_framing(parsed, method)))
        if isinstance(framing, Framing):
            fast = serialize_response(
                head, framing, is_http11=is_http11, keep_alive=keep_alive, make_date=lambda: DATE, upgrade=upgrade
            )
            slow = _serialize_response(parsed, framing, is_http11, keep_alive, lambda: DATE, upgrade)
            self.assertEqual(fast, slow)


def feed_quietly(data: bytes, limit_bytes: int) -> ResponseHead | None:
    """Read a response in one piece; None for an incomplete or refused head."""
    head = result(lambda: ResponseReader(limit_bytes).feed(data))
    return head if isinstance(head, ResponseHead) else None
