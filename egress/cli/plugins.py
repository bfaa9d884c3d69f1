"""`egress plugins`: lists the installed kinds of policy, with their files."""

from __future__ import annotations

import inspect

import click

from egress.cli.error import Problem
from egress.errors import ConfigError


@click.command(short_help="List the kinds of policy that are installed.")
def plugins() -> None:
    """List the kinds of policy that are installed, and bring the plugin cache up to date.

    Run this command after a plugin was installed or removed, as the user who installs plugins, so that the cache
    belongs to that user.
    """
    from egress import plugins as package
    from egress.policy.registry import find_makers

    try:
        makers = find_makers(package)
    except ConfigError as error:
        raise Problem(str(error))
    width = max(map(len, makers), default=0)
    for kind, maker in sorted(makers.items()):
        click.echo(f"{kind:<{width}}  {_source(maker)}")


def _source(maker: object) -> str:
    """Return the name of the file that defines the maker's class."""
    try:
        return inspect.getfile(type(maker))
    except (TypeError, OSError):
        return type(maker).__module__
