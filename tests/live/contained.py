"""An ordinary user who runs `egress run`, also where the tests run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.documents import DOCS
from tests.live.support import needs

ROOT = DOCS.parent
UID = 61_001
_SYSTEM_PYTHON = "/usr/bin/python3"
_PARTS = ("egress", "twisted", "conf", "systemd", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@cache
def installed() -> Path:
    """Return the directory of an `egress` that an ordinary user can run.

    root's interpreter may lie where others cannot read; the system's own has egress installed for them then.
    """
    if os.getuid() != 0:
        return Path(sys.executable).parent
    needs(_SYSTEM_PYTHON, "the system's Python is needed")
    place = Path(tempfile.mkdtemp(prefix="egress-run-"))
    place.chmod(0o755)
    source = place / "source"
    source.mkdir()
    for part in _PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        else:
            shutil.copy(ROOT / part, source / part)
    subprocess.run([_SYSTEM_PYTHON, "-m", "venv", str(place / "venv")], check=True, capture_output=True)
    pip = [str(place / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    subprocess.run(["chmod", "-R", "a+rX", str(place)], check=True)
    return place / "venv" / "bin"


def remove_installed() -> None:
    """Remove what `installed` made."""
    if installed.cache_info().currsize and os.getuid() == 0:
        shutil.rmtree(installed().parent.parent, ignore_errors=True)
    installed.cache_clear()


def as_user(words: list[str]) -> list[str]:
    """Make a command run as an ordinary user."""
    if os.getuid() != 0:
        return words
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--", *words]


def can_make_namespaces() -> bool:
    """Try what a launch does first."""
    words = as_user(["unshare", "--user", "--net", "--pid", "--fork", "true"])
    done = subprocess.run(words, capture_output=True, timeout=60)
    return done.returncode == 0
