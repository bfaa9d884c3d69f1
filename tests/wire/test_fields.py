"""Tests of egress.wire.fields. `test_request_head` and `test_fast_paths` have the rest."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.model import METHOD_OVERRIDES, OVERRIDES, PATH_OVERRIDES
from egress.wire.fields import may_be_memoized, parse_fields


class OverrideTests(SynchronousTestCase):
    """The fields by which an origin may take another method or path."""

    def test_every_name(self) -> None:
        """Each name is found in any case, and with any punctuation, which CGI does not tell from hyphens."""
        for name in OVERRIDES:
            for spelling in (
                name,
                name.upper(),
                name.title(),
                name.replace("-", "_"),
                name.title().replace("-", "_", 1),
                *(name.replace("-", mark) for mark in "!#$%&'*+.^_`|~"),
                name.title().replace("-", ".", 1),
            ):
                line = spelling.encode() + b": x\r\n"
                fields = parse_fields(b"A: b\r\n" + line + b"Cookie: c\r\n", is_request=True)
                self.assertEqual(frozenset([name]), fields.overrides, spelling)
                self.assertEqual((b"A: b\r\n" + line + b"Cookie: c\r\n", ()), (fields.ordinary, fields.special))
                self.assertEqual(b"A: b\r\nCookie: c\r\n", fields.without_overrides().block)
                self.assertFalse(may_be_memoized(parse_fields(line, is_request=True)))
        self.assertEqual(frozenset(), METHOD_OVERRIDES & PATH_OVERRIDES)

    def test_other_names(self) -> None:
        """Names that contain one are other names, and values say nothing."""
        for line in (
            *(
                b"X-HTTP-Method-Overrides: x",
                b"AX-HTTP-Method: x",
                b"X-HTTP: x",
                b"X-Original-URLs: x",
                b"HTTP-Method: x",
            ),
            *(b"A: X-HTTP-Method: x", b"X-Original: x", b"X-Forwarded-For: x", b"X.HTTP..Method: x", b"X: x"),
        ):
            self.assertEqual(frozenset(), parse_fields(line + b"\r\n", is_request=True).overrides, line)

    def test_between_special_fields(self) -> None:
        """Fields that a proxy acts on are found around them, and the others keep their order."""
        fields = parse_fields(
            b"X-Rewrite-URL: 1\r\nHost: a\r\nA: 2\r\nX-HTTP-Method: 3\r\nX_Rewrite-Url:4\r\nTE: 5\r\n"
            b"X-Method-Override: 6\r\n",
            is_request=True,
        )

        self.assertEqual(["host", "te"], [lower.decode() for lower, _, _ in fields.special])
        self.assertEqual(
            b"X-Rewrite-URL: 1\r\nA: 2\r\nX-HTTP-Method: 3\r\nX_Rewrite-Url:4\r\nX-Method-Override: 6\r\n",
            fields.ordinary,
        )
        self.assertEqual({"x-rewrite-url", "x-http-method", "x-method-override"}, fields.overrides)
        self.assertEqual(b"Host: a\r\nA: 2\r\nTE: 5\r\n", fields.without_overrides().block)
