"""The plugin of docs/how-to/write-a-policy.md works as documented, from a separate directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import DOCS, files_of, write_files

PAGE = DOCS / "how-to" / "write-a-policy.md"

JUDGE = """
import sys, tomllib
from pathlib import Path
from egress import plugins
from egress.policy.registry import build_policies, find_makers
from egress.testing import FakeHost, PolicyHarness

makers = find_makers(plugins)
tables = tomllib.loads(Path(sys.argv[1]).read_text())["policy"]
(policy,) = build_policies(tables, makers, FakeHost())
harness = PolicyHarness(policy)
print(sorted({"acme-mirrors", "destinations", "rate"} & set(makers)))
print(harness.allows("https://mirror.example.net"), harness.allows("https://example.com"))
print(harness.allows("https://mirror.example.net", addresses=["2001:db8:1::5"]))
"""


CHECK = "import sys; from egress.cli import main; main(['check', sys.argv[1]])"


class ThirdPartyTests(SynchronousTestCase):
    """A module in somebody else's `egress/plugins`."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        write_files(PAGE, self.root)
        self.elsewhere = self.root / "elsewhere"
        self.elsewhere.mkdir()

    def run_python(self, *arguments: str, safe_path: bool = True) -> str:
        """Run Python with the plugin's directory on its path, in a directory that is not the plugin's."""
        # The supervisor's own place is on the path as well: it need not be installed where the tests run.
        places = os.pathsep.join((str(self.root), str(DOCS.parent)))
        done = subprocess.run(
            [sys.executable, *(["-P"] if safe_path else []), *arguments],
            cwd=self.elsewhere,
            env={**os.environ, "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_page(self) -> None:
        """The page shows the whole package, and no `__init__.py` that would hide egress."""
        self.assertEqual(
            set(files_of(PAGE)),
            {"pyproject.toml", "egress/plugins/acme_policy.py", "test_acme_policy.py", "egress.toml"},
        )
        packages = tomllib.loads(files_of(PAGE)["pyproject.toml"])["tool"]["setuptools"]["packages"]
        self.assertEqual(packages, ["egress.plugins"])

    def test_its_own_test(self) -> None:
        """The documented test passes."""
        said = self.run_python("-m", "twisted.trial", "--temp-directory", "trial", "test_acme_policy")

        self.assertIn("PASSED (successes=5)", said)

    def test_found_and_obeyed(self) -> None:
        """The plugin is found beside the built-in ones, built from the documented table, and allows and denies."""
        said = self.run_python("-c", JUDGE, str(self.root / "egress.toml"))

        self.assertEqual(said.splitlines(), ["['acme-mirrors', 'destinations', 'rate']", "True False", "False"])

    def test_described(self) -> None:
        """`egress check` knows the rules of the plugin, as it knows those of the built-in policies."""
        said = self.run_python("-c", CHECK, str(self.root / "egress.toml")).splitlines()

        self.assertEqual("OK", said[0])
        self.assertIn("1 policy, 2 rules, guard on", said[1])
        self.assertNotIn("nothing is allowed", "".join(said))
