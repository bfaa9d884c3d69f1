"""Generated tokens."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from egress.identity.generated_tokens import digest_of, format_digest, is_generated, make_token, parse_digest


class MadeTests(SynchronousTestCase):
    """A token and its digest."""

    def test_form(self) -> None:
        """256 random bits stand behind `egr_`, and go into a URL as they are."""
        tokens = {make_token() for _ in range(50)}

        self.assertEqual(50, len(tokens))
        for token in tokens:
            self.assertRegex(token, r"\Aegr_[A-Za-z0-9_-]{43}\Z")
            self.assertTrue(is_generated(token.encode()))

    def test_digest(self) -> None:
        """The file has the SHA-256 of the whole token, which other tools can make too."""
        token = b"egr_" + b"A" * 43
        digest = digest_of(token)

        assert digest is not None
        self.assertEqual("sha256$" + sha256(token).hexdigest(), format_digest(digest))
        self.assertEqual(digest, parse_digest(format_digest(digest)))

    def test_what_is_no_token(self) -> None:
        """A secret that somebody has thought of is never looked up by a fast hash."""
        for secret in (b"", b"egr_", b"correct horse", b"egr_" + b"A" * 42, b"egr_" + b"A" * 44, b"egr_" + b"=" * 43):
            self.assertIsNone(digest_of(secret))

    def test_spelling_is_strict(self) -> None:
        """One digest has one spelling; other kinds are somebody else's."""
        self.assertIsNone(parse_digest("scrypt$"))
        self.assertIsNone(parse_digest("SHA256$" + "0" * 64))
        for digits in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 63 + "\n", "0" * 64 + "\n"):
            with self.assertRaises(ValueError):
                parse_digest("sha256$" + digits)
