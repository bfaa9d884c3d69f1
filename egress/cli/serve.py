"""`egress serve`: runs the proxy without the `twistd` command."""

from __future__ import annotations

import sys

import click


@click.command(
    short_help="Run the proxy.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the proxy: the same as `twistd --nodaemon --pidfile= egress-proxy`, with the same options.

    `egress serve --help` lists them.
    """
    from egress.service.process.undumpable import make_undumpable

    # Before secrets are read, which other processes of this user must not see.
    make_undumpable()
    from twisted.scripts.twistd import run

    # twistd takes its options from sys.argv.
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "egress-proxy", *arguments]
    run()
