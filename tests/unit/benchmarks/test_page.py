from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from benchmarks.page import fill, quoted
from benchmarks.results import Machine, Result, read_results, write_result
from benchmarks.tables import Column, Table

MACHINE = Machine("A processor", 2, 24, "Linux 6.1", "3.11.7")
TABLES = [Table(name, f"The {name}", [Column("what"), Column("s")], [["it", 1.0]]) for name in ("first", "second")]
RESULT = Result(
    section="single",
    date="2026-01-02",
    commit="abc1234",
    command='make bench ARGS="single"',
    quick=False,
    seconds=121,
    machine=MACHINE,
    load_before=(0.1, 0.2, 0.3),
    load_after=(1, 2, 3),
    versions={"wrk": "4.1.0"},
    tables=TABLES,
)
PAGE = """\
# Page

<!-- results: single -->

old

<!-- end -->

Prose.

<!-- table: single/second -->
<!-- end -->
"""


@dataclass
class Filled:
    text: str
    results: dict[str, Result] = field(default_factory=lambda: {"single": RESULT})

    def __str__(self) -> str:
        return fill(self.text, self.results)


def test_a_page_shows_all_tables_of_a_section_and_where_they_come_from() -> None:
    whole, prose, one = str(Filled(PAGE)).partition("Prose.")
    assert prose
    assert "The first" in whole
    assert "The second" in whole
    assert "old" not in whole
    assert (
        'Measured: 2026-01-02, commit abc1234, 2 minutes: `make bench ARGS="single"`; A processor, 2 cores, 24 GB,'
        " Linux 6.1, Python 3.11.7; load average before and after: 0.1/0.2/0.3, 1/2/3; wrk 4.1.0." in whole
    )
    assert "The first" not in one
    assert "| it | 1 |" in one


def test_filling_twice_changes_nothing() -> None:
    once = str(Filled(PAGE))
    assert str(Filled(once)) == once


def test_what_is_not_measured_says_how_to() -> None:
    assert 'Not measured yet: `make bench ARGS="single"`.' in str(Filled(PAGE, {}))


def test_a_quick_run_says_that_it_is_one() -> None:
    assert "one short round" in str(Filled(PAGE, {"single": msgspec.structs.replace(RESULT, quick=True)}))


def test_a_table_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="third"):
        fill("<!-- table: single/third -->\n<!-- end -->", {"single": RESULT})


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_result(RESULT, tmp_path)
    assert read_results(tmp_path) == {"single": RESULT}


def test_the_sections_that_a_page_shows() -> None:
    assert quoted(PAGE) == ["single"]
