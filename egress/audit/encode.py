"""Formats records: one JSON object a line, ASCII, every string bounded and escaped.

Lines are put together from prepared parts, because `json.dumps` of so many keys costs twice the whole budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from time import gmtime, strftime
from types import MappingProxyType

from attrs import frozen

from egress.errors import CODES, Refused
from egress.model import Admission, AuditRecord, Client, Outcome, Verdict

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "end": "A request is over, whatever the end.",
        "open": "A tunnel lives on; its `end` follows. Its counts and times are those so far.",
        "refused": "A request was refused.",
        "loss": "Lines were lost before this one.",
        "start": "The supervisor began to keep this journal.",
        "stop": "The supervisor ended in order; the last line of its run.",
        "reload": "The configuration was changed while the supervisor ran.",
        "reopen": "The file was changed for another: the last line of the old one and the first of the new one.",
    }
)

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "time": "When it happened: RFC 3339, UTC, microseconds.",
        "type": "`end`, `open` or `refused`.",
        "request_id": "Unique among all requests of a supervisor; the answer to a refused one holds it.",
        "connection_id": "Unique among all connections of a supervisor.",
        "listener": "The listener's name in the configuration.",
        "client": "The client's key: who asked.",
        "labels": "What rules may name of the client, sorted.",
        "peer": "The address of the connection's other side; empty on a unix socket.",
        "peer_port": "Its port; 0 on a unix socket.",
        "front": "How it came: `http` or `connect`; empty where nothing could be read.",
        "method": "The request's method, cut after 32 characters; `CONNECT` for a tunnel.",
        "host": "Where to: the canonical name or the address.",
        "port": "Where to: the port.",
        "path": "The path as far as the setting `paths` wants it, never the query, cut after 256 characters; "
        "null for a tunnel.",
        "verdict": "`allow`, `deny`, or `none` where it failed before it was judged or between the rounds.",
        "policy": "The name of the policy that decided, or empty.",
        "rule": "The name of its rule, or empty.",
        "reason": "Why it was decided or why it failed: one sentence.",
        "code": "What kind of refusal or failure; null where there was none.",
        "detail": "More about a refusal or failure, for operators: it may name addresses. Null where there is none.",
        "road": "The label of the road; null where it was not admitted.",
        "level": "Which level of the cascade chose the road: 0 for an operator's route, 2 for the listener, 4 for the "
        "default, 5 for the environment, 6 for none; null where it was not admitted.",
        "decided": "What chose the road, in the words of the configuration; empty where nothing did and it is direct; "
        "null where it was not admitted.",
        "hops": "The proxies on the way, by their names, nearest first.",
        "addresses": "What the host was resolved to and judged by.",
        "address_check": "`passed`; `none` where the name was left to the next proxy and no address was judged; "
        "null where it was not admitted.",
        "audit": "What policies in audit mode would have done: a list of `policy`, `rule` and `reason`.",
        "generation": "Which configuration judged it: counts up with each reload; null where it was not admitted.",
        "dialled": "The address that was dialled; null where none was.",
        "server_name": "The name in the tunnel's ClientHello: null where there was no ClientHello, empty where it had "
        "no name.",
        "status": "The status of the answer that the client got; null where it got none.",
        "bytes_up": "Octets of content from client to origin; heads are not counted.",
        "bytes_down": "Octets of content from origin to client; heads are not counted.",
        "judge_ms": "Milliseconds of judging; null where it did not happen.",
        "resolve_ms": "Milliseconds of waiting for the resolver; null where it was not asked.",
        "dial_ms": "Milliseconds until the connection to the origin stood; null where none was made.",
        "wait_ms": "Milliseconds from the request's last octet to the answer's first; null where there was no answer.",
        "total_ms": "Milliseconds from the end of the request's head to the end.",
        "cause": "What ended it; null while it lives on.",
    }
)

METHOD_LIMIT = 32
PATH_LIMIT = 256
TEXT_LIMIT = 512
ADDRESSES_LIMIT = 64
CUT = "..."

_MEMORY_LIMIT = 4096
_WOULD_HAVE = "would have"
_JUDGED = frozenset({403, 407, 429})
_NOT_ADMITTED = '"road":null,"level":null,"decided":null,"hops":[],"addresses":[],"address_check":null'


def bounded(text: str, limit: int) -> str:
    """Quote text for JSON, cut after `limit` characters and marked where it was longer."""
    return quoted(text if len(text) <= limit else text[:limit] + CUT)


class Stamp:
    """Formats times (RFC 3339), and remembers the second: lines come in order, many in one."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def format(self, time: float) -> str:
        """Give a time in UTC with microseconds.

        Args:
            time: seconds since the epoch.
        """
        micros = int(time * 1_000_000)
        second = micros // 1_000_000
        if second != self._second:
            self._second = second
            self._text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._text}.{micros - second * 1_000_000:06d}Z"


