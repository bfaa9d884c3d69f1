"""`egress run`: runs a command whose only way out is the proxy."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import NoReturn

import click

from egress.audit.follower import Follower
from egress.audit.selection import escaped, parse_line
from egress.audit.settings import DEFAULT_FILE, state_directory
from egress.cli.error import Problem
from egress.contain.environment import CA_BUNDLE, make_environment
from egress.contain.launcher import FAILED
from egress.contain.plan import Plan
from egress.contain.run import Launch, LaunchFailed, run
from egress.contain.suggestion import count, suggest
from egress.contain.view import View, check_path
from egress.errors import ConfigError
from egress.service.process.state_lock import StateLock

KEPT_RUNS = 100
"""The number of launches whose audit logs are kept."""

_SHOWN = 10
_PATH = click.Path(exists=True, resolve_path=True)


@click.command(
    "run",
    short_help="Run a command whose only way out is the proxy.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--allow", multiple=True, metavar="HOST", help="Allow HOST or HOST:PORT; may be repeated.")
@click.option("--config", "-c", "configuration", type=_PATH, metavar="FILE", help="Judge by this TOML file.")
@click.option("--rw", "read_write", multiple=True, type=_PATH, metavar="PATH", help="Let the command write PATH, too.")
@click.option("--ro", "read_only", multiple=True, type=_PATH, metavar="PATH", help="Show the command PATH.")
@click.option("--pass-env", "passed", multiple=True, metavar="NAME", help="Pass this variable of the environment.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    allow: tuple[str, ...],
    configuration: str | None,
    read_write: tuple[str, ...],
    read_only: tuple[str, ...],
    passed: tuple[str, ...],
    command: tuple[str, ...],
) -> NoReturn:
    """Run COMMAND in namespaces of its own. It reaches the network only by a proxy that judges each request.

    The working directory can be written, and all else is read-only; the home directory is empty. Exit status: that of
    the command; 128 and the signal's number where one ended it; 127 not found, 126 cannot be executed, 125 where egress
    itself failed.
    """
    if os.getuid() == 0:
        raise Problem("run: root's files stay root's inside; start it as an ordinary user", FAILED)
    if not sys.flags.isolated:
        # Nothing of the working directory, of PYTHONPATH or of the user's site packages is imported.
        os.execv(sys.executable, [sys.executable, "-I", "-m", "egress.cli", *sys.argv[1:]])
    home = os.path.realpath(os.path.expanduser("~"))
    directory = os.path.realpath(os.getcwd())
    # What the next launch executes or believes.
    own = (sys.prefix, sys.base_prefix, os.path.dirname(sys.executable), os.path.dirname(__file__), state_directory())
    kept = tuple(map(os.path.realpath, own))
    for path in (directory, *read_write):
        reason = check_path(path, home, (*kept, *((configuration,) if configuration else ())))
        if reason is not None:
            raise Problem(f"run: {escaped(path)} cannot be writable: {reason}", FAILED)
    try:
        environment = make_environment(os.environ, passed, has_bundle=os.path.exists(CA_BUNDLE))
    except ValueError as error:
        raise Problem(f"run: --pass-env: {error}", FAILED)
    state = _make_state()
    options = [*(("--config", configuration) if configuration else ())]
    options += [word for host in allow for word in ("--allow", host)]
    view = View(home, directory, tuple(dict.fromkeys((directory, *read_write))), read_only)
    try:
        status = run(Launch(Plan(command, environment, view), options, state))
    except LaunchFailed as error:
        raise Problem(f"run: {error}", FAILED)
    _show_summary(state, configuration)
    sys.exit(status)


def _make_state() -> str:
    """Make the directory of this launch, and remove those of the oldest ones."""
    runs = os.path.join(state_directory(), "runs")
    os.makedirs(runs, mode=0o700, exist_ok=True)
    for name in sorted(os.listdir(runs))[: -KEPT_RUNS + 1]:
        _remove_ended(os.path.join(runs, name))
    state = os.path.join(runs, f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}")
    os.mkdir(state, 0o700)
    return state


def _remove_ended(state: str) -> None:
    """Remove the directory of a launch, unless its supervisor still uses it."""
    lock = StateLock(state)
    try:
        lock.acquire()
        shutil.rmtree(state, ignore_errors=True)
    except ConfigError:
        return
    finally:
        lock.release()


def _show_summary(state: str, configuration: str | None) -> None:
    """Say on standard error what was refused, and which options would allow it."""
    path = os.path.join(state, DEFAULT_FILE)
    if configuration is not None and not os.path.exists(path):
        return  # The file keeps its audit log elsewhere, with those of other supervisors.
    events = (event for line in Follower(path).last(None) if (event := parse_line(line)) is not None)
    refusals = count(events)
    total = sum(refusals.refused.values())
    click.echo(f"egress run: {refusals.requests} requests, {total} refused; audit log: {escaped(path)}", err=True)
    for (host, port, code), many in refusals.refused.most_common(_SHOWN):
        click.echo(f"  {escaped(host)}:{port}  {escaped(code)}  {many}", err=True)
    wanted = suggest(refusals)
    if wanted:
        options = " ".join(f"--allow {escaped(each)}" for each in wanted[:_SHOWN])
        click.echo(f"To allow what no rule names: {options}", err=True)
