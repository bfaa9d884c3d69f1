"""`egress check`: would the supervisor start with this file?"""

from __future__ import annotations

import click

from egress.cli.problem import Problem
from egress.errors import ConfigError


@click.command()
@click.argument("file")
def check(file: str) -> None:
    """Read FILE and build everything in it, without listening anywhere.

    Ends with status 0 if the proxy would accept it, else with one line that says what is wrong and where, and status 1.
    """
    from egress.service.rehearsal import make_rehearsal
    from egress.service.settings import is_mute, load
    from egress.service.supervisor import count, summary

    try:
        rehearsal = make_rehearsal(load(file))
    except ConfigError as error:
        raise Problem(str(error))
    settings = rehearsal.source.settings
    click.echo(f"{file}: fine: {count(len(settings.listener), 'listener', 'listeners')}, {summary(settings)}")
    if is_mute(settings):
        click.echo(f"{file}: nothing is allowed by it: every request would be refused", err=True)
