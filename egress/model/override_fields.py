"""The fields of a request by which some origins take another method or path than those of the request line."""

from __future__ import annotations

METHOD_OVERRIDES = frozenset(
    [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-forwarded-method",
        "x-original-method",
    ]
)
"""Names in lower case, with hyphens. Origins that read fields as CGI does take other punctuation for a hyphen."""

PATH_OVERRIDES = frozenset(
    [
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-envoy-original-path",
    ]
)
"""As `METHOD_OVERRIDES`, for paths."""

OVERRIDES = METHOD_OVERRIDES | PATH_OVERRIDES
"""All of them."""
