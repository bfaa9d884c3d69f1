"""`egress check`: would the supervisor start with this file?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from egress.cli.problem import Problem
from egress.errors import ConfigError

if TYPE_CHECKING:
    from egress.service.settings import Source


@click.command(short_help="Say whether the proxy would accept a file.")
@click.argument("file")
def check(file: str) -> None:
    """Read FILE and build everything in it, but bind no socket and open no journal: a start may still fail at those.

    Ends with status 0 if nothing is wrong, else with one line that says what is wrong and where, and status 1.
    """
    from egress.service.rehearsal import make_rehearsal
    from egress.service.settings import is_mute, load
    from egress.service.supervisor import count, summary

    try:
        source = load(file)
        rehearsal = make_rehearsal(source)
        _check_places(source)
    except ConfigError as error:
        raise Problem(str(error))
    settings = rehearsal.source.settings
    click.echo(f"{file}: fine: {count(len(settings.listener), 'listener', 'listeners')}, {summary(settings)}")
    if is_mute(settings):
        click.echo(f"{file}: nothing is allowed by it: every request would be refused", err=True)


def _check_places(source: Source) -> None:
    """Find two listeners with one socket, which only the second one's binding would show."""
    from egress.service.compose import parse_endpoints
    from egress.service.endpoint import Endpoint, UnixEndpoint

    taken: dict[Endpoint | str, int] = {}
    for index, endpoint in enumerate(parse_endpoints(source)):
        if isinstance(endpoint, UnixEndpoint):
            place: Endpoint | str = endpoint.path
        elif endpoint.port:
            place = endpoint
        else:
            # Any free port: each gets its own.
            continue
        first = taken.setdefault(place, index)
        if first != index:
            raise source.place(ConfigError(source.listener_where(index), f"listener[{first}] listens there already"))
