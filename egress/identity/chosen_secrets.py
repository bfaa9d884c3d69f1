"""Secrets that people choose, stored as a hash that is slow and memory-hard to compute (scrypt, RFC 7914)."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import scrypt
from hmac import compare_digest
from typing import TypeAlias

from attrs import field, frozen

from egress.identity.generated_tokens import is_generated

MIN_CHARACTERS = 12
LIMIT_BYTES = 512

# As costly as one pass over 128 MiB, but two concurrent checks need only 64 MiB, which a small machine has.
_N, _R, _P = 32_768, 8, 3
_SALT_OCTETS = 16
_HASH_OCTETS = 32

_MEBIBYTE = 1 << 20
# Lower costs are too fast to compute. Higher costs would let a guessing peer exhaust the machine's memory or time.
_MEMORY_OCTETS = 16 * _MEBIBYTE, 256 * _MEBIBYTE
_MOST_PASSES = 8
_PASS_OCTETS_LIMIT = 512 * _MEBIBYTE

_fields = re.compile(
    r"scrypt\$n=([1-9][0-9]{0,8}),r=([1-9][0-9]{0,3}),p=([1-9][0-9]{0,3})\$([A-Za-z0-9_-]+)\$([A-Za-z0-9_-]+)"
).fullmatch


Cost: TypeAlias = tuple[int, int, int]
"""The parameters N, r and p of scrypt, which determine the time of a comparison."""


@frozen(eq=False)
class ScryptHash:
    """The scrypt hash of a chosen secret.

    Attributes:
        n: the cost parameter N of RFC 7914, a power of two.
        r: the block size.
        p: the number of passes.
        salt: random octets.
        octets: the hash.
    """

    n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    octets: bytes = field(repr=False)

    @property
    def cost(self) -> Cost:
        """The parameters that determine the time of a comparison."""
        return self.n, self.r, self.p

    @classmethod
    def make(cls, secret: bytes) -> ScryptHash:
        """Hash a secret. The call takes some tenths of a second."""
        salt = secrets.token_bytes(_SALT_OCTETS)
        return cls(_N, _R, _P, salt, _derive(secret, salt, _N, _R, _P, _HASH_OCTETS))

    @classmethod
    def parse(cls, text: str) -> ScryptHash | None:
        """Parse a hash as formatted by `format`.

        Returns:
            The hash; None for a hash of another kind.

        Raises:
            ValueError: the hash is malformed. The message shows no part of the text.
        """
        if not text.startswith("scrypt$"):
            return None
        found = _fields(text)
        if found is None:
            raise ValueError("a scrypt hash is spelled scrypt$n=N,r=R,p=P$SALT$HASH")
        n, r, p = map(int, found.groups()[:3])
        if n & (n - 1) or n < 2:
            raise ValueError("the n of a scrypt hash is a power of two")
        low, high = _MEMORY_OCTETS
        if not low <= 128 * n * r <= high or p > _MOST_PASSES or 128 * n * r * p > _PASS_OCTETS_LIMIT:
            raise ValueError(
                f"128 * n * r of a scrypt hash must be between {low // _MEBIBYTE} and {high // _MEBIBYTE} MiB, "
                f"p at most {_MOST_PASSES}, and both multiplied at most {_PASS_OCTETS_LIMIT // _MEBIBYTE} MiB"
            )
        salt, octets = _decode(found[4]), _decode(found[5])
        if not _SALT_OCTETS <= len(salt) <= 64 or not _HASH_OCTETS <= len(octets) <= 64:
            raise ValueError("the salt of a scrypt hash has 16 to 64 octets, and the hash 32 to 64")
        return cls(n, r, p, salt, octets)

    def format(self) -> str:
        """Format the hash for the tokens file."""
        return f"scrypt$n={self.n},r={self.r},p={self.p}${_encode(self.salt)}${_encode(self.octets)}"

    def matches(self, secret: bytes) -> bool:
        """Whether this is the hash of a secret. Takes tenths of a second, and memory in proportion to `n`."""
        return compare_digest(_derive(secret, self.salt, self.n, self.r, self.p, len(self.octets)), self.octets)


def check_secret(secret: str) -> bytes:
    """Check whether a secret is acceptable.

    Returns:
        The octets that clients send.

    Raises:
        ValueError: the secret is not acceptable. The message shows no part of the secret.
    """
    try:
        octets = secret.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None
    if not secret.isprintable():
        # Basic credentials cannot contain control characters (RFC 7617 section 2).
        raise ValueError("it holds a control character or a line end")
    if is_generated(octets):
        raise ValueError("it begins like a token of `egress token new`, which are checked in another way")
    if len(secret) < MIN_CHARACTERS:
        raise ValueError(f"it is shorter than {MIN_CHARACTERS} characters")
    if len(octets) > LIMIT_BYTES:
        raise ValueError(f"it is longer than {LIMIT_BYTES} bytes")
    return octets


def _derive(secret: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    # The memory that OpenSSL allocates: the blocks and two vectors, in octets.
    memory = 128 * r * (n + p + 2) + _MEBIBYTE
    return scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=length)


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        octets = b""
    # One spelling for each value: unused bits must be zero (RFC 4648 section 3.5).
    if _encode(octets) != text:
        raise ValueError("the salt or the hash of a scrypt hash is not base64url without padding")
    return octets
