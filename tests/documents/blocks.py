"""The code blocks of README and docs, and why some of their commands are not run by tests."""

from __future__ import annotations

import re
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from bench.shown import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "client/README.md",
    *sorted(f"docs/{file.name}" for file in ROOT.glob("docs/*.md")),
)
"""The pages whose blocks are run, from the root of the checkout."""

COMMANDS = ("sh", "python")
"""The languages of blocks that can be run."""

OTHERS = ("", "json", "xml", "toml", "yaml")
"""The languages of other blocks: drawings, examples, files."""

NOT_RUN = {
    "docker": "needs a container engine",
    "kubectl": "needs a cluster",
    "make test": "runs every test, this one too",
    "pip install": "would change the environment that the tests run in",
    "SAM_MODEL=vit_h": "needs Meta's checkpoint, 2.6 GB that may not be within reach",
}
"""How commands begin that tests do not run, and why. A block with one of them is left out as a whole and read only."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path from the root of the checkout.
        line: number of its first line in the page.
        language: what stands behind the fence.
        text: its lines, without the indentation of the fence.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def not_run(self) -> list[str]:
        """The keys of `NOT_RUN` that lines of this block begin with."""
        if self.language != "sh":
            return []
        return [
            start for start in NOT_RUN if re.search(rf"^(?:\S+=\S+ )*{re.escape(start)}\b", self.text, re.MULTILINE)
        ]


def blocks_of(page: str, text: str) -> list[Block]:
    """All fenced blocks of a page, from its text."""
    return [
        Block(page, text.count("\n", 0, found.start(3)) + 1, found[2], textwrap.dedent(found[3]))
        for found in _FENCE.finditer(text)
    ]


def commands() -> list[Block]:
    """The blocks of commands of all pages."""
    every = [block for page in PAGES for block in blocks_of(page, (ROOT / page).read_text())]
    return [block for block in every if block.language in COMMANDS]


def copy_of_checkout(folder: Path) -> Path:
    """Copy what a fresh clone has, without what commands have made since, and return the copy."""
    made = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "node_modules", ".*_cache", ".fuzz", ".images", ".hypothesis"
    )
    return Path(shutil.copytree(ROOT, folder / "checkout", ignore=made))
