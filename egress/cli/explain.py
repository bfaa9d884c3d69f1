"""`egress explain`: the decision about a request, and its reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from egress.audit.encoder import verdict_of
from egress.cli.error import Problem
from egress.errors import CODES, ConfigError, ProtocolError
from egress.match import LABEL_KINDS
from egress.model import Request, Verdict

if TYPE_CHECKING:
    from egress.gate.explanation import Explanation
    from egress.service.settings.listener import ListenerSettings

_REFUSED = 1
_USAGE = 2

# The syntax of labels in rules (egress.match.labels), without stars.
_is_label = re.compile(r"[a-z][a-z0-9_-]*:[!-)+-~]+").fullmatch


@click.command(short_help="Explain the decision about a request.")
@click.option("--config", "-c", "file", metavar="FILE", help="Read the settings from this TOML file.")
@click.option("--allow", multiple=True, metavar="HOST", help="Allow HOST or HOST:PORT in addition; may be repeated.")
@click.option("--method", default="", metavar="METHOD", help="The method of an http:// request; GET if left out.")
@click.option(
    "--client", "labels", multiple=True, metavar="LABEL", help="A label of the client, kind:value; may be repeated."
)
@click.option("--listener", metavar="NAME", help="The listener of the request; the first one if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("url")
@click.pass_context
def explain(
    context: click.Context,
    file: str | None,
    allow: tuple[str, ...],
    method: str,
    labels: tuple[str, ...],
    listener: str | None,
    as_json: bool,
    url: str,
) -> None:
    """Explain the decision about a request to URL. The name is looked up if the proxy would; nothing is dialled.

    An https:// URL, or HOST:PORT, is a CONNECT; an http:// URL is a plain request. Exit status: 0 if the request would
    be allowed, 1 if refused, 2 if the arguments or the file are wrong.
    """
    from egress.service.dry_run import make_dry_run, make_request
    from egress.service.settings.source import load

    _check_labels(labels)
    try:
        dry_run = make_dry_run(load(file, allow))
        listeners = dry_run.prepared.source.settings.listener
        names = [each.name for each in listeners]
        if listener is not None and listener not in names:
            raise Problem(f"there is no listener {listener!r}; there are: {', '.join(names)}", _USAGE)
        name = listener or names[0]
        asking = listeners[names.index(name)]
        _check_token(asking, labels)
        is_local = asking.endpoint.startswith("unix:")
        request = make_request(url, method, name, labels, dry_run.reactor.seconds(), is_local=is_local)
    except ConfigError as error:
        raise Problem(str(error), _USAGE)
    except ProtocolError as error:
        raise Problem(f"URL: {error.reason}", _USAGE)
    except ValueError as error:
        raise Problem(f"--method: {error}", _USAGE)
    explanation = dry_run.explain(request)
    if as_json:
        click.echo(json.dumps(as_object(request, explanation), indent=2))
    else:
        for line in as_text(request, explanation, has_labels=bool(labels)):
            click.echo(line)
    context.exit(0 if explanation.admission is not None else _REFUSED)


def _check_labels(labels: tuple[str, ...]) -> None:
    for label in labels:
        kind, _, value = label.partition(":")
        if not _is_label(label):
            raise Problem(
                f"--client: {label!r} is no label; it must be like token:research or address:192.0.2.1", _USAGE
            )
        if kind not in LABEL_KINDS:
            raise Problem(f"--client: {label!r} has an unknown kind; there are: {', '.join(LABEL_KINDS)}", _USAGE)
        if kind == "listener":
            raise Problem(f"--client: {label!r} comes from the listener; use --listener {value}", _USAGE)
        if kind == "address":
            try:
                ip_address(value)
            except ValueError:
                raise Problem(f"--client: {label!r} holds no address", _USAGE)


def _check_token(listener: ListenerSettings, labels: tuple[str, ...]) -> None:
    if not listener.tokens and any(label.startswith("token:") for label in labels):
        raise Problem(f"--client: listener {listener.name!r} has no `tokens`, so nobody is known there by one", _USAGE)


def as_object(request: Request, seen: Explanation) -> dict[str, object]:
    """Return the explanation as an object for JSON. Fields of the audit log keep their names."""
    refused, plan, authority = seen.refused, seen.plan, request.authority
    return {
        "allowed": seen.admission is not None,
        "listener": request.listener,
        "client": request.client.key,
        "client_labels": sorted(request.client.labels),
        "request_form": request.request_form,
        "http_request_method": request.method,
        "server_address": authority.host,
        "server_port": authority.port,
        "url_path": request.path,
        "by_name": [_verdict_object(verdict) for verdict in seen.first],
        "upstream": None if plan is None else plan.label,
        "upstream_level": (refused.upstream_level or None if refused else None) if plan is None else plan.level,
        "upstream_source": (refused.upstream_source or None if refused else None) if plan is None else plan.source,
        "hops": [] if plan is None else [f"{hop.scheme}://{hop.authority.text}" for hop in plan.hops],
        "dns": plan.dns if plan is not None and plan.hops else None,
        "requested_from_proxy": _requested_from_proxy(seen),
        "resolved_addresses": None if seen.resolution is None else list(map(str, seen.resolution.addresses)),
        "guard": seen.guard or None,
        "by_address": [_verdict_object(verdict) for verdict in seen.second],
        "refused": None
        if refused is None
        else {
            "code": refused.code,
            "status": refused.status,
            "reason": refused.reason,
            "policy": refused.policy,
            "rule": refused.rule,
            "message": refused.message,
            "hint": refused.hint,
        },
    }


def _requested_from_proxy(seen: Explanation) -> str | None:
    """Return "name" or "address": the form in which the last proxy of the route receives the destination."""
    if seen.admission is None or seen.plan is None or not seen.plan.hops:
        return None
    return "name" if seen.admission.route.by_name else "address"


def _route_text(request: Request, seen: Explanation) -> str:
    """Describe the upstream, the setting that chose it, and the destination that the last proxy receives."""
    plan, authority = seen.plan, request.authority
    assert plan is not None
    text = plan.label
    if plan.hops:
        text += f" ({' then '.join(f'{hop.scheme}://{hop.authority.text}' for hop in plan.hops)})"
    text += f", level {plan.level}"
    if plan.source and plan.source != plan.bypassed:
        text += f", by {plan.source}"
    if plan.bypassed:
        is_local = authority.host == "localhost" or (authority.address is not None and authority.address.is_loopback)
        text += f", bypasses {plan.bypassed} because of {'a loopback destination' if is_local else 'no_proxy'}"
    requested = _requested_from_proxy(seen)
    if requested is not None:
        text += f"; the proxy receives the {'name' if requested == 'name' else 'judged address'}"
        if request.request_form == "http" and requested == "address" and authority.address is None:
            text += ", by CONNECT, which many proxies forbid for plain HTTP"
    return text


def _verdict_object(verdict: Verdict) -> dict[str, object]:
    return {
        "policy": verdict.policy,
        "outcome": verdict.outcome.value,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "admits": [str(network) for network in verdict.admits],
    }


def as_text(request: Request, seen: Explanation, *, has_labels: bool = False) -> Iterator[str]:
    """Return the explanation as text, line by line, in the order of the checks.

    Args:
        request: the request.
        seen: the explanation.
        has_labels: whether to show the client's labels.
    """
    what = f"{request.method} {request.authority.text}{request.path or ''}"
    labels = f" ({', '.join(sorted(request.client.labels))})" if has_labels else ""
    yield f"{what} from {request.client.key}{labels}"
    yield from _round("by name", seen.first)
    if seen.plan is not None:
        yield f"  upstream    {_route_text(request, seen)}"
    if seen.resolution is not None:
        yield f"  addresses   {', '.join(map(str, seen.resolution.addresses)) or 'resolved by the upstream proxy'}"
    if seen.guard:
        yield f"  guard       {seen.guard}"
    yield from _round("by address", seen.second)
    if seen.admission is not None:
        verdict = seen.admission.verdict
        yield f"allowed by {_rule(verdict.policy, verdict.rule)}"
    elif seen.refused is not None:
        refused = seen.refused
        # A failure has the name of the policy that had allowed the request.
        is_denied = verdict_of(None, refused) == "deny"
        by = f" by {_rule(refused.policy, refused.rule)}" if refused.policy and is_denied else ""
        yield f"refused{by}: {CODES[refused.code].title} ({refused.code}, {refused.status}): {refused.explanation}"
        yield f"  {refused.hint}"


def _round(title: str, verdicts: list[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        admits = f" Admits {', '.join(map(str, verdict.admits))}." if verdict.admits else ""
        reason = f": {verdict.reason}" if verdict.reason else ""
        yield f"  {title:<11} {_rule(verdict.policy, verdict.rule)}: {verdict.outcome.value}{reason}{admits}"


def _rule(policy: str, rule: str) -> str:
    return f"{policy} / {rule}" if rule else policy
