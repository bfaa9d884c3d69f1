"""Path patterns: `/repos/acme/*`, `/search/**`, `/v*/status`.

Segments are compared with their percent-encoding undone on both sides, so that `%40` and `@` are one character: the
server that gets the path will most likely see them as one. An encoded slash has to be ruled out before.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import frozen

from egress.match.wildcard import Wildcard

_bad_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_slash = re.compile(r"%2f|%5c|\\", re.IGNORECASE).search
_slashes = re.compile("//+").sub


@frozen
class PathPattern:
    """One path pattern.

    Attributes:
        segments: each matches one segment; None stands for any number of segments, none included.
    """

    segments: tuple[Wildcard | None, ...]

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Compile a pattern.

        Raises:
            ValueError: it could never match a canonical path. The message does not repeat it.
        """
        if not text.startswith("/"):
            raise ValueError('a path begins with "/"')
        if "?" in text or "#" in text:
            raise ValueError("a path is matched without its query and fragment; leave out what follows ? or #")
        if not text.isprintable():
            raise ValueError("a path has no control characters")
        if _bad_percent(text):
            raise ValueError('in a path, "%" is followed by two hexadecimal digits; the sign itself is written %25')
        if _slash(text):
            raise ValueError("a path cannot hold a backslash or an encoded slash: no rule can judge it safely")
        segments = text[1:].split("/")
        if "" in segments[:-1]:
            raise ValueError("a path has an empty segment")
        if any(_decode(segment) in (".", "..") for segment in segments):
            raise ValueError('a canonical path has no "." and ".." segments')
        if any("**" in segment and segment != "**" for segment in segments):
            raise ValueError('"**" stands for whole segments: "/search/**"')
        return cls(tuple(None if segment == "**" else Wildcard.parse(segment, _decode) for segment in segments))

    def match(self, segments: list[str]) -> bool:
        """Whether it matches a path's decoded segments. The time is at most their number times the pattern's."""
        pattern = self.segments
        at = place = 0
        star, resume = -1, 0
        while at < len(segments):
            if place < len(pattern) and (wanted := pattern[place]) is None:
                star, resume = place, at
                place += 1
            elif place < len(pattern) and wanted is not None and _matches_segment(wanted, segments[at]):
                at += 1
                place += 1
            elif star >= 0:
                # Let the last ** take one segment more; an earlier one need not change, as in any glob.
                resume += 1
                at, place = resume, star + 1
            else:
                return False
        return all(wildcard is None for wildcard in pattern[place:])


def _matches_segment(wanted: Wildcard, segment: str) -> bool:
    # A star on its own is one segment, not the nothing behind a last slash.
    return wanted.match(segment) and (segment != "" or wanted.last is None)


@frozen
class PathSet:
    """Several path patterns.

    Attributes:
        patterns: the patterns.
    """

    patterns: tuple[PathPattern, ...]

    def match(self, path: str) -> bool:
        """Whether one of the patterns matches a canonical path, which begins with a slash and has no query."""
        segments = path[1:].split("/")
        if "%" in path:
            segments = [_decode(segment) for segment in segments]
        return any(pattern.match(segments) for pattern in self.patterns)

    def may_match(self, path: str) -> bool:
        """Whether one of them matches the path as it is, or as a server reads it that takes many slashes for one."""
        return self.match(path) or ("//" in path and self.match(_slashes("/", path)))


def _decode(text: str) -> str:
    """Undo percent-encoding. Octets become characters of the same number: nothing is lost, whatever the charset."""
    return unquote_to_bytes(text).decode("latin-1")
