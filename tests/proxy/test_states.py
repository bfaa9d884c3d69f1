"""The state tables: each is whole, and every transition happens in a dialogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twisted.trial.unittest import SynchronousTestCase

from egress.proxy import states
from egress.proxy.states import CLIENT_CONNECTION, TRANSACTION, TUNNEL, Table

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"

TABLES: Mapping[str, Table] = {
    "CLIENT_CONNECTION": CLIENT_CONNECTION,
    "TRANSACTION": TRANSACTION,
    "TUNNEL": TUNNEL,
}


class Recording(dict[str, Mapping[str, str]]):
    """A table that notes which transitions are looked up."""

    def __init__(self, table: Table, seen: set[tuple[str, str]]) -> None:
        super().__init__({state: Row(state, row, seen) for state, row in table.items()})


class Row(dict[str, str]):
    """One state's row of a recording table."""

    def __init__(self, state: str, row: Mapping[str, str], seen: set[tuple[str, str]]) -> None:
        super().__init__(row)
        self.state, self.seen = state, seen

    def __getitem__(self, event: str) -> str:
        self.seen.add((self.state, event))
        return super().__getitem__(event)


def transitions(table: Table) -> Iterator[tuple[str, str]]:
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