@frozen(eq=False)
class _Admitted:
    """The prepared parts of an admission: all that its requests say in common where they end well, and pieces of it."""

    admission: Admission
    whole: str
    road: str
    after: str


class LineEncoder:
    """Makes the line of a record.

    Args:
        paths: how much of a path is kept: "none", "first" or "full".
    """

    def __init__(self, paths: str) -> None:
        self._paths = paths
        self._stamp = Stamp()
        # By identity, because hashing a frozen value costs more than formatting it; the value is kept so that its
        # identity cannot be given to another.
        self._clients: dict[int, tuple[Client, str]] = {}
        self._admissions: dict[int, _Admitted] = {}

    def encode(self, record: AuditRecord) -> bytes:
        """Format one record.

        Returns:
            One JSON object in ASCII, without a line end.
        """
        request = record.request
        if request is None:
            identity = quoted(record.request_id) if record.request_id else "null"
            wish = '"method":null,"host":null,"port":null,"path":null'
        else:
            path = request.path
            authority = request.authority
            identity = quoted(request.id)
            wish = (
                f'"method":{bounded(request.method, METHOD_LIMIT)},"host":{bounded(authority.host, TEXT_LIMIT)},'
                f'"port":{authority.port},"path":{"null" if path is None else self._path(path)}'
            )
        connection = record.connection
        phases = record.phases
        resolve, dial, wait = phases.resolve, phases.dial, phases.wait
        admission, refused = record.admission, record.refused
        if admission is not None and refused is None:
            judgement = self._admitted(admission).whole
        else:
            judgement = self._judgement(admission, refused)
        status, dialled, name, cause = record.status, record.dialled, record.server_name, record.cause
        return (
            f'{{"time":"{self._stamp.format(record.time)}","type":{quoted(record.kind)},"request_id":{identity},'
            f'"connection_id":{quoted(record.connection_id)},"listener":{quoted(connection.listener)},'
            f'{self._client(record.client)},"peer":{quoted(connection.peer)},'
            f'"peer_port":{connection.peer_port},"front":{quoted(record.front)},{wish},'
            f'{judgement},"dialled":{quoted(dialled) if dialled else "null"},'
            f'"server_name":{"null" if name is None else bounded(name, PATH_LIMIT)},"status":{status or "null"},'
            f'"bytes_up":{record.bytes_up},"bytes_down":{record.bytes_down},"judge_ms":{_ms(phases.judge)},'
            f'"resolve_ms":{"null" if resolve < 0.0 else _ms(resolve)},'
            f'"dial_ms":{"null" if dial < 0.0 else _ms(dial)},"wait_ms":{"null" if wait < 0.0 else _ms(wait)},'
            f'"total_ms":{_ms(record.total_ms)},"cause":{quoted(cause) if cause else "null"}}}'
        ).encode("ascii")

    def note(self, kind: str, time: float, facts: Mapping[str, object]) -> bytes:
        """Format a line about the journal or the supervisor itself.

        Args:
            kind: one of `TYPES`.
            time: seconds since the epoch.
            facts: its further keys. Values that JSON does not know are written as text.
        """
        return encode_note(kind, self._stamp.format(time), facts)

    def _path(self, path: str) -> str:
        if self._paths == "none":
            return "null"
        # A canonical path has no query; a record must not depend on that promise being kept.
        path = path.partition("?")[0].partition("#")[0]
        if self._paths == "first":
            first, slash, _ = path[1:].partition("/")
            # What follows a semicolon are parameters, session ids among them (RFC 3986 section 3.3).
            segment, semicolon, _ = first.partition(";")
            if semicolon or slash:
                return quoted(f"{path[:1]}{segment[:PATH_LIMIT]}/{CUT}")
        return bounded(path, PATH_LIMIT)

    def _client(self, client: Client) -> str:
        known = self._clients.get(id(client))
        if known is not None and known[0] is client:
            return known[1]
        labels = ",".join(bounded(label, TEXT_LIMIT) for label in sorted(client.labels))
        text = f'"client":{bounded(client.key, TEXT_LIMIT)},"labels":[{labels}]'
        if len(self._clients) >= _MEMORY_LIMIT:
            self._clients.clear()
        self._clients[id(client)] = (client, text)
        return text

    def _judgement(self, admission: Admission | None, refused: Refused | None) -> str:
        if admission is None:
            road, after = _NOT_ADMITTED, '"audit":[],"generation":null'
        else:
            known = self._admitted(admission)
            road, after = known.road, known.after
        if refused is None:
            return f"{_UNJUDGED},{road},{after}"
        verdict = verdict_of(admission, refused)
        if admission is not None and not refused.policy:
            policy, rule = admission.verdict.policy, admission.verdict.rule
        else:
            policy, rule = refused.policy, refused.rule
        if admission is None and refused.verdicts:
            after = f'"audit":{_rehearsed(refused.verdicts)},"generation":null'
        return (
            f'"verdict":"{verdict}","policy":{quoted(policy)},"rule":{quoted(rule)},'
            f'"reason":{bounded(refused.reason, TEXT_LIMIT)},"code":{quoted(refused.code)},'
            f'"detail":{bounded(refused.detail, TEXT_LIMIT) if refused.detail else "null"},{road},{after}'
        )

    def _admitted(self, admission: Admission) -> _Admitted:
        known = self._admissions.get(id(admission))
        if known is not None and known.admission is admission:
            return known
        verdict, plan, resolution = admission.verdict, admission.plan, admission.resolution
        addresses = ",".join(f'"{address}"' for address in resolution.addresses[:ADDRESSES_LIMIT])
        hops = ",".join(bounded(hop.upstream, TEXT_LIMIT) for hop in plan.hops)
        judged = (
            f'"verdict":"allow","policy":{quoted(verdict.policy)},"rule":{quoted(verdict.rule)},'
            f'"reason":{bounded(verdict.reason, TEXT_LIMIT)}'
        )
        road = (
            f'"road":{bounded(plan.label, TEXT_LIMIT)},"level":{plan.level},'
            f'"decided":{bounded(plan.decided, TEXT_LIMIT)},"hops":[{hops}],"addresses":[{addresses}],'
            f'"address_check":"{"none" if resolution.is_delegated else "passed"}"'
        )
        after = f'"audit":{_rehearsed(admission.verdicts)},"generation":{admission.generation}'
        if len(self._admissions) >= _MEMORY_LIMIT:
            self._admissions.clear()
        whole = f'{judged},"code":null,"detail":null,{road},{after}'
        self._admissions[id(admission)] = known = _Admitted(admission, whole, road, after)
        return known


