from benchmarks.__main__ import _named
from benchmarks.section import Section
from benchmarks.sections import SECTIONS

SECTION = Section("module:function", "what it says", minutes=4, quick_minutes=1)


def test_without_a_name_the_short_sections_run() -> None:
    assert _named([]) == [name for name, section in SECTIONS.items() if section.short]
    assert sum(SECTIONS[name].minutes for name in _named([])) < 15


def test_all_are_all_and_none_runs_twice() -> None:
    assert _named(["all", "single"]) == list(SECTIONS)
    assert _named(["start", "single", "start"]) == ["start", "single"]


def test_a_section_is_ended_some_time_after_its_estimate() -> None:
    assert SECTION.estimate(quick=True) == 1
    assert SECTION.limit(quick=False) == 18 * 60
