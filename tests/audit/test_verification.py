"""Sealed audit logs: whole, cut off, altered."""

from __future__ import annotations

import json
from io import BytesIO

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.audit_log import AuditLog
from egress.audit.chain_head import ChainHead, parse_hash
from egress.audit.encoder import LineEncoder, encode_note
from egress.audit.hash_chain import Chain, digest
from egress.audit.verification import LINE_LIMIT_BYTES, Summary, verify
from egress.errors import AuditLogCorrupt
from tests.audit.fakes import Scene, make_event, make_request


def keep(count: int = 5, is_stopped: bool = True) -> list[bytes]:
    """Keep a sealed audit log of `count` requests. Give its lines, start and stop among them, with their ends."""
    scene = Scene(is_chained=True)
    scene.audit_log.start()
    for number in range(count):
        scene.audit_log.record(make_event(request=make_request(request_id=f"r{number}")))
    scene.settle()
    if is_stopped:
        scene.audit_log.stop()
        scene.settle()
    return scene.sink.files[-1].splitlines(keepends=True)


def segment(previous: bytes | None, count: int = 3, is_ended: bool = True, writer: str = "ab" * 16) -> list[bytes]:
    """Seal a run of `count` lines by hand."""
    chain = Chain(writer, previous)
    kinds = ["start"] + ["loss"] * (count - 1)
    stamp = "2026-01-01T00:00:00.000000Z"
    lines = chain.seal([encode_note(kind, stamp, {"count": 1}) for kind in kinds])
    chain.commit(len(lines))
    if is_ended:
        lines += chain.seal([encode_note("stop", stamp, {})])
    return [line + b"\n" for line in lines]


def check(lines: list[bytes], head: ChainHead | None = None, is_growing: bool = False) -> Summary:
    return verify(BytesIO(b"".join(lines)), "a.jsonl", head, is_growing)


def head_at(lines: list[bytes], place: int = -1) -> ChainHead:
    """Give the head of an audit log when it ended with this line, which must be of its last run."""
    facts = [json.loads(line) for line in lines]
    writer = next(each["writer"] for each in reversed(facts) if "writer" in each)
    return ChainHead(digest(lines[place][:-1]).decode(), "/a.jsonl", writer, facts[place]["seq"])


