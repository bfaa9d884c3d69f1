"""Generated tokens: 256 random bits, for which one SHA-256 is a sufficient hash."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

PREFIX = "egr_"
"""The prefix of generated tokens, by which people and scanners for leaked secrets recognize them."""

_RANDOM_OCTETS = 32
_KIND = "sha256$"

_is_token = re.compile(rb"egr_[A-Za-z0-9_-]{43}").fullmatch
_is_digest = re.compile(r"[0-9a-f]{64}").fullmatch


def make_token() -> str:
    """Generate a token that cannot be guessed."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_OCTETS)


def is_generated(secret: bytes) -> bool:
    """Whether a secret has the prefix of generated tokens. Such a secret is compared with generated tokens only."""
    return secret.startswith(PREFIX.encode())


def digest_of(token: bytes) -> bytes | None:
    """Return the digest of a generated token; None if the secret does not have the form of a generated token.

    The form is required because a fast hash does not protect a secret that a person chose.
    """
    return sha256(token).digest() if _is_token(token) else None


def format_digest(digest: bytes) -> str:
    """Format a digest for the tokens file."""
    return _KIND + digest.hex()


def parse_digest(text: str) -> bytes | None:
    """Parse a digest as formatted by `format_digest`.

    Returns:
        The digest; None for a hash of another kind.

    Raises:
        ValueError: the digest is malformed. The message shows no part of the text.
    """
    if not text.startswith(_KIND):
        return None
    digits = text.removeprefix(_KIND)
    if not _is_digest(digits):
        raise ValueError("a sha256 hash has 64 hexadecimal digits in lower case")
    return bytes.fromhex(digits)
