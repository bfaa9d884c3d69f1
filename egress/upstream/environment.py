"""The proxies from the environment variables of the supervisor.

A value that cannot be used fails the startup: treating it as "no proxy" would send requests directly.
The environments of sandboxes are not read.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def read_environment(environ: Mapping[str, str]) -> EnvironmentProxies:
    """Read PROXY_URL, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

    All but PROXY_URL may also be written in lower case, which then takes precedence, as in curl. An empty value counts
    as unset. PROXY_URL is for every request. Without it, a CONNECT uses HTTPS_PROXY, else ALL_PROXY; plain HTTP uses
    HTTP_PROXY, else ALL_PROXY, else HTTPS_PROXY, because a machine behind a proxy seldom has a direct route.

    Every value that is set is checked, even where another takes precedence.

    Raises:
        ConfigError: a value cannot be used. `where` is the variable in its actual spelling.
    """
    reading = _Reading(environ)
    address = {variable: reading.proxy(variable) for variable in PROXY_VARIABLES}
    tunnel = _first(address, (PROXY_URL, HTTPS_PROXY, ALL_PROXY))
    plain = _first(address, (PROXY_URL, HTTP_PROXY, ALL_PROXY, HTTPS_PROXY))
    no_proxy = reading.no_proxy()
    if no_proxy is not None and tunnel is None and plain is None:
        reading.warn("NO_PROXY is set and no proxy is: it only matters to an upstream that inherits it.")
    elif no_proxy is not None and no_proxy.is_all:
        reading.warn("NO_PROXY is * and so everything goes direct, past the proxy that the environment names.")
    if tunnel is None and plain is not None:
        reading.warn("HTTP_PROXY is set and HTTPS_PROXY is not: tunnels, and so https, go direct.")
    return EnvironmentProxies(tunnel, plain, no_proxy or NoProxy.loopback(), tuple(reading.warnings))


def _first(address: Mapping[str, ProxyAddress | None], order: tuple[str, ...]) -> EnvironmentProxy | None:
    for variable in order:
        found = address[variable]
        if found is not None:
            return EnvironmentProxy(variable, found)
    return None


@define(eq=False)
class _Reading:
    environ: Mapping[str, str] = field(repr=False)
    warnings: list[str] = field(factory=list)

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)

    def proxy(self, variable: str) -> ProxyAddress | None:
        """Parse every spelling of a variable; return the value of the spelling that takes precedence."""
        found = [parse_proxy_url(value, name) for name, value in self._written(variable)]
        return found[0] if found else None

    def no_proxy(self) -> NoProxy | None:
        """Parse every spelling of NO_PROXY; return the list that takes precedence, without entries of bare numbers."""
        found = [
            (name, NoProxy.parse(value, name, has_loopback=True, leave_out_numbers=True))
            for name, value in self._written(NO_PROXY)
        ]
        if not found:
            return None
        name, counting = found[0]
        if counting.left_out:
            self.warn(f"{name}: what these entries mean goes through the proxy: {'; '.join(counting.left_out)}.")
        return counting

    def _written(self, variable: str) -> list[tuple[str, str]]:
        """Find the spellings of a variable that are set, by precedence."""
        names = (variable,) if variable == PROXY_URL else (variable.lower(), variable)
        written = [(name, value) for name in names if (value := self._value(name))]
        if len({value for _, value in written}) > 1:
            self.warn(f"{variable.lower()} and {variable} differ; {variable.lower()} counts.")
        return written

    def _value(self, name: str) -> str:
        value = self.environ.get(name, "")
        if value and name == HTTP_PROXY and "REQUEST_METHOD" in self.environ:
            # A CGI server sets HTTP_PROXY to a client's header field `Proxy` (CVE-2016-5385).
            self.warn("HTTP_PROXY is ignored because REQUEST_METHOD is set; write it in lower case.")
            return ""
        if any("\udc80" <= letter <= "\udcff" for letter in value):
            raise ConfigError(name, "is not text in this system's encoding")
        return value


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
