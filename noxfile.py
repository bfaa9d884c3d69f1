"""Sessions for style, types, API pages, tests on every supported Python, and packages: `nox --session tests-3.12`."""

import nox

nox.options.sessions = ["lint", "types", "docs", "tests", "packages"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[lint,test,live]")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the API pages; a broken reference in a docstring is an error."""
    session.install("-e", ".[docs]")
    session.run("python", "docs/build_api.py", "--html-output", session.create_tmp())


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Run all tests against an editable installation."""
    session.install("-e", ".[test,live]")
    session.run("egress", "plugins", silent=True)
    session.run("python", "-m", "tests.runner", *session.posargs)


@nox.session
def packages(session: nox.Session) -> None:
    """Build the source distribution and the wheel."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", session.create_tmp())
