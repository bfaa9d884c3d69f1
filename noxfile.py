"""Runs the tests on every Python that we support: `nox`, or `nox --session tests-3.12`."""

import nox

nox.options.sessions = ["lint", "types", "tests", "packages"]


@nox.session
def lint(session: nox.Session) -> None:
    """Look at style."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[lint,test,live]")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Run all tests, against what an editable install gives."""
    session.install("-e", ".[test,live]")
    session.run("egress", "plugins", silent=True)
    session.run("python", "-m", "tests.runner", *session.posargs)


@nox.session
def packages(session: nox.Session) -> None:
    """Build what is released."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", session.create_tmp())
