"""`egress check`: checks whether the proxy would start with a configuration file."""

from __future__ import annotations

import click

from egress.cli.error import Problem
from egress.errors import ConfigError


@click.command(short_help="Say whether the proxy would accept a file.")
@click.argument("file")
def check(file: str) -> None:
    """Check FILE: build everything in it, but bind no socket and open no audit log. A start can still fail at these.

    Prints OK and exits with status 0 if FILE is valid. Otherwise prints one line with the fault and its place, and
    exits with status 1.
    """
    from egress.service.build.summary import allows_nothing, count, summary
    from egress.service.dry_run import make_dry_run
    from egress.service.settings.source import load

    try:
        prepared = make_dry_run(load(file)).prepared
    except ConfigError as error:
        raise Problem(str(error))
    click.echo("OK")
    click.echo(f"{file}: {count(len(prepared.endpoints), 'listener', 'listeners')}, {summary(prepared)}")
    click.echo(f"{file}: routes: {prepared.routing.summary()}")
    for warning in prepared.routing.warnings:
        click.echo(f"{file}: {warning}", err=True)
    if allows_nothing(prepared):
        click.echo(f"{file}: nothing is allowed by it: every request would be refused", err=True)
