"""The tokens file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress.config.files import Unusable
from egress.errors import ConfigError
from egress.identity import chosen_secrets
from egress.identity.chosen_secrets import ScryptHash
from egress.identity.generated_tokens import digest_of
from egress.identity.tokens import FILE_LIMIT_BYTES, Tokens, is_name, open_tokens, parse_tokens, read_tokens
from tests.identity.support import OTHER_TOKEN, QUICK, SECRET, TOKEN, generated_line

_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
_octets = st.binary(min_size=32, max_size=32)
_hashes = st.one_of(
    _octets.map(lambda octets: f"sha256${octets.hex()}"),
    st.builds(lambda salt, octets: ScryptHash(32768, 8, 1, salt, octets).format(), _octets, _octets),
)


class ParseTests(SynchronousTestCase):
    """Lines of `name:hash`."""

    def parse(self, text: str | bytes) -> tuple[dict[bytes, str], dict[str, int]]:
        """Read a file with this content."""
        tokens = parse_tokens(text if isinstance(text, bytes) else text.encode(), "tokens.txt")
        return dict(tokens.generated), {name: len(hashes) for name, hashes in tokens.chosen.items()}

    def test_lines(self) -> None:
        """Both kinds, remarks, empty lines, and line ends of other systems."""
        text = f"# who may call\n\n  \t\n{generated_line('research-1')}bob:{QUICK}\r\n#bob:x\n" + generated_line(
            "ci", OTHER_TOKEN
        )

        made, chosen = self.parse(text)

        expected = {digest_of(TOKEN.encode()): "research-1", digest_of(OTHER_TOKEN.encode()): "ci"}
        self.assertEqual(expected, made)
        self.assertEqual({"bob": 1}, chosen)

    def test_nothing(self) -> None:
        """A file may be empty: then nobody has a token."""
        self.assertEqual(({}, {}), self.parse(""))

    def test_rotation(self) -> None:
        """A name may have several lines, of both kinds."""
        text = f"{generated_line('ci')}{generated_line('ci', OTHER_TOKEN)}ci:{QUICK}\nci:{QUICK}"

        tokens = parse_tokens(text.encode(), "tokens.txt")

        self.assertEqual((4, 4, 0), (tokens.count, tokens.count_of("ci"), tokens.count_of("other")))

    def test_what_is_refused(self) -> None:
        """Each fault names file and line, and holds nothing of the line."""
        digits = "0" * 64
        for line, words in (
            ("hunter2", "is not `name:hash`"),
            (f"hunter2 :sha256${digits}", "no name"),
            (f" hunter2:sha256${digits}", "no name"),
            (f":sha256${digits}", "no name"),
            (f"-hunter2:sha256${digits}", "no name"),
            (f"hunter*:sha256${digits}", "no name"),
            (f"{'h' * 65}:sha256${digits}", "no name"),
            ("name:hunter2", "has no hash"),
            ("name:", "has no hash"),
            (f"name:hunter2:sha256${digits}", "has no hash"),
            (f"name:sha256${digits} # hunter2", "64 hexadecimal"),
            (f"name:sha256${digits}0", "64 hexadecimal"),
            ("name:scrypt$hunter2", "is spelled"),
            ("name:scrypt$n=2,r=1,p=1$hunter2$hunter2", "MiB"),
            ("n\u00e4me:hunter2", "is not ASCII"),
            (generated_line("other").rstrip(), "another line has"),
        ):
            with self.assertRaises(ConfigError, msg=line) as caught:
                parse_tokens(f"{generated_line('one')}\n{line}\n".encode(), "tokens.txt")
            problem = caught.exception
            self.assertIsInstance(problem, ConfigError)
            self.assertTrue(str(problem).startswith("tokens.txt: line 3: "), str(problem))
            self.assertIn(words, str(problem))
            self.assertNotIn("hunter2", str(problem))
            self.assertNotIn("0000", str(problem))

    def test_few_chosen_secrets_of_one_name(self) -> None:
        """A wrong secret is tried against all of them, so there are not many."""
        with self.assertRaises(ConfigError) as caught:
            self.parse(f"bob:{QUICK}\n" * 5)
        self.assertIn("line 5", str(caught.exception))

    @given(st.binary(max_size=200))
    def test_any_octets(self, content: bytes) -> None:
        """Whatever it holds: it is read or refused, never more than what is meant."""
        try:
            made, chosen = self.parse(content)
        except ConfigError as error:
            self.assertTrue(error.where.startswith("line "))
        else:
            self.assertEqual(({}, {}), (made, chosen))

    @given(st.lists(st.tuples(_names, _hashes), max_size=4, unique_by=lambda pair: pair[1]))
    def test_any_good_lines(self, lines: list[tuple[str, str]]) -> None:
        """What is written is read: every line counts for its name, and for no other."""
        tokens = parse_tokens("\n".join(f"{name}:{hashed}" for name, hashed in lines).encode(), "tokens.txt")

        spelled = {(name, f"sha256${digest.hex()}") for digest, name in tokens.generated.items()}
        spelled |= {(name, each.format()) for name, hashes in tokens.chosen.items() for each in hashes}
        self.assertEqual(set(lines), spelled)
        for name, _ in lines:
            self.assertTrue(is_name(name))


class HashesTests(SynchronousTestCase):
    """The hashes that a chosen secret is compared with."""

    def setUp(self) -> None:
        self.computed: list[tuple[int, int, int]] = []
        real = hashlib.scrypt

        def counted(*arguments: Any, **parameters: Any) -> bytes:
            self.computed.append((parameters["n"], parameters["r"], parameters["p"]))
            return real(*arguments, **parameters)

        self.patch(chosen_secrets, "scrypt", counted)

    def costs(self, tokens: Tokens, name: str, secret: bytes) -> tuple[bool, list[tuple[int, int, int]]]:
        """Compare a secret; tell whether it is right, and the hashes that were computed in order."""
        self.computed.clear()
        return tokens.is_right(name, secret), list(self.computed)

    def test_every_comparison_costs_alike(self) -> None:
        """The time tells neither which names there are, nor how many hashes a name has, nor which of them matches."""
        cheap, dear = (16384, 8, 1), (32768, 8, 1)
        other = QUICK.replace("MDEy", "NDEy")  # another salt
        slow = ScryptHash(*dear, b"s" * 16, b"h" * 32).format()
        lines = {"one": [QUICK], "last": [other, other, QUICK], "two": [slow, other], "wrong": [slow, slow]}
        text = "".join(f"{name}:{each}\n" for name, hashes in lines.items() for each in hashes)
        tokens = parse_tokens(f"{text}{generated_line('ci')}".encode(), "")

        found = {name: self.costs(tokens, name, SECRET) for name in (*lines, "ci", "nobody")}

        self.assertEqual(["one", "last"], [name for name, (is_right, _) in found.items() if is_right])
        self.assertEqual([[cheap] * 3 + [dear] * 2] * 6, [computed for _, computed in found.values()])
        self.assertEqual((False, [cheap] * 3 + [dear] * 2), self.costs(tokens, "last", b"another secret"))

    def test_nothing_is_computed_without_chosen_secrets(self) -> None:
        """Where nobody has chosen a secret, no hash is computed."""
        self.assertEqual((False, []), self.costs(parse_tokens(generated_line("ci").encode(), ""), "ci", SECRET))

    def test_memory_is_bounded(self) -> None:
        """What was proven first is forgotten first."""
        tokens = parse_tokens(b"", "")
        for number in range(1025):
            tokens.prove(b"%d" % number)

        self.assertEqual(1024, len(tokens.proven))
        self.assertNotIn(b"0", tokens.proven)


class FileTests(SynchronousTestCase):
    """The file itself."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def write(self, text: str, mode: int) -> str:
        """Write the file.

        Returns:
            Its name.
        """
        self.path.write_text(text, "ascii")
        self.path.chmod(mode)
        return str(self.path)

    def test_who_may_read_it(self) -> None:
        """Hashes of what people think of are kept from others; those of random bits need not be."""
        for mode in (0o600, 0o640, 0o644):
            self.assertEqual(1, read_tokens(self.write(generated_line("ci"), mode)).count)
        self.assertEqual(1, read_tokens(self.write(f"bob:{QUICK}", 0o640)).count)
        with self.assertRaises(Unusable):
            read_tokens(self.write(f"bob:{QUICK}", 0o644))

    def test_who_may_write_it(self) -> None:
        """A file that anybody can add a line to lets anybody in."""
        with self.assertRaises(Unusable):
            read_tokens(self.write(generated_line("ci"), 0o602))

    def test_what_is_no_file(self) -> None:
        """Missing, a directory, or too long."""
        with self.assertRaises(ConfigError) as caught:
            open_tokens("egr_hunter2", Clock(), "listener[0].tokens")
        self.assertEqual(
            "listener[0].tokens: its file cannot be read: No such file or directory", str(caught.exception)
        )
        with self.assertRaises(Unusable):
            read_tokens("/")
        with self.assertRaises(Unusable):
            read_tokens(self.write("#" * (FILE_LIMIT_BYTES + 1), 0o600))

    def test_bad_change_is_logged(self) -> None:
        """A file that turns bad leaves the tokens as they were; the log names the line and shows no hash."""
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace") == "egress.identity.tokens":
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        clock = Clock()
        watched = open_tokens(self.write(generated_line("ci"), 0o600), clock, "")
        self.write(generated_line("ci") + "bob:hunter2", 0o600)
        clock.advance(2)

        self.assertEqual(1, watched.current().count)
        (words,) = said
        self.assertIn("line 2: has no hash", words)
        self.assertNotIn("hunter2", words)
        self.assertNotEqual("", watched.problem)
