"""Every exception of this project, and the catalogues of codes and causes. Messages are made from attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from egress.errors.codes import CAUSES, CODES, Code

if TYPE_CHECKING:
    from egress.model.requests import Authority, Verdict

__all__ = [
    "CAUSES",
    "CODES",
    "AuditLogCorrupt",
    "Code",
    "ConfigError",
    "DialFailed",
    "EgressError",
    "NameNotFound",
    "ProtocolError",
    "Refused",
    "ResolutionError",
    "ResolverBusy",
    "ResolverFailed",
    "ResolverTimeout",
    "ResolverTurnMissed",
    "TooManyLookups",
]


class EgressError(Exception):
    """The base of all exceptions of this project."""


@define(eq=False)
class ConfigError(EgressError):
    """The configuration cannot be used.

    Attributes:
        where: the key path, such as ``policy[0].allow[2].hosts``; "" for the file as a whole.
        problem: the fault and a correct alternative, one line, without secrets.
        file: the file's name; set by the code that read the file.
    """

    where: str
    problem: str
    file: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.where, self.problem) if part)


@define(eq=False)
class ProtocolError(EgressError):
    """Octets that the grammar does not allow.

    Attributes:
        code: one of `CODES`: "bad_head", "bad_target", "bad_framing", "bad_version" and so on.
        reason: one sentence, ASCII, free of the offending bytes.
        method: of a request, where its target was read; else "".
        authority: the destination in that target, with the port 0 where the port is not known; None where no
            destination could be read.
    """

    code: str
    reason: str
    method: str = ""
    authority: Authority | None = None

    @property
    def sentence(self) -> str:
        """The reason as a sentence, for an answer."""
        return f"{self.reason[:1].upper()}{self.reason[1:].removesuffix('.')}."

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


@define(eq=False)
class Refused(EgressError):
    """The refusal or failure of a request.

    Attributes:
        code: one of `CODES`.
        reason: one sentence for a person, ASCII, free of client bytes. It may be shown to the client.
        policy: the name of the policy that decided; of a failure, the policy that had allowed the request; or "".
        rule: that policy's rule, or "".
        detail: details for the audit log only, which may name addresses.
        retry_seconds: seconds after which a retry may succeed; None where that is not known.
        message: what the operator says to the client in the rule that decided or nearly matched; or "".
        verdicts: the verdicts so far, for the audit log and for `explain`.
        upstream_level: the level of the cascade that decided, such as "refused" for a ``[[route]]``, if the upstream
            selector refused; else "".
        upstream_source: the setting that decided, if the upstream selector refused; else "".
    """

    code: str
    reason: str
    policy: str = ""
    rule: str = ""
    detail: str = ""
    retry_seconds: float | None = None
    message: str = ""
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)
    upstream_level: str = ""
    upstream_source: str = ""

    @property
    def explanation(self) -> str:
        """The reason, and what the operator says."""
        return f"{self.reason} {self.message}" if self.message else self.reason

    @property
    def status(self) -> int:
        """The HTTP status of the response."""
        return CODES[self.code].status

    @property
    def hint(self) -> str:
        """The recommended action of the client."""
        return CODES[self.code].hint

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class ResolutionError(EgressError):
    """A name could not be resolved.

    The message is a clause in ASCII without addresses and client bytes, because the client is told it.

    Attributes:
        code: the code of the resulting refusal.
        is_overload: whether the resolver is overloaded, so that the failure is unrelated to the name.
    """

    code = "resolver_failed"
    is_overload = False

    @property
    def sentence(self) -> str:
        """The message as a sentence, for an answer; the code's title where there is no message."""
        words = str(self) or CODES[self.code].title
        return f"{words[:1].upper()}{words[1:]}."


class NameNotFound(ResolutionError):
    """The name does not exist, or has no address (RFC 1035 section 4.1.1, RCODE 3; RFC 2308)."""

    code = "name_not_found"


class ResolverFailed(ResolutionError):
    """The resolver answered with a failure, or could not be asked."""

    code = "resolver_failed"


class ResolverTimeout(ResolutionError):
    """The resolver did not answer in time."""

    code = "resolver_timeout"


class ResolverBusy(ResolutionError):
    """The limit of look-ups is reached."""

    code = "resolver_busy"
    is_overload = True


class ResolverTurnMissed(ResolverBusy):
    """The look-up waited for a place for too long."""


class TooManyLookups(ResolverBusy):
    """The client's share of the look-ups is reached."""

    code = "too_many_lookups"


@define(eq=False)
class DialFailed(EgressError):
    """A route could not be dialled.

    Attributes:
        code: "connection_refused", "unreachable", "dial_timeout" or "origin_closed"; where an upstream proxy failed, a
            ``proxy_`` code.
        attempts: each address or target tried, and the outcome.
        reason: one sentence for the client, where the code is not enough; it names no hop.
        detail: details for the audit log only, which may name the upstream.
    """

    code: str
    attempts: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    detail: str = ""

    def __str__(self) -> str:
        tried = ", ".join(f"{address} ({outcome})" if outcome else address for address, outcome in self.attempts)
        return f"{self.code}: {tried or 'no address was tried'}{'; ' if self.detail else ''}{self.detail}"


@define(eq=False)
class AuditLogCorrupt(EgressError):
    """An audit log failed its verification.

    Attributes:
        file: the name of the file.
        line: the number of the first wrong line, from 1.
        problem: "altered", "cut off" or "truncated".
        detail: one sentence.
    """

    file: str
    line: int
    problem: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}: {self.detail}"
