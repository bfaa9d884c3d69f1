"""The state tables: each is complete, and every transition happens in a dialogue."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from egress.proxy import exchange, states, transaction
from egress.proxy.client import connection, pipelining
from egress.proxy.client.connection import ClientConnection
from egress.proxy.reload.displaced_listeners import DisplacedListeners
from egress.proxy.states import CLIENT_CONNECTION, EXCHANGE, TRANSACTION, TUNNEL, TUNNEL_INSPECTION, YIELDING, Table
from egress.proxy.tunnel import inspection, tunnel
from egress.testing.peers import NetworkPeer, Origin
from tests.documents import DOCS
from tests.proxy.reload.test_reevaluation import CONNECT, GET, OK, OTHERS, SAME, ReevaluationCase
from tests.proxy.support import ADDRESS, SHORT
from tests.wire.test_client_hello import SUPPORTED_VERSIONS, message, records, server_name
from tests.wire.test_server_hello import HELLO as SERVER_HELLO
from tests.wire.test_server_hello import RETRY

OPTIONS = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
DENIED = b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n"
LAST_OPTIONS = OPTIONS[:-2] + b"Connection: close\r\n\r\n"
GET_DENIED = b"GET http://denied.example/ HTTP/1.1\r\nHost: denied.example\r\n\r\n"
POST = b"POST http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 4\r\n\r\n"
LAST_GET = GET[:-2] + b"Connection: close\r\n\r\n"
# More than the window of a client that does not read holds, by less than the proxy buffers.
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 66000\r\n\r\n" + bytes(66_000)
HELLO = records(message((server_name(b"origin.example"), SUPPORTED_VERSIONS)))
LOST = DisplacedListeners(lost=frozenset({"agents"}))

Transition: TypeAlias = tuple[str, str]

TABLES: Mapping[str, Table] = {
    "CLIENT_CONNECTION": CLIENT_CONNECTION,
    "TRANSACTION": TRANSACTION,
    "EXCHANGE": EXCHANGE,
    "TUNNEL_INSPECTION": TUNNEL_INSPECTION,
    "TUNNEL": TUNNEL,
}


class Recording(dict[str, Mapping[str, str]]):
    """A table that notes which transitions are looked up."""

    def __init__(self, table: Table, taken: list[Transition]) -> None:
        super().__init__({state: Row(state, row, taken) for state, row in table.items()})


class Row(dict[str, str]):
    """One state's row of a recording table."""

    def __init__(self, state: str, row: Mapping[str, str], taken: list[Transition]) -> None:
        super().__init__(row)
        self.state, self.taken = state, taken

    def __getitem__(self, event: str) -> str:
        self.taken.append((self.state, event))
        return super().__getitem__(event)


def transitions(table: Table) -> Iterator[Transition]:
    """Give every state with every event of it."""
    for state, row in table.items():
        for event in row:
            yield state, event


class Tables(SynchronousTestCase):
    """The tables by themselves."""

    def test_whole(self) -> None:
        """Every event leads to a state of its table, every state but the first is reached, and one is the end."""
        for name, table in TABLES.items():
            with self.subTest(name):
                targets = {target for row in table.values() for target in row.values()}
                self.assertLessEqual(targets, set(table))
                self.assertEqual(set(table) - {next(iter(table))}, targets - {next(iter(table))})
                self.assertEqual(1, sum(not row for row in table.values()))

    def test_the_end_can_be_reached(self) -> None:
        """From every state some way leads to the end."""
        for name, table in TABLES.items():
            with self.subTest(name):
                ends = {state for state, row in table.items() if not row}
                while True:
                    more = {state for state, row in table.items() if ends.intersection(row.values())} | ends
                    if more == ends:
                        break
                    ends = more
                self.assertEqual(set(table), ends)

    def test_every_state_is_described(self) -> None:
        """Each state is a name in the module, which the tables use."""
        names = {value for name, value in vars(states).items() if name.isupper() and isinstance(value, str)}

        self.assertEqual(names, {state for table in TABLES.values() for state in table})

    def test_descriptions(self) -> None:
        """The sentences below the states in the module are those on the page of the states."""
        page = (DOCS / "explanation" / "states.md").read_text("utf-8")
        on_page = dict(re.findall(r"^\| `(\w+)` \| ([A-Z][^|]*\.) \|", page, re.MULTILINE))
        in_module = dict(re.findall(r'^[A-Z_]+ = "(\w+)"\n"""(.*?)"""$', inspect.getsource(states), re.MULTILINE))

        self.assertEqual(in_module, on_page)
        self.assertEqual({state for table in TABLES.values() for state in table}, set(in_module))


