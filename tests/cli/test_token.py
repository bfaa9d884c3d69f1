"""`egress token`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from egress.cli import main
from egress.identity.generated_tokens import digest_of
from egress.identity.tokens import read_tokens

SECRET = "correct horse battery"


class TokenTests(SynchronousTestCase):
    """Tokens and lines."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def run_it(self, *arguments: str, given: str | bytes | None = None) -> Result:
        """Run it."""
        return CliRunner().invoke(main, ["token", *arguments], input=given)

    def test_new(self) -> None:
        """Without a file the token and its line are both shown, and say what they are."""
        result = self.run_it("new", "research-1")

        self.assertEqual(0, result.exit_code, result.output)
        first, second = result.stdout.splitlines()
        token, line = first.split()[-1], second.split()[-1]
        self.assertTrue(first.startswith("token"))
        self.path.write_text(line)
        self.assertEqual({digest_of(token.encode()): "research-1"}, read_tokens(str(self.path)).generated)

    def test_new_in_a_file(self) -> None:
        """With a file the token alone is printed, for whoever puts it somewhere else; the file has only its hash."""
        first = self.run_it("new", "ci", "--file", str(self.path))
        second = self.run_it("new", "ci", "-f", str(self.path))

        self.assertEqual((0, 0), (first.exit_code, second.exit_code))
        tokens = [result.stdout.removesuffix("\n") for result in (first, second)]
        expected = {digest_of(token.encode()): "ci" for token in tokens}
        self.assertEqual(expected, dict(read_tokens(str(self.path)).generated))
        self.assertNotIn("egr_", self.path.read_text())
        self.assertIn("2 lines of that name", second.stderr)
        self.assertNotIn("egr_", second.stderr)

    def test_hash(self) -> None:
        """A secret from the standard input becomes a line; its line end does not belong to it."""
        for end in ("", "\n", "\r\n"):
            result = self.run_it("hash", "bob", given=SECRET + end)

            self.assertEqual(0, result.exit_code, result.output)
            self.path.write_text(result.stdout)
            self.path.chmod(0o600)
            (hashed,) = read_tokens(str(self.path)).chosen["bob"]
            self.assertTrue(hashed.matches(SECRET.encode()))

    def test_hash_in_a_file(self) -> None:
        """With a file nothing is printed but what was done."""
        result = self.run_it("hash", "bob", "--file", str(self.path), given=SECRET)

        self.assertEqual((0, ""), (result.exit_code, result.stdout))
        self.assertIn("bob", read_tokens(str(self.path)).chosen)

    def test_secrets_that_will_not_do(self) -> None:
        """One line on stderr says why, status 2, and nothing of the secret."""
        for given, words in (
            ("hunter2", "shorter than 12"),
            ("", "shorter than 12"),
            ("hunter2hunter2\nhunter2", "control character or a line end"),
            ("hunter2" * 100, "longer than 512"),
            ("hunter2" * 1000, "longer than 512"),
            (b"hunter2hunter2\xff", "not UTF-8"),
            ("egr_hunter2hunter2", "begins like a token"),
        ):
            result = self.run_it("hash", "bob", given=given)

            self.assertEqual((2, ""), (result.exit_code, result.stdout), words)
            (line,) = result.stderr.splitlines()
            self.assertIn(words, line)
            self.assertNotIn("hunter2", line)

    def test_names_that_will_not_do(self) -> None:
        """They must mean nothing in a URL or in a rule."""
        for name in ("", "a b", "a:b", "a*", "a@b", "a/b", "\u00e4", "x" * 65, "a\n"):
            for command in ("new", "hash"):
                result = self.run_it(command, "--", name, given=SECRET)
                self.assertEqual((2, ""), (result.exit_code, result.stdout), name)

    def test_files_that_will_not_do(self) -> None:
        """No token is shown that would not work."""
        self.path.write_text("nonsense\n")

        result = self.run_it("new", "ci", "--file", str(self.path))

        self.assertEqual((1, ""), (result.exit_code, result.stdout))
        self.assertIn("line 1: is not `name:hash`", result.stderr)
        self.assertEqual("nonsense\n", self.path.read_text())
