"""The environment of a contained command: variables of an allow-list, and those that lead to the proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from egress.contain.network import PROXY_PORT

_NAMES = (
    "COLORTERM COLUMNS EDITOR FORCE_COLOR HOME LANG LANGUAGE LINES LOGNAME LS_COLORS NO_COLOR PAGER PATH PWD SHELL "
    "SHLVL TERM TERM_PROGRAM TERM_PROGRAM_VERSION TZ USER VISUAL"
)
ALLOWED = frozenset(_NAMES.split())
"""Variables that pass unchanged. All others are removed, because many hold secrets or addresses."""

_ALLOWED_BEGINNINGS = ("LC_",)
_OWN_BEGINNINGS = ("EGRESS_",)
_OWN = frozenset({"SYSTEM_PROXIES", "SYSTEM_PROXIES_FILE", "PROXY_URL"})

PROXY_URL = f"http://127.0.0.1:{PROXY_PORT}"
NO_PROXY = "localhost,127.0.0.1,::1"
"""Inside its network namespace the command's loopback is its own, and a server of its own is reached directly."""

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""The bundle of CA certificates inside."""

_CA_VARIABLES = (
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)


def make_environment(outside: Mapping[str, str], passed: Sequence[str] = (), *, has_bundle: bool) -> dict[str, str]:
    """Make the environment of a command.

    Args:
        outside: the environment of the caller.
        passed: names of further variables that pass.
        has_bundle: whether the CA bundle exists.

    Raises:
        ValueError: a passed variable is one of egress's own, or leads past the proxy.
    """
    made = {
        name: value
        for name, value in outside.items()
        if name in ALLOWED or name.startswith(_ALLOWED_BEGINNINGS) or name in passed
    }
    made.update(_proxy_variables())
    if has_bundle:
        made.update(dict.fromkeys(_CA_VARIABLES, CA_BUNDLE))
    for name in passed:
        if name in _OWN or name.startswith(_OWN_BEGINNINGS) or name in _proxy_variables():
            raise ValueError(f"the variable {name} cannot be passed: it is set by egress, or holds its secrets")
    return made


def _proxy_variables() -> dict[str, str]:
    """Return the variables by which programs find the proxy."""
    host, port = "127.0.0.1", str(PROXY_PORT)
    made = {}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        made[name] = made[name.lower()] = PROXY_URL
    made["NO_PROXY"] = made["no_proxy"] = NO_PROXY
    made["NODE_USE_ENV_PROXY"] = "1"
    made["JAVA_TOOL_OPTIONS"] = (
        f"-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} "
        "-Dhttp.nonProxyHosts=localhost|127.*|[::1]"
    )
    return made
