"""Runs trial, and prints a last line with the counts for programs.

    python -m tests.runner [NAME ...]

With EGRESS_REQUIRE=all a skipped test is a failed run.
"""

from __future__ import annotations

import os
import sys
from typing import cast

from twisted.internet import epollreactor
from twisted.trial import reporter, runner


def main(names: list[str]) -> int:
    """Run the named tests (all by default).

    Returns:
        The exit status.
    """
    suite = runner.TestLoader().loadByNames(names or ["tests"], recurse=True)
    trial = runner.TrialRunner(reporter.TreeReporter, workingDirectory="_trial_temp", uncleanWarnings=False)
    result = cast(reporter.TreeReporter, trial.run(suite))
    skipped = len(result.skips)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = result.successes
    is_strict = os.environ.get("EGRESS_REQUIRE") == "all"
    if is_strict and skipped:
        print(f"EGRESS_REQUIRE=all: {skipped} tests were skipped; each counts as failed.")
        failed, skipped = failed + skipped, 0
    if passed + failed == 0:
        print("No test ran.")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    epollreactor.install()
    sys.exit(main(sys.argv[1:]))
