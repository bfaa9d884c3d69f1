"""A name server for tests. It reads and writes messages with twisted.names, which is a second opinion on ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field
from twisted.names import dns

Record = tuple[str, str]
"""The type (A, AAAA, CNAME) and the value of a record. A CNAME is followed by the records of its target."""

Zone = Callable[[str, str], "Sequence[Record] | str | None"]
"""Gives the answer to a question for a name and a type: records, the word for an RCODE, or None for no answer."""

_TYPES = {"A": dns.A, "AAAA": dns.AAAA, "CNAME": dns.CNAME}
_WORDS = {number: word for word, number in _TYPES.items()}
_CODES = {"FORMERR": dns.EFORMAT, "SERVFAIL": dns.ESERVER, "NXDOMAIN": dns.ENAME, "REFUSED": dns.EREFUSED}


@define(eq=False)
class Nameserver:
    """Answers questions.

    Attributes:
        zone: gives the answers.
        limit: octets of an answer; a longer one is truncated.
        asked: the name and type of every question, in order.
        is_recursive: says in every answer that it asks other servers too.
    """

    zone: Zone
    limit: int = 512
    is_recursive: bool = True
    asked: list[tuple[str, str]] = field(factory=list)

    def __call__(self, data: bytes) -> bytes | None:
        """Answer a datagram."""
        return self.answer(data, self.limit)

    def answer(self, data: bytes, limit: int = 0) -> bytes | None:
        """Answer a question.

        Args:
            data: the message.
            limit: octets of the answer; 0 for no limit.
        """
        asked = dns.Message()
        asked.fromStr(data)
        (query,) = asked.queries
        name, kind = query.name.name.decode(), _WORDS[query.type]
        self.asked.append((name, kind))
        found = self.zone(name, kind)
        if found is None:
            return None
        answer = dns.Message(asked.id, answer=1, recDes=1, recAv=int(self.is_recursive), maxSize=limit)
        answer.queries = asked.queries
        if isinstance(found, str):
            answer.rCode = _CODES[found]
        else:
            answer.answers = _records(name, found)
        return answer.toStr()


def _records(owner: str, rows: Sequence[Record]) -> list[dns.RRHeader]:
    records = []
    for kind, value in rows:
        payload = getattr(dns, f"Record_{kind}")(value)
        records.append(dns.RRHeader(owner.encode(), _TYPES[kind], dns.IN, 60, payload))
        if kind == "CNAME":
            owner = value
    return records


def table(**names: Mapping[str, Sequence[Record] | str | None]) -> Zone:
    """Give a zone in which a name that is not in the table does not exist; underscores stand for dots."""
    rows = {name.replace("_", "."): answers for name, answers in names.items()}

    def zone(name: str, kind: str) -> Sequence[Record] | str | None:
        answers = rows.get(name)
        return "NXDOMAIN" if answers is None else answers.get(kind, ())

    return zone