def verdict_of(admission: Admission | None, refused: Refused | None) -> str:
    """Give the word for what was decided about a request."""
    if refused is not None and refused.code in CODES and CODES[refused.code].status in _JUDGED:
        return "deny"
    return "none" if admission is None else "allow"


_UNJUDGED = '"verdict":"none","policy":"","rule":"","reason":"","code":null,"detail":null'


def _ms(milliseconds: float) -> str:
    # The upper bound keeps an infinity, which JSON cannot spell, off the line; a NaN fails both.
    return f"{milliseconds:.3f}" if 0.0 <= milliseconds < 1e15 else "null"


def _rehearsed(verdicts: tuple[Verdict, ...]) -> str:
    said = [
        f'{{"policy":{quoted(one.policy)},"rule":{quoted(one.rule)},"reason":{bounded(one.reason, TEXT_LIMIT)}}}'
        for one in verdicts
        if one.outcome is Outcome.ABSTAIN and one.reason.startswith(_WOULD_HAVE)
    ]
    return f"[{','.join(said)}]"


def encode_note(kind: str, stamp: str, facts: Mapping[str, object]) -> bytes:
    """Format a line that is not about a request.

    Args:
        kind: one of `TYPES`.
        stamp: its time, formatted.
        facts: its further keys.
    """
    head = f'{{"time":"{stamp}","type":{quoted(kind)}'
    shown = {key: value for key, value in facts.items() if key not in ("time", "type", "seq", "prev", "writer", "sum")}
    rest = json.dumps(shown, ensure_ascii=True, separators=(",", ":"), default=str)
    return f"{head}}}".encode("ascii") if not shown else f"{head},{rest[1:]}".encode("ascii")
