"""Path patterns: `/repos/acme/*`, `/search/**`, `/v*/status`.

Segments are compared after percent-decoding on both sides, because most servers treat `%40` and `@` alike. Callers
exclude ambiguous paths, such as paths with an encoded slash, before matching.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from egress.match.wildcard import Wildcard

_bad_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_slash = re.compile(r"%2f|%5c|\\", re.IGNORECASE).search
_twice_encoded = re.compile(r"%25(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})").search
_slashes = re.compile("//+").sub


@frozen
class PathPattern:
    """One path pattern.

    Attributes:
        segments: the pattern of each segment; None matches any number of segments, including zero.
        text: the pattern as it was written. Patterns that differ in percent-encoding only are equal.
    """

    segments: tuple[Wildcard | None, ...]
    text: str = field(eq=False)

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Compile a pattern.

        Raises:
            ValueError: the pattern can never match a canonical path that is not ambiguous. The message does not repeat
                the pattern.
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
        if _twice_encoded(text):
            raise ValueError("a path cannot hold an escape that a second decoding changes: no rule can judge it safely")
        segments = text[1:].split("/")
        if "" in segments[:-1]:
            raise ValueError("a path has an empty segment")
        if any(_decode(segment) in (".", "..") for segment in segments):
            raise ValueError('a canonical path has no "." and ".." segments')
        if any(_is_dots(segment) for segment in segments):
            raise ValueError("a path cannot hold a segment of dots and blanks alone: no rule can judge it safely")
        if not all(map(_is_utf8, segments)):
            raise ValueError("a path cannot hold escapes that are not UTF-8: no rule can judge it safely")
        if any("**" in segment and segment != "**" for segment in segments):
            raise ValueError('"**" stands for whole segments: "/search/**"')
        return cls(tuple(None if segment == "**" else Wildcard.parse(segment, _decode) for segment in segments), text)

    def match(self, segments: list[str]) -> bool:
        """Whether the pattern matches decoded segments. The time is at most the product of their numbers."""
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
                # Extend the match of the last ** by one segment. Earlier ones need not change, as in any glob.
                resume += 1
                at, place = resume, star + 1
            else:
                return False
        return all(wildcard is None for wildcard in pattern[place:])


def _matches_segment(wanted: Wildcard, segment: str) -> bool:
    # A star alone does not match the empty segment after a final slash.
    return wanted.match(segment) and (segment != "" or wanted.last is None)


@frozen
class PathSet:
    """Several path patterns.

    Attributes:
        patterns: the patterns.
    """

    patterns: tuple[PathPattern, ...]

    def match(self, path: str) -> bool:
        """Whether one of the patterns matches a canonical path without query."""
        segments = path[1:].split("/")
        if "%" in path:
            segments = [_decode(segment) for segment in segments]
        return any(pattern.match(segments) for pattern in self.patterns)

    def may_match(self, path: str) -> bool:
        """Whether a pattern matches the path, or the path as read by a server that merges repeated slashes."""
        return self.match(path) or ("//" in path and self.match(_slashes("/", path)))


def _is_dots(segment: str) -> bool:
    decoded = _decode(segment.partition(";")[0])
    return "." in decoded and not decoded.strip(". ")


def _is_utf8(segment: str) -> bool:
    """Whether a segment is UTF-8 or, with a star, may be part of UTF-8."""
    if "*" in segment:
        return True
    try:
        unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decode(text: str) -> str:
    """Percent-decode. Each octet becomes the character of that number, independent of the charset."""
    return unquote_to_bytes(text).decode("latin-1")
