"""The tokens file: the names of clients and the hashes of their credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import define, field
from twisted.logger import Logger

from egress.config.files import Unusable, read_content
from egress.config.watched_file import Seconds, WatchedFile
from egress.errors import ConfigError
from egress.identity.chosen_secrets import Cost, ScryptHash
from egress.identity.generated_tokens import parse_digest

FILE_LIMIT_BYTES = 1_048_576
CHOSEN_PER_NAME = 4
"""The largest number of hashes of chosen secrets of one name. A wrong secret is compared with each of them."""

_PROVEN_LIMIT = 1024

_log = Logger()

# None of the characters is special in a URL, in the patterns of a rule or in a shell.
is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
NAME_WORDS = "1 to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or digit"


@define(eq=False)
class Tokens:
    """The content of a tokens file.

    The comparison of a chosen secret takes equal time for every name, whether the file has the name or not. The time
    therefore reveals neither which names exist nor how many hashes they have.

    Attributes:
        generated: the names of generated tokens, by digest.
        chosen: the hashes of chosen secrets, by name.
        proven: keyed digests of names and chosen secrets that were right, the oldest first. At most 1,024 digests; a
            further digest replaces the oldest only, because hashing a secret again takes some tenths of a second.
    """

    generated: Mapping[bytes, str] = field(factory=dict, repr=False)
    chosen: Mapping[str, tuple[ScryptHash, ...]] = field(factory=dict, repr=False)
    proven: dict[bytes, None] = field(factory=dict, init=False, repr=False)
    _padding: tuple[ScryptHash, ...] = field(init=False, repr=False)

    @_padding.default
    def _make_padding(self) -> tuple[ScryptHash, ...]:
        """Make as many hashes of each cost as the name with the most hashes of that cost has."""
        most: dict[Cost, tuple[ScryptHash, ...]] = {}
        for hashes in self.chosen.values():
            for cost, alike in _by_cost(hashes).items():
                if len(alike) > len(most.get(cost, ())):
                    most[cost] = alike
        return tuple(each for cost in sorted(most) for each in most[cost])

    @property
    def count(self) -> int:
        """The number of credentials in the file."""
        return len(self.generated) + sum(map(len, self.chosen.values()))

    def count_of(self, name: str) -> int:
        """Return the number of credentials of one name."""
        return sum(each == name for each in self.generated.values()) + len(self.chosen.get(name, ()))

    def is_right(self, name: str, secret: bytes) -> bool:
        """Compare a chosen secret with the hashes of a name. The call takes some tenths of a second for each hash.

        Every comparison with one file computes an equal number of hashes of each cost: the hashes of the name, and
        padding hashes whose results are ignored.
        """
        own = _by_cost(self.chosen.get(name, ()))
        is_right = False
        for each in self._padding:
            alike = own.get(each.cost, ())
            compared, own[each.cost] = (alike[0], alike[1:]) if alike else (each, ())
            # Not `or`, because a match must not end the comparison.
            is_right |= compared.matches(secret) & bool(alike)
        return is_right

    def prove(self, digest: bytes) -> None:
        """Add the keyed digest of a name and a chosen secret that were right."""
        if len(self.proven) >= _PROVEN_LIMIT:
            del self.proven[next(iter(self.proven))]
        self.proven[digest] = None


def _by_cost(hashes: tuple[ScryptHash, ...]) -> dict[Cost, tuple[ScryptHash, ...]]:
    found: dict[Cost, tuple[ScryptHash, ...]] = {}
    for each in hashes:
        found[each.cost] = (*found.get(each.cost, ()), each)
    return found


def parse_tokens(content: bytes, file: str) -> Tokens:
    """Parse a tokens file: lines of `name:hash`, empty lines, and comments that begin with `#`.

    Args:
        content: the content of the file.
        file: the file's name, for errors.

    Raises:
        ConfigError: a line is malformed. The error has the line's number and no part of the line's content.
    """
    generated: dict[bytes, str] = {}
    chosen: dict[str, tuple[ScryptHash, ...]] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            _add(line.removesuffix(b"\r"), generated, chosen)
        except ValueError as error:
            raise ConfigError(f"line {number}", str(error), file) from None
    return Tokens(generated, chosen)


def _add(line: bytes, generated: dict[bytes, str], chosen: dict[str, tuple[ScryptHash, ...]]) -> None:
    if not line.strip(b" \t") or line.startswith(b"#"):
        return
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("is not ASCII") from None
    name, colon, spelled = text.partition(":")
    if not colon:
        raise ValueError("is not `name:hash`; a remark begins with # at the start of its line")
    if not is_name(name):
        raise ValueError(f"has no name that can be used: {NAME_WORDS}")
    digest = parse_digest(spelled)
    if digest is not None:
        if digest in generated:
            raise ValueError("has a token that another line has already")
        generated[digest] = name
        return
    hashed = ScryptHash.parse(spelled)
    if hashed is None:
        raise ValueError("has no hash; `egress token new` and `egress token hash` make such lines")
    chosen[name] = (*chosen.get(name, ()), hashed)
    if len(chosen[name]) > CHOSEN_PER_NAME:
        raise ValueError(f"is one more than the {CHOSEN_PER_NAME} chosen secrets that a name may have")


def read_tokens(path: str) -> Tokens:
    """Read a tokens file.

    Raises:
        Unusable: the file cannot be read, or its mode lets every user change it or read hashes of chosen secrets.
        ConfigError: a line is malformed.
    """
    content = read_content(path, FILE_LIMIT_BYTES)
    if content.is_writable_by_all:
        raise Unusable("can be written by every user of this system, who could let themselves in (chmod o-w)")
    tokens = parse_tokens(content.octets, path)
    if content.is_readable_by_all and tokens.chosen:
        # 256 random bits cannot be guessed from their hash; a secret that a person chose can.
        raise Unusable("is open to every user of this system, and holds hashes of chosen secrets (chmod o-rwx)")
    return tokens


def open_tokens(path: str, clock: Seconds, where: str) -> WatchedFile[Tokens]:
    """Read a tokens file, and read it again after each change.

    Args:
        path: the file's name.
        clock: gives the time in seconds.
        where: the key path of the setting that names the file.

    Raises:
        ConfigError: the file cannot be used. The error has no part of the file's content.
    """

    def complain(problem: str) -> None:
        _log.error(
            "{path} cannot be used: {problem}; the tokens read from it before stay in use", path=path, problem=problem
        )

    try:
        return WatchedFile(path, clock, read_tokens, complain)
    except Unusable as problem:
        # The message omits the path, because an operator may have written a token in place of the path.
        raise ConfigError(where, f"its file {problem}") from None
