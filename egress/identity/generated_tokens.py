"""Tokens that were made here: 256 random bits, so that one SHA-256 is enough to keep them by."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

PREFIX = "egr_"
"""What a made token begins with, so that people and scanners for leaked secrets know it."""

_RANDOM_OCTETS = 32
_KIND = "sha256$"

_is_token = re.compile(rb"egr_[A-Za-z0-9_-]{43}").fullmatch
_is_digest = re.compile(r"[0-9a-f]{64}").fullmatch


def make_token() -> str:
    """Make a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_OCTETS)


def is_generated(secret: bytes) -> bool:
    """Tell whether a secret claims to be a made token. It is then compared with made ones only."""
    return secret.startswith(PREFIX.encode())


def digest_of(token: bytes) -> bytes | None:
    """Give what a made token is known by; None if it has not the form of one.

    The form is asked for because a fast hash protects nothing that a person has thought of.
    """
    return sha256(token).digest() if _is_token(token) else None


def spell_digest(digest: bytes) -> str:
    """Spell a digest as the tokens file has it."""
    return _KIND + digest.hex()


def parse_digest(text: str) -> bytes | None:
    """Read what `spell_digest` wrote.

    Returns:
        None if it is of another kind.

    Raises:
        ValueError: it is of this kind and wrong. The message holds nothing of it.
    """
    if not text.startswith(_KIND):
        return None
    digits = text.removeprefix(_KIND)
    if not _is_digest(digits):
        raise ValueError("a sha256 hash has 64 hexadecimal digits in lower case")
    return bytes.fromhex(digits)
