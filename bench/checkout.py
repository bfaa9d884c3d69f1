"""Finds or makes the checkouts of egress that `paired.py` compares.

The code of a checkout only ever runs in the interpreter of the checkout's own `.venv`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from started import HERE

_ASKS = (
    "import egress, json, platform, twisted; "
    "print(json.dumps([egress.__file__, platform.python_version(), twisted.__version__]))"
)
# The ports in bench/egress.toml that are replaced for each run.
_LISTENER_PORT, _ORIGIN_PORTS = "tcp:3128:", "9100-9199"


class CheckoutError(Exception):
    """A checkout cannot be measured; the message is the reason."""


class Checkout(NamedTuple):
    """One version of egress, installed in its own environment.

    Attributes:
        directory: the root of the checkout.
        commit: the result of `git describe`; the suffix "-dirty" means uncommitted changes.
        python: the version of the checkout's interpreter.
        twisted: the version of Twisted in the checkout's environment.
    """

    directory: Path
    commit: str
    python: str
    twisted: str

    @property
    def twistd(self) -> Path:
        """The program that starts the checkout's proxy."""
        return self.directory / ".venv" / "bin" / "twistd"

    def configuration(self, base: int) -> str:
        """Make the checkout's `bench/egress.toml` with the ports of this run.

        Args:
            base: the first port of the origin.

        Returns:
            The configuration, with `{port}` for the listener's port.

        Raises:
            CheckoutError: the file does not have the ports to replace.
        """
        text = (self.directory / "bench" / "egress.toml").read_text()
        for known, ours in ((_LISTENER_PORT, "tcp:{port}:"), (_ORIGIN_PORTS, f"{base}-{base + 7}")):
            if known not in text:
                raise CheckoutError(f"bench/egress.toml of {self.commit} has no {known}")
            text = text.replace(known, ours, 1)
        return text


def open_checkout(directory: Path) -> Checkout:
    """Examine a checkout.

    Args:
        directory: the root of the checkout, which has a `.venv`.

    Raises:
        CheckoutError: the checkout has no environment, or its environment imports egress from elsewhere, like a copy of
            an environment with an editable install.
    """
    directory = directory.resolve()
    python = directory / ".venv" / "bin" / "python"
    if not python.exists():
        raise CheckoutError(f"{directory} has no .venv: make -C {directory} .venv/run.stamp")
    # In "/", because the interpreter looks for modules in its working directory first.
    done = subprocess.run([str(python), "-c", _ASKS], cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise CheckoutError(f"{directory}: egress cannot be imported: {done.stderr.strip()[-300:]}")
    imported, *versions = json.loads(done.stdout)
    if directory not in Path(imported).resolve().parents:
        raise CheckoutError(f"the .venv of {directory} imports {imported}")
    git = ["git", "-C", str(directory), "describe", "--always", "--dirty"]
    described = subprocess.run(git, capture_output=True, text=True)
    return Checkout(directory, described.stdout.strip() or "not in git", *versions)


def make_checkout(commit: str, trees: Path) -> Checkout:
    """Clone one commit of the repository that this file is in, and install it with `make`.

    Args:
        commit: any name of the commit in git.
        trees: the directory of `trees/COMMIT`; an existing checkout is used.

    Raises:
        CheckoutError: the repository has no such commit, or git or make fails.
    """
    repository = HERE.parent
    name = _run("git", "-C", str(repository), "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    directory = trees.resolve() / name[:12]
    if not directory.exists():
        trees.mkdir(parents=True, exist_ok=True)
        _run("git", "clone", "--quiet", "--no-checkout", str(repository), str(directory))
    _run("git", "-C", str(directory), "checkout", "--quiet", "--detach", name)
    _run("make", "-s", "-C", str(directory), ".venv/run.stamp")
    return open_checkout(directory)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CheckoutError(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()
