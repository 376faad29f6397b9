"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from shared.contract.settings import settings_table

README = Path(__file__).parents[2] / "README.md"
MARKED = re.compile(r"<!-- settings -->\n(.*?)<!-- /?settings -->", re.DOTALL)


def test_the_settings_table_is_the_one_the_code_prints() -> None:
    tables = MARKED.findall(README.read_text())
    assert [table.strip() for table in tables] == [settings_table().strip()], (
        "put the output of `python -m shared.contract.settings` between `<!-- settings -->` and `<!-- /settings -->`"
    )
