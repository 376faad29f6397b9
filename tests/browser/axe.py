"""Runs axe-core, which finds accessibility faults of a page. It is fetched once per machine, and verified."""

from __future__ import annotations

from shared.contract.models import WeightsFile
from shared.contract.settings import Settings
from shared.weights.fetch import fetch_files, fetch_lock
from tests.browser.page import Page

_VERSION = "4.14.1"
_SIZE, _SHA256 = 708_405, "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
_SCRIPT = WeightsFile(
    name="axe.min.js",
    member="package/axe.min.js",
    size=653_780,
    sha256="29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
)

_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  ({violations}) => done(violations.flatMap(({id, impact, nodes}) =>
    nodes.map((node) => `${impact}: ${id}: ${node.html.slice(0, 200)}`))),
  (error) => done([String(error)]));
"""


def axe_script() -> str:
    """Return the text of axe-core."""
    folder = Settings.from_env().weights_folder / f"axe-core-{_VERSION}"
    path = folder / _SCRIPT.name
    if not path.exists():
        with fetch_lock(folder):
            if not path.exists():  # another process may have fetched it while this one waited
                fetch_files(f"axe-core@{_VERSION}", [_SCRIPT], folder, size=_SIZE, sha256=_SHA256)
    return path.read_text()


def violations(page: Page, axe: str) -> list[str]:
    """Return the faults of the page as it is shown now: impact, rule and element of each one.

    Args:
        axe: the text of axe-core.
    """
    page.script(axe)
    return list(page.script_until_done(_RUN))
