"""The built package works: as a wheel, as an editable install, and with a third-party plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import DOCS, write_files

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("egress", "twisted", "conf", "systemd", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
TWISTD = "from twisted.scripts.twistd import run; run()"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program.

    Returns:
        What it printed.

    Raises:
        AssertionError: it failed.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}")
    return done.stdout


class Workshop:
    """A directory with a copy of the source and the dependencies of this environment, without egress itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "source"
        self.source.mkdir(parents=True)
        for part in PARTS:
            place = ROOT / part
            if place.is_dir():
                left_out = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(place, self.source / part, ignore=left_out)
            else:
                shutil.copy(place, self.source / part)
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()
        self.dependencies = root / "dependencies"
        self.dependencies.mkdir()
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if not entry.name.startswith(("egress", "acme_egress", "__editable__", "__pycache__")):
                (self.dependencies / entry.name).symlink_to(entry)

    def build(self, source: Path) -> Path:
        """Build a wheel."""
        target = Path(mkdtemp(dir=self.root))
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target)
        run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=self.elsewhere)
        (wheel,) = target.iterdir()
        return wheel

    def install(self, *what: str | Path) -> Path:
        """Install into a new environment.

        Returns:
            The environment's directory.
        """
        home = Path(mkdtemp(dir=self.root))
        venv.create(home, symlinks=True)
        python = home / "bin" / "python"
        (packages,) = home.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(f"{self.dependencies}\n")
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
        run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=self.elsewhere)
        return home


class PackagingTests(SynchronousTestCase):
    """One build, looked at from all sides. Building is slow, so it is done once."""

    def setUp(self) -> None:
        """Build everything."""
        self.shop = Workshop(Path(mkdtemp(prefix="egress-packaging-")))
        self.addCleanup(shutil.rmtree, self.shop.root)

    def test_installs(self) -> None:
        """A wheel and an editable install both bring the command, the twistd plugin and a third party's policy."""
        wheel = self.shop.build(self.shop.source)
        self.assert_contents(wheel)
        acme = self.shop.root / "acme"
        write_files(DOCS / "how-to" / "write-a-policy.md", acme)
        plugin = self.shop.build(acme)
        for what in ((wheel, plugin), ("--editable", self.shop.source, plugin)):
            self.assert_works(self.shop.install(*what))

    def assert_contents(self, wheel: Path) -> None:
        """Look into the wheel."""
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        self.assertIn("twisted/plugins/egress_plugin.py", names)
        self.assertIn("egress/plugins/egress_builtin.py", names)
        self.assertIn("egress/py.typed", names)
        # Either would overwrite Twisted's own.
        self.assertNotIn("twisted/__init__.py", names)
        self.assertNotIn("twisted/plugins/__init__.py", names)
        self.assertEqual(set(), {name for name in names if name.startswith(("tests/", "bench/", "docs/"))})
        self.assertEqual(1, sum(name.endswith(".dist-info/licenses/LICENSE") for name in names), names)
        for place in ("egress.toml", "egress.service"):
            self.assertEqual(1, sum(name.endswith(f".data/data/share/egress/{place}") for name in names), names)
        modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "egress").rglob("*.py")}
        self.assertEqual(set(), modules - names)

    def assert_works(self, home: Path) -> None:
        """Use what was installed, from a directory that has nothing to do with it."""
        python, egress = home / "bin" / "python", home / "bin" / "egress"
        elsewhere = self.shop.elsewhere

        self.assertIn("egress, version ", run(egress, "--version", cwd=elsewhere))
        kinds = run(egress, "plugins", cwd=elsewhere)
        for kind in ("acme-mirrors", "destinations", "rate"):
            self.assertIn(kind, kinds)
        usage = run(python, "-P", "-c", TWISTD, "--help", cwd=elsewhere)
        self.assertIn("egress-proxy", usage)
        self.assertIn("web ", usage, "Twisted's own plugins are still there")
        where = run(python, "-P", "-c", "import egress; print(egress.__file__)", cwd=elsewhere).strip()
        self.assertTrue(Path(where).resolve().is_relative_to(self.shop.root.resolve()), where)
