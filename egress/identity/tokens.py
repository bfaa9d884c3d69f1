"""The tokens file: who may call, and what they are known by."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import define, field
from twisted.logger import Logger

from egress.config.files import Unusable, read_content
from egress.config.watched_file import Seconds, WatchedFile
from egress.errors import ConfigError
from egress.identity.chosen_secrets import ScryptHash
from egress.identity.generated_tokens import parse_digest

FILE_LIMIT_BYTES = 1_048_576
CHOSEN_PER_NAME = 4
"""A wrong secret is tried against each of them."""

_PROVEN_LIMIT = 1024

_log = Logger()

# No character of it means anything in a URL, in a rule's patterns or to a shell.
is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
NAME_WORDS = "1 to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or digit"


@define(eq=False)
class Tokens:
    """One state of a tokens file.

    Attributes:
        made: the names of made tokens, by digest.
        chosen: the hashes of chosen secrets, by name.
        proven: digests of name and chosen secret that were found right, the oldest first. They go with this state.
    """

    made: Mapping[bytes, str] = field(factory=dict, repr=False)
    chosen: Mapping[str, tuple[ScryptHash, ...]] = field(factory=dict, repr=False)
    proven: dict[bytes, None] = field(factory=dict, init=False, repr=False)

    @property
    def count(self) -> int:
        """How many lines made it."""
        return len(self.made) + sum(map(len, self.chosen.values()))

    def count_of(self, name: str) -> int:
        """How many lines of it are of one name."""
        return sum(each == name for each in self.made.values()) + len(self.chosen.get(name, ()))

    def hashes_of(self, name: str) -> tuple[ScryptHash, ...]:
        """Give the hashes that a chosen secret is tried against; none if there is no chosen secret at all.

        Those of a name that has none are somebody else's, so that the time does not tell which names there are. What
        is right by them must not count.
        """
        return self.chosen.get(name) or next(iter(self.chosen.values()), ())

    def prove(self, digest: bytes) -> None:
        """Remember that a name and a chosen secret were right."""
        if len(self.proven) >= _PROVEN_LIMIT:
            del self.proven[next(iter(self.proven))]
        self.proven[digest] = None


def parse_tokens(content: bytes, file: str) -> Tokens:
    """Read a tokens file: lines of `name:hash`, empty lines, and lines that begin with `#`.

    Args:
        content: all of it.
        file: its name, for errors.

    Raises:
        ConfigError: names the line, and holds nothing of it.
    """
    made: dict[bytes, str] = {}
    chosen: dict[str, tuple[ScryptHash, ...]] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            _add(line.removesuffix(b"\r"), made, chosen)
        except ValueError as error:
            raise ConfigError(f"line {number}", str(error), file) from None
    return Tokens(made, chosen)


def _add(line: bytes, made: dict[bytes, str], chosen: dict[str, tuple[ScryptHash, ...]]) -> None:
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
        if digest in made:
            raise ValueError("has a token that another line has already")
        made[digest] = name
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
        Unusable: it cannot be read, or is open to people who must not see or change it.
        ConfigError: a line is wrong.
    """
    content = read_content(path, FILE_LIMIT_BYTES)
    if content.is_writable_by_all:
        raise Unusable("can be written by every user of this system, who could let themselves in (chmod o-w)")
    tokens = parse_tokens(content.octets, path)
    if content.is_readable_by_all and tokens.chosen:
        # 256 random bits cannot be guessed from their hash, but what somebody has thought of can.
        raise Unusable("is open to every user of this system, and holds hashes of chosen secrets (chmod o-rwx)")
    return tokens


def open_tokens(path: str, clock: Seconds, where: str) -> WatchedFile[Tokens]:
    """Read a tokens file, and read it again whenever it was changed.

    Args:
        path: its name.
        clock: tells when to look again.
        where: the key path of the setting that names it.

    Raises:
        ConfigError: the file cannot be used. Nothing of its content is told.
    """

    def complain(problem: str) -> None:
        _log.error(
            "{path} cannot be used: {problem}; the tokens read from it before stay in use", path=path, problem=problem
        )

    try:
        return WatchedFile(path, clock, read_tokens, complain)
    except Unusable as problem:
        # Without the path: who mistook the key for the place of a token has written that there.
        raise ConfigError(where, f"its file {problem}") from None
