"""README and docs show what the code says and what was recorded: every table and number that `make docs` writes."""

from __future__ import annotations

import pytest

from bench import shown
from tests.documents.front import iou_text
from tests.documents.quoted import QUOTED, Quoted
from tests.documents.tables import TABLES, Table, page


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.mark}")
def test_a_table_is_the_one_that_is_made(table: Table) -> None:
    assert table.shown_in(page(table.page)) == table.content(), "run `make docs`"


@pytest.mark.parametrize("number", QUOTED, ids=lambda number: f"{number.page}: {number.sentence}")
def test_a_number_that_stands_twice_comes_from_one_record(number: Quoted) -> None:
    assert number.shown_in(page(number.page)) == number.value(), "run `make docs`"


def test_a_number_is_found_across_lines_and_renewed_in_its_place() -> None:
    number = Quoted("a.md", "it was {} on average", lambda: "0.5")
    text = "In the run it was\n0.25 on\naverage, not 0.25."
    assert number.shown_in(text) == "0.25"
    assert number.renewed(text) == "In the run it was\n0.5 on\naverage, not 0.25."


@pytest.mark.parametrize("text", ["it is 1", "it was 1, and then it was 2, and"])
def test_a_sentence_that_is_gone_or_doubled_is_an_error(text: str) -> None:
    with pytest.raises(LookupError, match="needs it once"):
        Quoted("a.md", "it was {},", lambda: "1").shown_in(text)


def test_a_table_is_renewed_between_its_marks() -> None:
    table = Table("a.md", "t", lambda: "new\n")
    assert table.renewed("# A\n<!-- t -->\nold\n<!-- /t -->\nold\n") == "# A\n<!-- t -->\nnew\n<!-- /t -->\nold\n"
    with pytest.raises(LookupError, match="0 parts"):
        table.shown_in("# A\n")


@pytest.mark.parametrize(
    ("value", "text"), [(0.994189, "0.9942"), (0.999769, "0.99977"), (0.871306, "0.87"), (1, "1.00")]
)
def test_an_iou_has_two_digits_more_than_nines(value: float, text: str) -> None:
    assert iou_text(value) == text


@pytest.mark.parametrize("kind", shown.PATTERNS)
def test_a_record_that_is_shown_is_one_of_its_kind_and_whole(kind: str) -> None:
    assert shown.shown(kind) in set(shown.ROOT.glob(shown.PATTERNS[kind]))
    assert '"quick": false' in shown.shown(kind).read_text()
