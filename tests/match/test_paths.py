"""Path patterns."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.match import PathPattern, PathSet

MATCHES = [
    ("/", "/", True),
    ("/", "/a", False),
    ("/a", "/a", True),
    ("/a", "/a/", False),
    ("/a", "/A", False),
    ("/a/", "/a/", True),
    ("/a/", "/a", False),
    ("/*", "/a", True),
    ("/*", "/", False),
    ("/*", "/a/b", False),
    ("/repos/acme/*", "/repos/acme/x", True),
    ("/repos/acme/*", "/repos/acme/", False),
    ("/repos/acme/*", "/repos/acme/x/y", False),
    ("/repos/acme/*/", "/repos/acme/x/", True),
    ("/search/**", "/search", True),
    ("/search/**", "/search/", True),
    ("/search/**", "/search/a/b", True),
    ("/search/**", "/searching", False),
    ("/**", "/", True),
    ("/**", "/a//b", True),
    ("/**/x", "/x", True),
    ("/**/x", "/a/b/x", True),
    ("/**/x", "/a/b/x/c", False),
    ("/**/a/**/b", "/a/c/a/b", True),
    ("/**/a/**/b", "/b/a", False),
    ("/v*/x", "/v2/x", True),
    ("/v*/x", "/v/x", True),
    ("/v*/x", "/v1/2/x", False),
    ("/*.tar.*", "/a.tar.gz", True),
    ("/*.tar.*", "/a.tar", False),
    ("/a@b", "/a%40b", True),
    ("/a%40b", "/a@b", True),
    ("/%2A", "/*", True),
    ("/%2A", "/x", False),
    ("/b\u00fccher", "/b%C3%BCcher", True),
    ("/100%25", "/100%25", True),
]

REFUSED = ["", "a", "*", "**", "/a?b", "/a#b", "/a%2fb", "/a%5Cb", "/a\\b", "/%zz", "/%", "/a//b", "/a/../b", "/./a",
           "/%2e%2E/a", "/a**", "/**a/b", "/***", "/a\nb", "/a\x00",
           "/a/...", "/a/..%20", "/..;x", "/%C0%AE", "/%E0%80%AE/a", "/caf%E9", "/a%2541", "/%25u0041"]  # fmt: skip


class PathTests(SynchronousTestCase):
    """What rules may say of paths."""

    def test_matches(self) -> None:
        """A star is one segment or a part of one, two are any number of segments."""
        for pattern, path, expected in MATCHES:
            compiled = PathSet((PathPattern.parse(pattern),))
            self.assertEqual(compiled.match(path), expected, (pattern, path))

    def test_refused(self) -> None:
        """A pattern that no canonical path can match is refused."""
        for text in REFUSED:
            self.assertRaises(ValueError, PathPattern.parse, text)

    def test_repeated_slashes(self) -> None:
        """A path with repeated slashes may match as a server reads it that merges them."""
        compiled = PathSet((PathPattern.parse("/admin/*"),))
        self.assertFalse(compiled.match("//admin///x"))
        self.assertTrue(compiled.may_match("//admin///x"))
        self.assertTrue(compiled.may_match("/admin/x"))
        self.assertFalse(compiled.may_match("//other//x"))

    def test_hostile_length(self) -> None:
        """Many stars and a long path take no time worth measuring."""
        compiled = PathSet((PathPattern.parse("/**/a" * 20 + "/*" + "*".join("a" * 30) + "*b"),))
        self.assertFalse(compiled.match("/a" * 4000))

    @given(st.lists(st.sampled_from(["**", "*", "a", "b"]), max_size=5), st.text("ab/", max_size=8))
    def test_agrees_with_a_regular_expression(self, segments: list[str], rest: str) -> None:
        """Patterns mean what the plain regular expression for them means."""
        pattern = "/" + "/".join(segments or ["a"])
        parts = {"**": "(?:/[^/]*)*", "*": "/[^/]+"}
        expression = "".join(parts.get(segment, f"/{segment}") for segment in segments or ["a"])

        found = PathSet((PathPattern.parse(pattern),)).match("/" + rest)

        self.assertEqual(found, re.fullmatch(expression, "/" + rest) is not None)