class VerifyTests(SynchronousTestCase):
    def assert_corrupt(self, problem: str, line: int, lines: list[bytes]) -> None:
        error = self.assertRaises(AuditLogCorrupt, check, lines)
        self.assertEqual((problem, line), (error.problem, error.line), str(error))

    def test_whole(self) -> None:
        """An audit log that was ended in order is whole, each line is still JSON, and the last hash is given."""
        lines = keep()

        summary = check(lines)

        self.assertEqual(Summary(7, 0, 1, "", digest(lines[-1][:-1]).decode()), summary)
        self.assertEqual(list(range(7)), [json.loads(line)["seq"] for line in lines])

    def test_each_line_edited(self) -> None:
        """A changed octet is found whatever line it is in, the last one among them."""
        lines = keep()
        for place in range(len(lines)):
            with self.subTest(place=place):
                edited = [*lines]
                edited[place] = edited[place].replace(b"2026", b"2027", 1)
                self.assert_corrupt("altered", place + 1, edited)

    def test_each_line_removed(self) -> None:
        """A missing line is found, unless it is the last: then the audit log has no end."""
        lines = keep()
        for place in range(len(lines) - 1):
            with self.subTest(place=place):
                self.assert_corrupt("altered", place + 1, lines[:place] + lines[place + 1 :])
        self.assert_corrupt("truncated", len(lines) - 1, lines[:-1])

    def test_swapped_doubled_inserted(self) -> None:
        """Lines that changed places, came twice or came from elsewhere are found."""
        lines = keep()
        for place in range(len(lines) - 1):
            with self.subTest(place=place):
                swapped = [*lines]
                swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
                self.assertEqual("altered", self.assertRaises(AuditLogCorrupt, check, swapped).problem)
        for place in range(len(lines)):
            with self.subTest(place=place):
                doubled = lines[: place + 1] + lines[place:]
                self.assertEqual("altered", self.assertRaises(AuditLogCorrupt, check, doubled).problem)
                for stranger in (b'{"event":"end"}\n', b"\n", b"x" * (LINE_LIMIT_BYTES + 9) + b"\n", keep()[3]):
                    inserted = [*lines[: place + 1], stranger, *lines[place + 1 :]]
                    self.assertEqual("altered", self.assertRaises(AuditLogCorrupt, check, inserted).problem)
        self.assert_corrupt("altered", 1, [b'{"event":"end"}\n', *lines])

    def test_cut_anywhere(self) -> None:
        """An audit log that is cut off after any octet is never called whole, and never altered."""
        data = b"".join(keep(2))
        for size in range(data.index(b"\n") + 1, len(data)):
            error = self.assertRaises(AuditLogCorrupt, verify, BytesIO(data[:size]), "a")
            self.assertEqual("truncated", error.problem)

    def test_still_open(self) -> None:
        """An audit log that is being written is a valid beginning, not a whole audit log."""
        lines = keep(is_stopped=False)

        self.assert_corrupt("truncated", len(lines), lines)

    def test_converted_line_ends(self) -> None:
        """A file whose line ends became CRLF is checked like the file that was written, cut off anywhere too."""
        lines = keep()
        converted = [line.replace(b"\n", b"\r\n") for line in lines]

        self.assertEqual(evolve(check(lines), is_converted=True), check(converted))
        for place in range(len(lines)):
            edited = [*converted]
            edited[place] = edited[place].replace(b"2026", b"2027", 1)
            self.assert_corrupt("altered", place + 1, edited)
        data = b"".join(converted)
        for size in range(data.index(b"\n") + 1, len(data)):
            error = self.assertRaises(AuditLogCorrupt, verify, BytesIO(data[:size]), "a")
            self.assertEqual("truncated", error.problem)

    def test_mixed_line_ends(self) -> None:
        """A line with another end than the first line is altered, whichever end is the odd one."""
        lines = keep()
        converted = [line.replace(b"\n", b"\r\n") for line in lines]
        for place in range(len(lines)):
            for mixed in (
                [*lines[:place], converted[place], *lines[place + 1 :]],
                [*converted[:place], lines[place], *converted[place + 1 :]],
            ):
                self.assertEqual("altered", self.assertRaises(AuditLogCorrupt, check, mixed).problem, place)

    def test_no_chain(self) -> None:
        """A file without seals is not called anything else."""
        self.assertEqual(Summary(2, 2, 0, "", ""), check([b'{"event":"end"}\n', b"nonsense\n"]))
        self.assertEqual(Summary(0, 0, 0, "", ""), check([]))

    def test_chain_turned_on_later(self) -> None:
        """Lines from before the chain are counted as not checked, and the last of them is vouched for."""
        plain = b'{"event":"end"}\n'
        sealed = segment(digest(plain[:-1]))

        self.assertEqual(1, check([plain, *sealed]).unsealed)
        self.assert_corrupt("altered", 1, [plain.replace(b"end", b"out"), *sealed])

    def test_runs_follow_each_other(self) -> None:
        """A second run in the same file vouches for the last line of the first."""
        first = segment(None)
        second = segment(digest(first[-1][:-1]))

        self.assertEqual((8, 2), (check(first + second).lines, check(first + second).segments))
        self.assert_corrupt("altered", 4, first + segment(None))
        self.assert_corrupt("altered", 4, first + segment(None, 2) + second)
        self.assert_corrupt("altered", 3, first[:-1] + second)

    def test_a_run_that_was_killed(self) -> None:
        """A run without its last line is reported, even if other runs follow."""
        first = segment(None, is_ended=False)
        second = segment(digest(first[-1][:-1]))

        self.assert_corrupt("truncated", 3, first + second)

    def test_a_run_that_was_killed_in_a_line(self) -> None:
        """Half a line is accepted as the trace of a crash only if the next run vouches for it."""
        first = segment(None, is_ended=False)
        half = first.pop()[:50]
        second = segment(digest(half))

        self.assert_corrupt("truncated", 3, [*first, half + b"\n", *second])
        self.assert_corrupt("altered", 3, [*first, half[:-1] + b"\n", *second])
        self.assert_corrupt("truncated", 3, [*first, half])
        self.assert_corrupt("altered", 3, [*first, half + b"\n"])

    def test_rotation(self) -> None:
        """Both files are whole, and the second names the last hash of the first."""
        scene = Scene(is_chained=True)
        scene.audit_log.start()
        scene.settle()
        scene.audit_log.reopen()
        scene.settle()
        scene.audit_log.stop()
        scene.settle()

        old, new = (verify(BytesIO(data), "a") for data in scene.sink.files)

        self.assertEqual((2, 2), (old.lines, new.lines))
        self.assertEqual(old.head, new.previous)

    def test_full_disk(self) -> None:
        """Short writes, a full disk and losses leave a chain that holds."""
        scene = Scene(is_chained=True, backlog_records=8)
        scene.audit_log.start()
        for room in (700, 0, 1500, 3, 0, 5000, None):
            scene.sink.room = room
            for _ in range(6):
                scene.audit_log.record(make_event())
            scene.settle()
        scene.audit_log.stop()
        scene.settle()

        summary = verify(BytesIO(scene.sink.files[0]), "a")

        self.assertIn("loss", scene.types())
        self.assertEqual((1, len(scene.types())), (summary.segments, summary.lines))
        lost = sum(line["count"] for line in scene.sink.lines if isinstance(line.get("count"), int))  # type: ignore[misc]
        self.assertEqual((scene.audit_log.lost, 42), (lost, lost + scene.types().count("end")))


