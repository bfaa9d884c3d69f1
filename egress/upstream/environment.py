"""The proxies from the environment variables of the supervisor.

A value that is used and names no proxy fails the startup: treating it as "no proxy" would send requests directly. An
entry of NO_PROXY that cannot be understood is left out, which only sends more through the proxy. The environments of
sandboxes are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import define, field, frozen

from egress.errors import ConfigError
from egress.model import Hop
from egress.upstream.no_proxy import NoProxy
from egress.upstream.proxy_url import ProxyAddress, parse_proxy_url

PROXY_URL = "PROXY_URL"
HTTPS_PROXY = "HTTPS_PROXY"
HTTP_PROXY = "HTTP_PROXY"
ALL_PROXY = "ALL_PROXY"
NO_PROXY = "NO_PROXY"

PROXY_VARIABLES = (PROXY_URL, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY)

# Of `proxy.example:8080`, as in other programs.
_DEFAULT_SCHEME = "http"
_BLANKS = " \t\r\n"
_ENTRIES = "Entries are names, *.SUFFIX, addresses, and networks such as 10.96.0.0/12, with commas between them."

_Written: TypeAlias = list[tuple[str, str]]
"""The spellings of a variable that are set, and their values."""


@frozen
class EnvironmentProxy:
    """A proxy from an environment variable.

    Attributes:
        variable: the name of the variable in upper case, which is the upstream's name in the audit log. No
            `[[upstream]]` may have this name.
        address: the proxy.
    """

    variable: str
    address: ProxyAddress

    def hop(self) -> Hop:
        """Make the hop of this proxy."""
        return self.address.hop(self.variable)


@frozen(eq=False)
class EnvironmentProxies:
    """The proxies and the NO_PROXY list of the environment.

    Attributes:
        tunnel: the proxy for CONNECT; None for no proxy.
        plain: the proxy for plain HTTP; None for no proxy.
        no_proxy: destinations that bypass both proxies.
        warnings: warnings for the operator, one sentence each, without secrets.
    """

    tunnel: EnvironmentProxy | None = None
    plain: EnvironmentProxy | None = None
    no_proxy: NoProxy = field(factory=NoProxy.loopback)
    warnings: tuple[str, ...] = ()

    @property
    def proxies(self) -> tuple[EnvironmentProxy, ...]:
        """The proxies in use, each once."""
        named = {proxy.variable: proxy for proxy in (self.tunnel, self.plain) if proxy is not None}
        return tuple(named.values())


def read_environment(
    environ: Mapping[str, str], *, is_used: bool = True, is_no_proxy_inherited: bool = False
) -> EnvironmentProxies:
    """Read PROXY_URL, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

    All but PROXY_URL may also be written in lower case, which then takes precedence, as in curl. Blanks and newlines at
    the ends are removed. An empty value counts as unset. PROXY_URL is for every request. Without it, a CONNECT uses
    HTTPS_PROXY, else ALL_PROXY; plain HTTP uses HTTP_PROXY, else ALL_PROXY, else HTTPS_PROXY, because a machine behind
    a proxy seldom has a direct route.

    Args:
        environ: the environment.
        is_used: some route may lead through the environment's proxies.
        is_no_proxy_inherited: NO_PROXY applies to an upstream of the configuration too.

    Raises:
        ConfigError: a value that is used names no proxy. `where` is the variable in its actual spelling. A value that
            is not used causes a warning instead.
    """
    reading = _Reading(environ)
    written = {variable: reading.written(variable) for variable in PROXY_VARIABLES}
    first_tunnel = _first(written, (PROXY_URL, HTTPS_PROXY, ALL_PROXY))
    first_plain = _first(written, (PROXY_URL, HTTP_PROXY, ALL_PROXY, HTTPS_PROXY))
    proxies = {
        variable: reading.proxy(variable, values, is_used and variable in (first_tunnel, first_plain))
        for variable, values in written.items()
    }
    tunnel, plain = proxies.get(first_tunnel), proxies.get(first_plain)
    has_proxies = is_used and (tunnel is not None or plain is not None)
    no_proxy = reading.no_proxy(has_proxies, is_no_proxy_inherited)
    if is_used and tunnel is None and plain is not None:
        reading.warn("HTTP_PROXY is set and HTTPS_PROXY is not: tunnels, and so https, go direct.")
    return EnvironmentProxies(tunnel, plain, no_proxy, tuple(reading.warnings))


def _first(written: Mapping[str, _Written], order: tuple[str, ...]) -> str:
    """Find the first variable that is set; "" for none."""
    return next((variable for variable in order if written[variable]), "")


@define(eq=False)
class _Reading:
    environ: Mapping[str, str] = field(repr=False)
    warnings: list[str] = field(factory=list)

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)

    def proxy(self, variable: str, written: _Written, is_used: bool) -> EnvironmentProxy | None:
        """Parse every spelling of a variable; return the proxy of the spelling that takes precedence."""
        found = None
        for index, (name, value) in enumerate(written):
            try:
                address = _parse(name, value)
            except ConfigError as error:
                if is_used and index == 0:
                    raise
                self.warn(f"{name} is not used. Its value is invalid: {error.problem}.")
            else:
                found = EnvironmentProxy(variable, address) if index == 0 else found
        return found

    def no_proxy(self, has_proxies: bool, is_inherited: bool) -> NoProxy:
        """Parse the spelling of NO_PROXY that takes precedence, without the entries that cannot be understood."""
        written = self.written(NO_PROXY)
        if not written:
            return NoProxy.loopback()
        name, value = written[0]
        no_proxy = NoProxy.parse(value, name, has_loopback=True, is_lenient=True)
        if not has_proxies and not is_inherited:
            self.warn("NO_PROXY is set and applies to no proxy, so it has no effect.")
        elif no_proxy.left_out:
            entries = "; ".join(no_proxy.left_out)
            self.warn(f"{name}: what these entries mean goes through the proxy: {entries}. {_ENTRIES}")
        if no_proxy.is_all and has_proxies:
            self.warn("NO_PROXY is * and so everything goes direct, past the proxy that the environment names.")
        return no_proxy

    def written(self, variable: str) -> _Written:
        """Find the spellings of a variable that are set, by precedence."""
        names = (variable,) if variable == PROXY_URL else (variable.lower(), variable)
        written = [(name, value) for name in names if (value := self._value(name))]
        if len({value for _, value in written}) > 1:
            self.warn(f"{variable.lower()} and {variable} differ; {variable.lower()} counts.")
        return written

    def _value(self, name: str) -> str:
        value = self.environ.get(name, "").strip(_BLANKS)
        if value and name == HTTP_PROXY and "REQUEST_METHOD" in self.environ:
            # A CGI server sets HTTP_PROXY to a client's header field `Proxy` (CVE-2016-5385).
            self.warn("HTTP_PROXY is ignored because REQUEST_METHOD is set; write it in lower case.")
            return ""
        return value


def _parse(name: str, value: str) -> ProxyAddress:
    if any("\udc80" <= letter <= "\udcff" for letter in value):
        raise ConfigError(name, "is not text in this system's encoding")
    return parse_proxy_url(value, name, _DEFAULT_SCHEME)


__all__ = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PROXY_URL",
    "PROXY_VARIABLES",
    "EnvironmentProxies",
    "EnvironmentProxy",
    "ProxyAddress",
    "parse_proxy_url",
    "read_environment",
]
