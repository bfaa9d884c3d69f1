"""`egress tail`: shows the audit log as it is written."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.text import Text

from egress.audit.fields import ENVELOPE
from egress.audit.follower import Follower
from egress.audit.selection import Selection, escaped, escaped_line, moment, parse_line
from egress.audit.settings import DEFAULT_FILE, state_directory
from egress.cli.error import Problem
from egress.errors import CODES, ConfigError

_POLL_SECONDS = 0.2
_SPACED = bytes.maketrans(b"\r\t", b"  ")
_is_printable = re.compile(rb"[ -~]*").fullmatch
_STYLES = {"allow": "green", "deny": "bold red", "none": "yellow", "open": "cyan"}


@click.command(short_help="Show the audit log as it is written.")
@click.argument("file", required=False, type=click.Path())
@click.option("--config", "-c", "configuration", metavar="FILE", help="The audit log that this TOML file configures.")
@click.option(
    "--lines",
    "-n",
    "count",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Begin with the last N selected lines.",
)
@click.option("--follow/--no-follow", "-f", default=True, show_default=True, help="Wait for further lines.")
@click.option("--client", default="", help="Select a client by its key or a label, with *.")
@click.option("--host", default="", help="Select host names, with *.")
@click.option("--verdict", type=click.Choice(["allow", "deny", "none"]), help="Select a verdict.")
@click.option(
    "--code", type=click.Choice(sorted(CODES)), metavar="CODE", help="Select refusals and failures with this code."
)
@click.option("--rule", default="", help="Select requests that this rule decided.")
@click.option("--request", default="", metavar="ID", help="Select the request with this id.")
@click.option("--since", default="", help="Select lines not before 10m, 2h or 1d ago, or a time (RFC 3339).")
@click.option("--json", "is_raw", is_flag=True, help="Print lines unchanged, for programs.")
@click.pass_context
def tail(
    context: click.Context,
    file: str | None,
    configuration: str | None,
    count: int,
    follow: bool,
    client: str,
    host: str,
    verdict: str | None,
    code: str | None,
    rule: str,
    request: str,
    since: str,
    is_raw: bool,
) -> None:
    """Show the audit log FILE as it is written; by default the audit log in the user's state directory.

    Exit status: 0 at the end, 1 if the file cannot be read, 2 for a wrong option or configuration.
    """
    try:
        since_time = moment(since, datetime.now(UTC)) if since else None
    except ValueError:
        raise click.BadParameter("must be like 10m, 2h, 1d or 2026-01-31T12:00:00Z", param_hint="--since")
    was_counted = context.get_parameter_source("count") is not click.core.ParameterSource.DEFAULT
    if file and configuration:
        raise click.UsageError("FILE and --config both name an audit log; give one of them")
    path = file or (_audit_log_of(configuration) if configuration else os.path.join(state_directory(), DEFAULT_FILE))
    if follow:
        is_there = os.path.exists(path)
        words = f"following {path}" if is_there else f"waiting for {path}, which does not exist yet"
        click.echo(f"egress: {escaped(words)}", err=True)
    elif not os.path.exists(path):
        raise click.ClickException(f"{escaped(path)} does not exist")
    view = View(Selection(client, host, verdict or "", code or "", rule, request, since_time), is_raw)
    try:
        _run(Follower(path), view, count if was_counted or since_time is None else None, follow)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of the output has closed the pipe. The interpreter would report that again at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        raise click.ClickException(f"{escaped(path)} cannot be read: {error.strerror}")
    except KeyboardInterrupt:
        return


def _audit_log_of(configuration: str) -> str:
    """Return the path of the audit log file of a configuration."""
    from egress.service.settings.places import state_of
    from egress.service.settings.source import load

    try:
        settings = load(configuration).settings
    except ConfigError as error:
        raise Problem(str(error), 2)
    if "file" not in settings.audit.to:
        raise Problem(f"{escaped(configuration)}: audit.to: the audit log is not kept in a file", 2)
    return settings.audit.path_in(state_of(settings))


def _run(follower: Follower, view: View, count: int | None, is_following: bool) -> None:
    # The last N of the selected lines, not the selected lines of the last N.
    selected = view.pick(follower.last(None if view.has_criteria else count))
    view.show(selected if count is None else selected[max(0, len(selected) - count) :])
    while is_following:
        lines = follower.poll()
        view.show(view.pick(lines))
        if not lines:
            time.sleep(_POLL_SECONDS)
    view.show(view.pick(follower.end()))


class View:
    """Shows lines on the standard output.

    Args:
        selection: the lines to show.
        is_raw: whether lines are printed unchanged.
    """

    def __init__(self, selection: Selection, is_raw: bool) -> None:
        self.has_criteria = selection != Selection()
        self._selection = selection
        self._is_raw = is_raw
        self._console = Console(soft_wrap=True, highlight=False, emoji=False, markup=False)

    def pick(self, lines: Iterable[bytes]) -> list[bytes]:
        """Return the selected lines, and every line that cannot be parsed, because the operator must see it."""
        picked = []
        for line in lines:
            facts = parse_line(line)
            if facts is None or self._selection.matches(facts):
                picked.append(line)
        return picked

    def show(self, lines: Iterable[bytes]) -> None:
        """Print lines."""
        for line in lines:
            facts = parse_line(line)
            if facts is None:
                click.echo(f"not a line of the audit log: {escaped_line(line)}", err=self._is_raw)
            elif self._is_raw:
                click.echo(_for_programs(line))
            else:
                self._console.print(describe(facts))


def _for_programs(line: bytes) -> str:
    """Return a line of JSON unchanged except for control characters, because the output may be a terminal.

    CR and tab can only stand between the tokens of JSON (RFC 8259 section 2), so a space in their place changes no
    meaning. A line with any other octet beyond printable ASCII was not written by egress, and is escaped.
    """
    spaced = line.removesuffix(b"\r").translate(_SPACED)
    return spaced.decode("ascii") if _is_printable(spaced) else escaped_line(line)


def describe(facts: dict[str, object]) -> Text:
    """Format one line for people."""
    event = _word(facts, "event")
    text = Text(_word(facts, "timestamp")[:19].replace("T", " "), style="dim")
    if event not in ("end", "open", "refused", "repeated"):
        rest = " ".join(f"{escaped(key)}={escaped(str(value))}" for key, value in facts.items() if key not in ENVELOPE)
        return text.append(f" {event} {rest}".rstrip(), style="bold yellow" if event == "loss" else "bold")
    verdict = _word(facts, "verdict")
    shown = "open" if event == "open" else verdict
    text.append(f" {shown:<5} ", style=_STYLES.get(shown, "yellow"))
    text.append(f"{_word(facts, 'client')} ", style="cyan")
    text.append(f"{_word(facts, 'http_request_method')} {_target(facts)}", style="bold")
    if status := facts.get("http_response_status_code"):
        text.append(f" {escaped(str(status))}")
    if code := _word(facts, "code"):
        text.append(f" {code}: {_word(facts, 'reason')}", style="red")
    if rule := _word(facts, "rule"):
        text.append(f" [{_word(facts, 'policy')}/{rule}]", style="dim")
    if not code:
        sent, received = _word(facts, "client_bytes"), _word(facts, "server_bytes")
        moved = f"sent {sent} received {received} in {_word(facts, 'duration_ms')} ms"
        text.append(f" via {_word(facts, 'upstream')} {moved}", style="dim")
    if (cause := _word(facts, "cause")) not in ("", "complete", "refused"):
        text.append(f" {cause}", style="yellow")
    if event == "repeated":
        first = _word(facts, "first_timestamp")[11:19]
        text.append(f" {_word(facts, 'count')} times since {first}, from id {_word(facts, 'first_request_id')}", "bold")
    if code and (request := _word(facts, "request_id")):
        text.append(f" id {request}", style="dim")
    return text


def _target(facts: dict[str, object]) -> str:
    host = _word(facts, "server_address")
    if not host:
        return "-"
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{_word(facts, 'server_port')}{_word(facts, 'url_path')}"


def _word(facts: dict[str, object], key: str) -> str:
    value = facts.get(key)
    return escaped(str(value)) if value is not None else ""