class Dialogues(ReevaluationCase):
    """A dialogue for each transition. Each says where the transition is expected by `watch`, and then causes it."""

    limits = evolve(SHORT, request_body_bytes=1_000_000)

    def setUp(self) -> None:
        super().setUp()
        self.taken: dict[str, list[Transition]] = {name: [] for name in TABLES}
        for module, name in (
            (connection, "CLIENT_CONNECTION"),
            (pipelining, "CLIENT_CONNECTION"),
            (transaction, "TRANSACTION"),
            (exchange, "EXCHANGE"),
            (inspection, "TUNNEL_INSPECTION"),
            (tunnel, "TUNNEL"),
        ):
            self.patch(module, name, Recording(TABLES[name], self.taken[name]))

    def watch(self) -> None:
        """Let all that was said happen, and forget the transitions so far."""
        self.network.settle()
        for taken in self.taken.values():
            taken.clear()

    def says(self, client: NetworkPeer, data: bytes) -> None:
        """Let a client say something, and let all of it happen."""
        client.says(data)
        self.network.settle()

    def served(self) -> ClientConnection:
        """Give the only client connection of the proxy server."""
        (served,) = self.server.connections.live
        assert isinstance(served, ClientConnection)
        return served

    def step(self) -> None:
        """Let one thing happen."""
        with contextlib.suppress(AssertionError):  # more would happen
            self.network.settle(limit=1)

    # The client connection.

    def idle_head_begun(self) -> None:
        """A client sends the beginning of a head."""
        client = self.client()
        self.watch()
        self.says(client, GET[:10])

    def idle_head_complete(self) -> None:
        """A client sends a head in one piece."""
        client = self.client()
        self.watch()
        self.says(client, OPTIONS)

    def idle_yield(self) -> None:
        """A client sends more requests in one piece than are served in one turn."""
        client = self.client()
        self.watch()
        self.says(client, OPTIONS * 12)

    def idle_linger(self) -> None:
        """A client sends what is no head."""
        client = self.client()
        self.watch()
        self.says(client, b"no head\r\n\r\n")

    def idle_close(self) -> None:
        """A client sends no request in time."""
        self.client()
        self.watch()
        self.network.advance(21)

    def idle_lost(self) -> None:
        """A client resets its connection before any request."""
        client = self.client()
        self.watch()
        client.aborts()

    def reading_head_complete(self) -> None:
        """A client sends the rest of a head."""
        client = self.said(OPTIONS[:10])
        self.watch()
        self.says(client, OPTIONS[10:])

    def reading_linger(self) -> None:
        """A head does not end in time."""
        self.said(GET[:10])
        self.watch()
        self.network.advance(11)

    def reading_close(self) -> None:
        """A client sends its FIN within a head."""
        client = self.said(GET[:10])
        self.watch()
        client.ends()

    def reading_lost(self) -> None:
        """A client resets its connection within a head."""
        client = self.said(GET[:10])
        self.watch()
        client.aborts()

    def dispatching_wait(self) -> None:
        """A request is dialled for."""
        self.origin()
        client = self.client()
        self.watch()
        self.says(client, GET)

    def dispatching_finish(self) -> None:
        """A request is answered by the proxy itself."""
        client = self.client()
        self.watch()
        self.says(client, OPTIONS)

    def dispatching_finish_unread(self) -> None:
        """A request is answered by the proxy itself, and the client does not read."""
        self.network.window_bytes = 64
        client = self.client()
        client.stops_reading()
        self.watch()
        self.says(client, OPTIONS)

    def dispatching_linger(self) -> None:
        """A CONNECT is refused at once."""
        client = self.client()
        self.watch()
        self.says(client, DENIED)

    def dispatching_close(self) -> None:
        """A last request is answered by the proxy itself."""
        client = self.client()
        self.watch()
        self.says(client, LAST_OPTIONS)

    def serving(self, request: bytes = GET) -> tuple[NetworkPeer, Origin]:
        """Let an origin have a request to answer."""
        origin = self.origin()
        client = self.said(request)
        self.watch()
        return client, origin

    def serving_finish(self) -> None:
        """An origin answers."""
        self.says(self.serving()[1].peer, OK)

    def serving_finish_unread(self) -> None:
        """An origin answers, and the client does not read."""
        client, origin = self.serving()
        client.stops_reading()
        self.says(origin.peer, LONG)

    def serving_linger(self) -> None:
        """The name of a CONNECT does not exist."""
        self.resolver.hold("origin.example")
        self.said(CONNECT)
        self.watch()
        self.resolver.answer("origin.example", ADDRESS)

    def serving_close(self) -> None:
        """An origin answers a last request."""
        self.says(self.serving(LAST_GET)[1].peer, OK)

    def serving_lost(self) -> None:
        """A client does not wait for the response."""
        self.serving()[0].aborts()

    def yielding(self) -> NetworkPeer:
        """Stop where other connections are served before the further requests of one."""
        client = self.said(b"")
        served = self.served()
        client.says(OPTIONS * 12)
        for _ in range(1000):
            self.step()
            if served.state is YIELDING:
                break
        self.assertIs(YIELDING, served.state)
        for taken in self.taken.values():
            taken.clear()
        return client

    def yielding_resume(self) -> None:
        """Other connections were served."""
        self.yielding()

    def yielding_close(self) -> None:
        """The server stops while other connections are served."""
        self.yielding()
        self.server.stop()

    def yielding_lost(self) -> None:
        """A client resets its connection while others are served."""
        client = self.yielding()
        client.aborts()
        # The engine notices a reset while reading is paused. Twisted's transports notice it while they read.
        self.served().transport.resumeProducing()
        # `settle` would run the timer that ends the state before it looks at sockets.
        while not self.network._kernel.is_idle:
            self.network._kernel.turn()

    def flushing(self, answer: bytes = LONG) -> NetworkPeer:
        """Answer a client that does not read."""
        client, origin = self.serving()
        client.stops_reading()
        self.says(origin.peer, answer)
        self.watch()
        return client

    def flushing_flushed(self) -> None:
        """The client reads on."""
        self.flushing().reads_again()

    def flushing_linger(self) -> None:
        """The client reads on after a reload removed the listener."""
        client = self.flushing()
        self.renew(SAME, displaced=LOST)
        client.reads_again()

    def flushing_close(self) -> None:
        """The client does not read in time."""
        self.flushing()
        self.network.advance(41)

    def flushing_lost(self) -> None:
        """The client resets its connection."""
        self.flushing().aborts()

    def lingering_close(self) -> None:
        """A refused client sends its FIN."""
        client = self.said(DENIED)
        self.watch()
        client.ends()

    def lingering_lost(self) -> None:
        """A refused client resets its connection."""
        client = self.said(DENIED)
        self.watch()
        client.aborts()

    def closing(self) -> NetworkPeer:
        """Answer a last request of a client that does not read."""
        client, origin = self.serving(LAST_GET)
        client.stops_reading()
        self.says(origin.peer, LONG)
        self.watch()
        return client

    def closing_close(self) -> None:
        """The client does not read in time: the connection is reset."""
        self.closing()
        self.network.advance(41)

    def closing_lost(self) -> None:
        """The client reads on, and the connection is closed."""
        self.closing().reads_again()

    # The transaction.

    def admitting_readmit(self) -> None:
        """A name is looked up while a reload happens."""
        self.origin()
        self.resolver.hold("origin.example")
        self.said(GET)
        self.watch()
        self.renew(SAME)
        self.resolver.answer("origin.example", ADDRESS)

    def admitting_dial(self) -> None:
        """A request is admitted."""
        self.origin()
        self.watch()
        self.said(GET)

    def admitting_start(self) -> None:
        """A second request takes the connection of the first."""
        client, origin = self.serving()
        self.says(origin.peer, OK)
        self.watch()
        self.says(client, GET)

    def admitting_end(self) -> None:
        """A request is refused."""
        self.watch()
        self.said(DENIED)

    def dialling(self) -> NetworkPeer:
        """Dial an origin that takes a second to answer."""
        self.origin()
        self.network.delay(ADDRESS, 1.0)
        client = self.said(GET)
        self.watch()
        return client

    def dialling_confirm(self) -> None:
        """An origin is dialled while a reload happens."""
        self.dialling()
        self.renew(SAME)
        self.network.advance(1)

    def dialling_start(self) -> None:
        """A dial succeeds."""
        self.dialling()
        self.network.advance(1)

    def dialling_end(self) -> None:
        """A client does not wait for the dial."""
        self.dialling().aborts()

    def confirming_start(self) -> None:
        """An origin is dialled while a reload happens, which allows it."""
        self.dialling()
        self.renew(SAME)
        self.network.advance(1)

    def confirming_end(self) -> None:
        """An origin is dialled while a reload happens, which refuses it."""
        self.dialling()
        self.renew(OTHERS)
        self.network.advance(1)

    def reused(self) -> Origin:
        """Send a second request on the connection of the first."""
        client, origin = self.serving()
        self.says(origin.peer, OK)
        self.says(client, GET)
        self.watch()
        return origin

    def streaming_readmit(self) -> None:
        """A pooled connection is lost after a reload, with a request that can be repeated."""
        origin = self.reused()
        self.renew(SAME)
        origin.peer.aborts()

    def streaming_dial(self) -> None:
        """A pooled connection is lost, with a request that can be repeated."""
        self.reused().peer.aborts()

    def streaming_end(self) -> None:
        """A response is complete."""
        self.says(self.serving()[1].peer, OK)

    # The exchange.

    def connecting_send(self) -> None:
        """A request comes with a part of its body."""
        self.serving_of_body()

    def connecting_send_whole(self) -> None:
        """A request comes as a whole."""
        self.origin()
        self.watch()
        self.said(GET)

    def connecting_finish(self) -> None:
        """A request is refused."""
        self.watch()
        self.said(GET_DENIED)

    def serving_of_body(self) -> tuple[NetworkPeer, Origin]:
        """Let an origin have a half of a request."""
        origin = self.origin()
        self.watch()
        return self.said(POST + b"ha"), origin

    def sending_sent(self) -> None:
        """The rest of the body comes."""
        client, _ = self.serving_of_body()
        self.watch()
        self.says(client, b"lf")

    def sending_respond(self) -> None:
        """An origin answers before the body ends."""
        self.responding()

    def sending_finish(self) -> None:
        """A client resets its connection within its body."""
        client, _ = self.serving_of_body()
        self.watch()
        client.aborts()

    def awaiting_reconnect(self) -> None:
        """A pooled connection is lost, with a request that can be repeated."""
        self.reused().peer.aborts()

    def awaiting_respond(self) -> None:
        """An origin begins to answer."""
        self.says(self.serving()[1].peer, LONG[:100])

    def awaiting_finish(self) -> None:
        """A client resets its connection before the response."""
        self.serving()[0].aborts()

    def responding(self) -> tuple[NetworkPeer, Origin]:
        """Answer before the body of the request ends, by a half."""
        client, origin = self.serving_of_body()
        self.watch()
        self.says(origin.peer, LONG[:100])
        return client, origin

    def responding_sent(self) -> None:
        """The rest of the body comes after the head of the response."""
        client, _ = self.responding()
        self.watch()
        self.says(client, b"lf")

    def responding_finish(self) -> None:
        """The response is complete before the body of the request."""
        _, origin = self.responding()
        self.watch()
        self.says(origin.peer, LONG[100:])

    def receiving_finish(self) -> None:
        """A response is complete."""
        self.says(self.serving()[1].peer, OK)

    # The inspection of a tunnel.

    def unread_hello_begun(self) -> None:
        """A client sends the beginning of a ClientHello."""
        client, _ = self.tunnelled()
        self.says(client, HELLO[:9])

    def unread_join(self) -> None:
        """A client sends what is not TLS."""
        client, _ = self.tunnelled()
        self.says(client, b"SSH-2.0-x\r\n")

    def reading_hello_hello_read(self) -> None:
        """A client sends the rest of a ClientHello."""
        client, _ = self.tunnelled()
        self.says(client, HELLO[:9])
        self.watch()
        self.says(client, HELLO[9:])

    def reading_hello_join(self) -> None:
        """In a tunnel to an address, a client sends a malformed ClientHello."""
        self.origin(port=443)
        client = self.said(f"CONNECT {ADDRESS}:443 HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode() + HELLO[:9])
        self.watch()
        self.says(client, b"\xff" * len(HELLO))

    def greeted(self) -> tuple[NetworkPeer, NetworkPeer]:
        """Send a ClientHello through a tunnel, and give both ends."""
        client, origin = self.tunnelled()
        self.says(client, HELLO)
        self.watch()
        return client, origin

    def hello_sent_retry(self) -> None:
        """An origin answers with a HelloRetryRequest."""
        self.says(self.greeted()[1], records(RETRY))

    def hello_sent_join(self) -> None:
        """An origin answers with a ServerHello."""
        self.says(self.greeted()[1], records(SERVER_HELLO))

    def retrying_join(self) -> None:
        """A client sends its second ClientHello."""
        client, origin = self.greeted()
        self.says(origin, records(RETRY))
        self.watch()
        self.says(client, HELLO)

    # The tunnel.

    def tunnelled(self) -> tuple[NetworkPeer, NetworkPeer]:
        """Open a tunnel, and give both ends."""
        client, origin = self.open()
        self.watch()
        return client, origin.peer

    def open_client_fin(self) -> None:
        """A client sends its FIN."""
        self.tunnelled()[0].ends()

    def open_origin_fin(self) -> None:
        """An origin sends its FIN."""
        self.tunnelled()[1].ends()

    def open_end(self) -> None:
        """An origin resets its connection."""
        self.tunnelled()[1].aborts()

    def client_ended_origin_fin(self) -> None:
        """An origin sends its FIN after the client did."""
        client, origin = self.tunnelled()
        client.ends()
        self.watch()
        origin.ends()

    def client_ended_end(self) -> None:
        """Nothing moves after the client's FIN."""
        client, _ = self.tunnelled()
        client.ends()
        self.watch()
        self.network.advance(60)

    def origin_ended_client_fin(self) -> None:
        """A client sends its FIN after the origin did."""
        client, origin = self.tunnelled()
        origin.ends()
        self.watch()
        client.ends()

    def origin_ended_end(self) -> None:
        """A client resets its connection after the origin's FIN."""
        client, origin = self.tunnelled()
        origin.ends()
        self.watch()
        client.aborts()

    def test_users_of_the_tables(self) -> None:
        """No other module uses a table: a transition that is taken there would not be noted."""
        modules = {
            Path(inspect.getfile(module))
            for module in (connection, pipelining, transaction, exchange, inspection, tunnel, states)
        }
        users = {
            path
            for path in Path(inspect.getfile(states)).parent.rglob("*.py")
            if re.search(
                r"^[^\"#]*\b(CLIENT_CONNECTION|TRANSACTION|EXCHANGE|TUNNEL|TUNNEL_INSPECTION)\b",
                path.read_text("utf-8"),
                re.MULTILINE,
            )
        }

        self.assertEqual(modules, users)

    def test_every_transition_has_a_dialogue(self) -> None:
        """Each transition of each table has a dialogue, and each dialogue is one of a transition."""
        for name, table in TABLES.items():
            with self.subTest(name):
                self.assertEqual(set(transitions(table)), set(DIALOGUES[name]))

    def assert_taken(self, name: str, transition: Transition) -> None:
        """Assert that a dialogue takes its transition once, and leaves nothing behind."""
        self.setUp()
        DIALOGUES[name][transition](self)
        self.network.settle()
        self.assertEqual(1, self.taken[name].count(transition), (transition, self.taken[name]))
        self.server.stop()
        self.network.settle()
        self.assertEqual((set(), {}), (self.server.connections.live, self.server.connections.per_client))

    def test_client_connection(self) -> None:
        """Each transition of a client connection happens in its dialogue."""
        self.walk("CLIENT_CONNECTION")

    def test_transaction(self) -> None:
        """Each transition of a transaction happens in its dialogue."""
        self.walk("TRANSACTION")

    def test_exchange(self) -> None:
        """Each transition of an exchange happens in its dialogue."""
        self.walk("EXCHANGE")

    def test_tunnel_inspection(self) -> None:
        """Each transition of a tunnel's inspection happens in its dialogue."""
        self.walk("TUNNEL_INSPECTION")

    def test_tunnel(self) -> None:
        """Each transition of a tunnel happens in its dialogue."""
        self.walk("TUNNEL")

    def walk(self, name: str) -> None:
        """Have the dialogues of a table."""
        for transition in DIALOGUES[name]:
            with self.subTest(transition):
                self.assert_taken(name, transition)


Dialogue: TypeAlias = Callable[[Dialogues], None]

DIALOGUES: Mapping[str, Mapping[Transition, Dialogue]] = {
    "CLIENT_CONNECTION": {
        ("idle", "head_begun"): Dialogues.idle_head_begun,
        ("idle", "head_complete"): Dialogues.idle_head_complete,
        ("idle", "yield"): Dialogues.idle_yield,
        ("idle", "linger"): Dialogues.idle_linger,
        ("idle", "close"): Dialogues.idle_close,
        ("idle", "lost"): Dialogues.idle_lost,
        ("reading", "head_complete"): Dialogues.reading_head_complete,
        ("reading", "linger"): Dialogues.reading_linger,
        ("reading", "close"): Dialogues.reading_close,
        ("reading", "lost"): Dialogues.reading_lost,
        ("dispatching", "wait"): Dialogues.dispatching_wait,
        ("dispatching", "finish"): Dialogues.dispatching_finish,
        ("dispatching", "finish_unread"): Dialogues.dispatching_finish_unread,
        ("dispatching", "linger"): Dialogues.dispatching_linger,
        ("dispatching", "close"): Dialogues.dispatching_close,
        ("serving", "finish"): Dialogues.serving_finish,
        ("serving", "finish_unread"): Dialogues.serving_finish_unread,
        ("serving", "linger"): Dialogues.serving_linger,
        ("serving", "close"): Dialogues.serving_close,
        ("serving", "lost"): Dialogues.serving_lost,
        ("yielding", "resume"): Dialogues.yielding_resume,
        ("yielding", "close"): Dialogues.yielding_close,
        ("yielding", "lost"): Dialogues.yielding_lost,
        ("flushing", "flushed"): Dialogues.flushing_flushed,
        ("flushing", "linger"): Dialogues.flushing_linger,
        ("flushing", "close"): Dialogues.flushing_close,
        ("flushing", "lost"): Dialogues.flushing_lost,
        ("lingering", "close"): Dialogues.lingering_close,
        ("lingering", "lost"): Dialogues.lingering_lost,
        ("closing", "close"): Dialogues.closing_close,
        ("closing", "lost"): Dialogues.closing_lost,
    },
    "TRANSACTION": {
        ("admitting", "readmit"): Dialogues.admitting_readmit,
        ("admitting", "dial"): Dialogues.admitting_dial,
        ("admitting", "start"): Dialogues.admitting_start,
        ("admitting", "end"): Dialogues.admitting_end,
        ("dialling", "confirm"): Dialogues.dialling_confirm,
        ("dialling", "start"): Dialogues.dialling_start,
        ("dialling", "end"): Dialogues.dialling_end,
        ("confirming", "start"): Dialogues.confirming_start,
        ("confirming", "end"): Dialogues.confirming_end,
        ("streaming", "readmit"): Dialogues.streaming_readmit,
        ("streaming", "dial"): Dialogues.streaming_dial,
        ("streaming", "end"): Dialogues.streaming_end,
    },
    "EXCHANGE": {
        ("connecting", "send"): Dialogues.connecting_send,
        ("connecting", "send_whole"): Dialogues.connecting_send_whole,
        ("connecting", "finish"): Dialogues.connecting_finish,
        ("sending", "sent"): Dialogues.sending_sent,
        ("sending", "respond"): Dialogues.sending_respond,
        ("sending", "finish"): Dialogues.sending_finish,
        ("awaiting", "reconnect"): Dialogues.awaiting_reconnect,
        ("awaiting", "respond"): Dialogues.awaiting_respond,
        ("awaiting", "finish"): Dialogues.awaiting_finish,
        ("responding", "sent"): Dialogues.responding_sent,
        ("responding", "finish"): Dialogues.responding_finish,
        ("receiving", "finish"): Dialogues.receiving_finish,
    },
    "TUNNEL_INSPECTION": {
        ("unread", "hello_begun"): Dialogues.unread_hello_begun,
        ("unread", "join"): Dialogues.unread_join,
        ("reading_hello", "hello_read"): Dialogues.reading_hello_hello_read,
        ("reading_hello", "join"): Dialogues.reading_hello_join,
        ("hello_sent", "retry"): Dialogues.hello_sent_retry,
        ("hello_sent", "join"): Dialogues.hello_sent_join,
        ("retrying", "join"): Dialogues.retrying_join,
    },
    "TUNNEL": {
        ("open", "client_fin"): Dialogues.open_client_fin,
        ("open", "origin_fin"): Dialogues.open_origin_fin,
        ("open", "end"): Dialogues.open_end,
        ("client_ended", "origin_fin"): Dialogues.client_ended_origin_fin,
        ("client_ended", "end"): Dialogues.client_ended_end,
        ("origin_ended", "client_fin"): Dialogues.origin_ended_client_fin,
        ("origin_ended", "end"): Dialogues.origin_ended_end,
    },
}
"""What makes each transition happen."""