class HeadTests(SynchronousTestCase):
    """What a recorded head adds: lines that were there must be there."""

    def assert_corrupt(self, problem: str, line: int, lines: list[bytes], head: ChainHead) -> None:
        error = self.assertRaises(AuditLogCorrupt, check, lines, head)
        self.assertEqual((problem, line), (error.problem, error.line), str(error))

    def test_whole(self) -> None:
        """Any line of a whole audit log may be the head, and its number is given."""
        lines = keep()
        for place in range(len(lines)):
            self.assertEqual(place + 1, check(lines, head_at(lines, place)).vouched)
        self.assertEqual(len(lines), check(lines, parse_hash(check(lines).head)).vouched)

    def test_last_run_cut_off(self) -> None:
        """An audit log whose whole last run was cut off is cut off, although what is left ended in order."""
        first = segment(None)
        second = segment(digest(first[-1][:-1]), writer="cd" * 16)
        head = head_at(first + second)
        self.assertEqual(4, check(first).lines)

        for hidden in (head, parse_hash(head.hash)):
            self.assert_corrupt("cut off", 4, first, hidden)
            self.assert_corrupt("cut off", 0, [], hidden)
            self.assert_corrupt("cut off", 6, (first + second)[:6], hidden)
        self.assertEqual(8, check(first + second, head).vouched)

    def test_replaced(self) -> None:
        """A new chain in place of the old one is found: by its run, or by the line that took the head's place."""
        lines = segment(None)
        head = head_at(lines)

        self.assert_corrupt("cut off", 4, segment(None, writer="cd" * 16), head)
        self.assert_corrupt("cut off", 1, [b'{"event":"end"}\n'], head)
        forged = Chain("ab" * 16, None)
        bare = [b'{"schema":1,"timestamp":"2026-01-01T00:00:00.000000Z","event":"loss"}'] * 5
        self.assert_corrupt("altered", 4, [line + b"\n" for line in forged.seal(bare)], head)

    def test_being_written(self) -> None:
        """An audit log that is being written is whole if the head is in its last run, half a line after it or not."""
        lines = keep(is_stopped=False)
        head = head_at(lines, 3)

        for end in ([], [b'{"schema":1,']):
            summary = check(lines + end, head, is_growing=True)
            self.assertEqual((4, False), (summary.vouched, summary.is_ended))
            self.assertEqual("truncated", self.assertRaises(AuditLogCorrupt, check, lines + end, head).problem)
        error = self.assertRaises(AuditLogCorrupt, check, lines, None, True)
        self.assertEqual("truncated", error.problem)
        first = segment(None)
        second = segment(digest(first[-1][:-1]), is_ended=False)
        error = self.assertRaises(AuditLogCorrupt, check, first + second, head_at(first), True)
        self.assertEqual("truncated", error.problem)

    def test_cut_off_before_a_start(self) -> None:
        """What was cut off while no proxy ran is told by the first line of the next run."""
        scene = Scene(is_chained=True)
        scene.audit_log = AuditLog(
            scene.clock, [scene.queue], LineEncoder("first"), 100, spawn=scene.spawn, missing_head="5" * 64
        )
        scene.audit_log.start()
        scene.audit_log.stop()
        scene.settle()

        error = self.assertRaises(AuditLogCorrupt, verify, BytesIO(scene.sink.files[0]), "a")

        self.assertEqual(("cut off", 1), (error.problem, error.line))
        self.assertIn("when this run began, the file did not hold the recorded line with the hash 5555", error.detail)
