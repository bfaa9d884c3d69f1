"""Chosen secrets and their scrypt hashes."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import scrypt

from twisted.trial.unittest import SynchronousTestCase

from egress.identity.chosen_secrets import ScryptHash, check_secret
from tests.identity.support import QUICK, SECRET

_SALT = "A" * 22
_HASH = "A" * 43


class ChosenHashTests(SynchronousTestCase):
    """The hash of a secret."""

    def test_made_hash_matches(self) -> None:
        """The secret is right, any other is not, and no two hashes of it are alike."""
        one, two = ScryptHash.make(SECRET), ScryptHash.make(SECRET)

        self.assertTrue(one.matches(SECRET))
        self.assertFalse(one.matches(SECRET + b" "))
        self.assertNotEqual(one.format(), two.format())

    def test_others_can_make_it(self) -> None:
        """It is plain scrypt; the line says with what."""
        salt = b"0123456789abcdef"
        octets = scrypt(SECRET, salt=salt, n=16384, r=8, p=1, maxmem=1 << 26, dklen=32)
        words = [urlsafe_b64encode(each).decode().rstrip("=") for each in (salt, octets)]

        hashed = ScryptHash.parse("scrypt$n=16384,r=8,p=1$" + "$".join(words))

        assert hashed is not None
        self.assertTrue(hashed.matches(SECRET))

    def test_spelling(self) -> None:
        """What is written can be read, and is the same again."""
        for text in (QUICK, f"scrypt$n=32768,r=8,p=3${_SALT}${_HASH}", f"scrypt$n=2097152,r=1,p=1${_SALT}${_HASH}"):
            hashed = ScryptHash.parse(text)
            assert hashed is not None
            self.assertEqual(text, hashed.format())
            self.assertNotIn(_HASH, repr(hashed))

    def test_other_kinds(self) -> None:
        """They are somebody else's."""
        self.assertIsNone(ScryptHash.parse("argon2id$x"))
        self.assertIsNone(ScryptHash.parse(""))

    def test_what_is_refused(self) -> None:
        """Costs out of a sane range, and every other spelling; the message holds nothing of it."""
        for parameters in (
            "n=8192,r=8,p=1",  # too cheap
            "n=524288,r=8,p=1",  # more memory than one guess may take
            "n=32769,r=8,p=1",
            "n=0,r=8,p=1",
            "n=1,r=99,p=1",
            "n=32768,r=0,p=1",
            "n=32768,r=8,p=0",
            "n=32768,r=8,p=9",
            "n=262144,r=8,p=3",
            "n=032768,r=8,p=1",
            "n=32768, r=8,p=1",
            "r=8,n=32768,p=1",
            "n=32768,r=8",
            "n=99999999999999999999,r=8,p=1",
        ):
            self.refused(f"scrypt${parameters}${_SALT}${_HASH}")
        for rest in (
            "",
            f"{_SALT}",
            f"{_SALT}$",
            f"${_HASH}",
            f"{_SALT}${_HASH}=",
            f"{_SALT}${_HASH}$",
            f"{_SALT}${_HASH} ",
            f"{_SALT}${_HASH}\n",
            f"{_SALT[:-1]}B${_HASH}",  # bits that stand for nothing
            f"{_SALT[:-2]}${_HASH}",
            f"{_SALT}${_HASH[:-2]}",
            f"{_SALT}${'A' * 100}",
        ):
            self.refused(f"scrypt$n=32768,r=8,p=1${rest}")

    def refused(self, text: str) -> None:
        """Assert that a spelling is wrong."""
        with self.assertRaises(ValueError, msg=text) as caught:
            ScryptHash.parse(text)
        self.assertNotIn("AAAA", str(caught.exception))


class SecretTests(SynchronousTestCase):
    """Which secrets may be chosen."""

    def test_good(self) -> None:
        """Twelve characters of any script."""
        for secret in ("correct horse battery", "\u00e4" * 12, "x" * 512):
            self.assertEqual(secret.encode(), check_secret(secret))

    def test_bad(self) -> None:
        """Too short, too long, or not to be sent as Basic credentials; the message holds nothing of it."""
        for secret in ("", "hunter2", "\u00e4" * 11, "x" * 513, "hunter2\nhunter2", "hunter2\0hunter2", "\ud800" * 12):
            with self.assertRaises(ValueError) as caught:
                check_secret(secret)
            self.assertNotIn("hunter", str(caught.exception))
        with self.assertRaises(ValueError):
            check_secret("egr_" + "A" * 43)
