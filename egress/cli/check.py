"""`egress check`: would the supervisor start with this file?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from egress.cli.error import Problem
from egress.errors import ConfigError

if TYPE_CHECKING:
    from egress.service.settings.settings import Source


@click.command(short_help="Say whether the proxy would accept a file.")
@click.argument("file")
def check(file: str) -> None:
    """Read FILE and build everything in it, but bind no socket and open no audit log: a start may still fail at those.

    Ends with status 0 if nothing is wrong, else with one line that says what is wrong and where, and status 1.
    """
    from egress.service.dry_run import make_dry_run
    from egress.service.settings.settings import is_mute, load
    from egress.service.settings.summary import count, summary

    try:
        source = load(file)
        dry_run = make_dry_run(source)
        _check_places(source)
    except ConfigError as error:
        raise Problem(str(error))
    settings = dry_run.source.settings
    click.echo("OK")
    click.echo(f"{file}: {count(len(settings.listener), 'listener', 'listeners')}, {summary(settings)}")
    click.echo(f"{file}: routes: {dry_run.routing.summary()}")
    for warning in dry_run.routing.warnings:
        click.echo(f"{file}: {warning}", err=True)
    if is_mute(settings):
        click.echo(f"{file}: nothing is allowed by it: every request would be refused", err=True)


def _check_places(source: Source) -> None:
    """Find two listeners with one socket, which only the second one's binding would show."""
    from egress.service.build import parse_endpoints, parse_status
    from egress.service.listen.endpoint import Endpoint, TcpEndpoint, UnixEndpoint

    taken: dict[Endpoint | str, int] = {}
    listeners = parse_endpoints(source)
    for index, endpoint in enumerate([*listeners, *parse_status(source)]):
        if isinstance(endpoint, UnixEndpoint):
            place: Endpoint | str = endpoint.path
        elif isinstance(endpoint, TcpEndpoint) and not endpoint.port:
            # Any free port: each gets its own.
            continue
        else:
            place = endpoint
        first = taken.setdefault(place, index)
        if first != index:
            where = source.listener_where(index) if index < len(listeners) else "status.endpoint"
            raise source.place(ConfigError(where, f"listener[{first}] listens there already"))
