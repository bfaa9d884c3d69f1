"""Reads examples and tables of the documentation, for comparison with the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"

_block = re.compile(r"^(?:<!-- file: (?P<file>\S+) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


def files_of(page: Path) -> dict[str, str]:
    """Give the files that a page shows whole: each code block below a line such as `<!-- file: setup.cfg -->`.

    Args:
        page: a Markdown file.

    Returns:
        For each path, relative to the root of whatever the page builds, its text.
    """
    return {match["file"]: match["text"] for match in _block.finditer(page.read_text("utf-8")) if match["file"]}


def blocks_of(page: Path, language: str) -> list[str]:
    """Give the code blocks of one language, in order; those of `files_of` too."""
    return [match["text"] for match in _block.finditer(page.read_text("utf-8")) if match["language"] == language]


def write_files(page: Path, root: Path) -> None:
    """Write the files that a page shows under `root`."""
    for name, text in files_of(page).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
