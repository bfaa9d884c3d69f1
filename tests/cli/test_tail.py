"""`egress tail`."""

from __future__ import annotations

import json
import os
import time

from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.encoder import LineEncoder, encode_note
from egress.audit.follower import Follower
from egress.audit.repeated import Repeated
from egress.audit.selection import Selection
from egress.audit.timestamps import TimestampFormat
from egress.cli.tail import View, describe, tail
from egress.errors import Refused
from tests.audit.fakes import EPOCH, make_event, make_request

ENCODER = LineEncoder("first")
ALLOWED = ENCODER.encode(make_event(timestamp=EPOCH))
DENIED = ENCODER.encode(
    make_event(
        "refused",
        make_request(host="evil.example"),
        admission=None,
        refused=Refused("denied", "Rule telemetry denies it.", "destinations", "telemetry"),
        timestamp=EPOCH + 60,
    )
)
REPEATED = Repeated(
    make_event(
        "repeated",
        make_request(request_id="b-1f", host="evil.example"),
        admission=None,
        refused=Refused("denied", "Rule telemetry denies it.", "destinations", "telemetry"),
        timestamp=EPOCH + 70,
    ),
    37,
    "b-2",
    EPOCH + 61,
).encode(ENCODER, TimestampFormat())
LOSS = encode_note("loss", "2026-09-21T14:15:00.000000Z", {"sink": "file", "count": 7, "since": "T"})


class TailTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def run_tail(self, lines: list[bytes], *options: str, env: dict[str, str] | None = None) -> Result:
        with open(self.path, "wb") as stream:
            stream.writelines(line + b"\n" for line in lines)
        return CliRunner().invoke(tail, [self.path, "--no-follow", *options], env=env)

    def test_people(self) -> None:
        """A line for people has the client, the request and the outcome; a refusal its reason. No colours in a pipe."""
        result = self.run_tail([ALLOWED, DENIED, LOSS])

        allowed, denied, loss = result.output.splitlines()
        self.assertEqual(0, result.exit_code, result.output)
        self.assertEqual(
            "2026-09-21 14:13:20 allow listener:agents CONNECT api.github.com:443 200 [destinations/github]"
            " via direct sent 517 received 4096 in 130.25 ms",
            allowed,
        )
        self.assertIn("deny", denied)
        self.assertIn("evil.example:443 200 denied: Rule telemetry denies it. [destinations/telemetry]", denied)
        self.assertTrue(denied.endswith(f" id {json.loads(DENIED)['request_id']}"), denied)
        self.assertEqual("2026-09-21 14:15:00 loss sink=file count=7 since=T", loss)

    def test_counted(self) -> None:
        """A line that counts requests says how many, since when and which; its criteria are those of a refusal."""
        told = (
            "2026-09-21 14:14:30 deny  listener:agents CONNECT evil.example:443 200 denied: Rule telemetry denies it."
            " [destinations/telemetry] 37 times since 14:14:21, from id b-2 id b-1f\n"
        )
        self.assertEqual(told, self.run_tail([REPEATED]).output)
        for options, is_selected in (
            (["--verdict", "deny", "--host", "evil.*", "--rule", "telemetry", "--code", "denied"], True),
            (["--request", "b-2"], True),
            (["--request", "b-1f"], True),
            (["--request", "b-a"], True),
            (["--request", "b-1"], False),
            (["--request", "b-20"], False),
            (["--request", "a-a"], False),
            (["--request", "nonsense"], False),
            (["--request", "b-"], False),
        ):
            self.assertEqual(told if is_selected else "", self.run_tail([REPEATED], *options).output, options)

    def test_json_has_no_control_characters(self) -> None:
        """Blanks of JSON that move a terminal's cursor are printed as spaces: the line is JSON, and hides nothing."""
        hidden = b'{"event":"end","client":"evil"\r,"x":1\t}'
        utf16 = '{"event":"end"}'.encode("utf-16-le")

        result = self.run_tail([ALLOWED + b"\r", hidden, utf16], "--json")

        self.assertNotRegex(result.output, r"[^ -~\n]")
        allowed, shown, escaped = result.output.splitlines()
        self.assertEqual(ALLOWED.decode(), allowed)
        self.assertEqual(json.loads(hidden), json.loads(shown))
        self.assertIn("\\x00", escaped)

    def test_filters(self) -> None:
        """Each filter picks the lines that a reader asked for."""
        for options, expected in [
            ((), [ALLOWED, DENIED, LOSS]),
            (("--client", "listener:*"), [ALLOWED, DENIED]),
            (("--client", "address:127.0.0.1"), [ALLOWED, DENIED]),
            (("--client", "nobody"), []),
            (("--host", "*.GitHub.com"), [ALLOWED]),
            (("--verdict", "deny"), [DENIED]),
            (("--code", "denied"), [DENIED]),
            (("--rule", "github"), [ALLOWED]),
            (("--request", json.loads(ALLOWED)["request_id"], "--code", "denied"), [DENIED]),
            (("--request", "nothing"), []),
            (("--since", "2026-09-21T14:14:00Z"), [DENIED, LOSS]),
            (("--since", "2026-09-21T16:14:00+02:00", "--verdict", "deny"), [DENIED]),
            (("--lines", "1"), [LOSS]),
            (("--lines", "1", "--verdict", "allow"), [ALLOWED]),
            (("--lines", "0"), []),
        ]:
            with self.subTest(options=options):
                result = self.run_tail([ALLOWED, DENIED, LOSS], "--json", *options)
                self.assertEqual(b"".join(line + b"\n" for line in expected), result.stdout_bytes)

    def test_wrong_options(self) -> None:
        """A time that cannot be read, a code or a verdict that nothing has, and two audit logs are wrong options."""
        for options, words in (
            (("--since", "yesterday"), "10m"),
            (("--code", "dneied"), "no_rule"),
            (("--verdict", ""), "none"),
            (("--config", "egress.toml"), "give one of them"),
        ):
            result = self.run_tail([], *options)
            self.assertEqual((2, ""), (result.exit_code, result.stdout), options)
            self.assertIn(words, result.stderr)

    def test_missing_file(self) -> None:
        """Without --follow, a missing file is an error."""
        result = CliRunner().invoke(tail, ["--no-follow", self.path])

        self.assertEqual(1, result.exit_code)

    def test_default_file(self) -> None:
        """Without a name it is the audit log of the user's state directory."""
        os.makedirs(self.path)
        with open(os.path.join(self.path, "audit.jsonl"), "wb") as stream:
            stream.write(ALLOWED + b"\n")

        result = CliRunner().invoke(tail, ["--no-follow"], env={"EGRESS_STATE": self.path})

        self.assertIn("api.github.com", result.output)

    def configure(self, text: str) -> str:
        """Write a configuration."""
        os.makedirs(self.path)
        name = os.path.join(self.path, "egress.toml")
        with open(name, "w", encoding="utf-8") as stream:
            stream.write(text)
        return name

    def test_configured_file(self) -> None:
        """With a configuration it is the audit log that this one names."""
        state = os.path.abspath(self.path)
        name = self.configure(f'state = "{state}"\n[audit]\nfile = "other.jsonl"\n')
        with open(os.path.join(state, "other.jsonl"), "wb") as stream:
            stream.write(ALLOWED + b"\n")

        result = CliRunner().invoke(tail, ["--no-follow", "--config", name])

        self.assertEqual((0, ""), (result.exit_code, result.stderr))
        self.assertIn("api.github.com", result.output)

    def test_configuration_without_file(self) -> None:
        """A configuration that is wrong, or keeps its audit log elsewhere, ends with 2 and one line."""
        name = self.configure('[audit]\nto = ["stdout"]\n')
        for file, words in ((name, "not kept in a file"), (f"{name}.missing", "cannot be read")):
            result = CliRunner().invoke(tail, ["--no-follow", "--config", file])
            self.assertEqual((2, ""), (result.exit_code, result.stdout))
            self.assertIn(words, result.stderr)

    def test_says_what_it_follows(self) -> None:
        """The file that is followed or waited for is named."""

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        self.patch(time, "sleep", interrupt)
        waiting = CliRunner().invoke(tail, [self.path])
        with open(self.path, "wb") as stream:
            stream.write(ALLOWED + b"\n")
        following = CliRunner().invoke(tail, [self.path])

        self.assertEqual(f"egress: waiting for {self.path}, which does not exist yet\n", waiting.stderr)
        self.assertEqual(f"egress: following {self.path}\n", following.stderr)
        self.assertIn("api.github.com", following.stdout)

    def test_bad_lines(self) -> None:
        """A line that is not ours is shown cleaned and ends nothing; with --json it is no part of the output."""
        bad = b'\x1b]0;owned\x07{"half'

        people = self.run_tail([ALLOWED, bad, DENIED])
        programs = self.run_tail([ALLOWED, bad, DENIED], "--json")

        self.assertEqual(3, len(people.output.splitlines()))
        self.assertIn(r"not a line of the audit log: \x1b]0;owned\x07", people.output)
        self.assertEqual(ALLOWED + b"\n" + DENIED + b"\n", programs.stdout_bytes)

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "timestamp",
                    "event",
                    "client",
                    "server_address",
                    "server_port",
                    "url_path",
                    "code",
                    "reason",
                    "rule",
                    "x",
                ]
            ),
            st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())),
        ),
        st.sampled_from(["end", "open", "refused", "loss"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_nothing_commands_the_terminal(self, facts: dict[str, object], event: str) -> None:
        """Whatever a line holds, the output is printable ASCII."""
        drawn = describe({"event": event, **facts}).plain

        self.assertTrue(all(" " <= character <= "~" for character in drawn), drawn)

    @given(st.one_of(st.binary(max_size=40), st.text().map(lambda text: json.dumps({"event": text}).encode())))
    @settings(max_examples=50, deadline=None)
    def test_any_line_can_be_picked(self, line: bytes) -> None:
        """No line stops the reader."""
        View(Selection(client="a", host="b"), is_raw=False).pick([line])


class FollowerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def write(self, data: bytes, mode: str = "ab") -> None:
        with open(self.path, mode) as stream:
            stream.write(data)

    def follow(self) -> Follower:
        follower = Follower(self.path)
        self.addCleanup(follower.end)
        return follower

    def test_growth(self) -> None:
        """Lines come when they are whole, after those that were asked for at first."""
        self.write(b"1\n2\n3\n")
        follower = self.follow()
        self.assertEqual([b"2", b"3"], follower.last(2))
        self.assertEqual([], follower.poll())

        self.write(b"4\n5")
        self.assertEqual([b"4"], follower.poll())
        self.write(b"5\n")
        self.assertEqual([b"55"], follower.poll())

    def test_rotation(self) -> None:
        """After a rename the old file is read to its end, then the new one from its beginning."""
        self.write(b"1\n")
        follower = self.follow()
        follower.last(None)
        os.rename(self.path, self.path + ".1")
        with open(self.path + ".1", "ab") as stream:
            stream.write(b"2\n")
        self.assertEqual([b"2"], follower.poll())
        self.assertEqual([], follower.poll())
        self.write(b"3\n")

        self.assertEqual([[], [b"3"], []], [follower.poll() for _ in range(3)])

    def test_truncation(self) -> None:
        """A file that was cut to nothing is read from its beginning."""
        self.write(b"one\ntwo\n")
        follower = self.follow()
        follower.last(None)

        self.write(b"3\n", "wb")

        self.assertEqual([b"3"], follower.poll())

    def test_file_that_comes_later(self) -> None:
        """A file that is not there yet is waited for."""
        follower = self.follow()
        self.assertEqual(([], []), (follower.last(10), follower.poll()))

        self.write(b"1\n")

        self.assertEqual([b"1"], follower.poll())

    def test_line_without_end(self) -> None:
        """An endless line does not fill the memory."""
        self.write(b"x" * 3_000_000)

        lines = self.follow().last(None)

        self.assertGreaterEqual(len(lines), 2)
