"""The pages that quote results against the results, and the page of benchmarks against the sections."""

import os
import re
import socket
from pathlib import Path

import pytest

from benchmarks.page import PAGE, QUOTING, fill, quoted
from benchmarks.results import DIRECTORY, read_results
from benchmarks.section import Section
from benchmarks.sections import SECTIONS
from shared.settings import ROOT


@pytest.mark.parametrize("page", QUOTING, ids=lambda page: page.name)
def test_the_figures_are_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == fill(text, read_results()), "run `.venv/bin/python -m benchmarks.page`"


def test_the_page_shows_every_section() -> None:
    assert sorted(quoted(PAGE.read_text(encoding="utf-8"))) == sorted(SECTIONS)


def test_the_page_lists_every_section() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {name: section.says for name, section in SECTIONS.items()}


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_section_is_where_it_says(section: Section) -> None:
    module, _, function = section.where.partition(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert f"\ndef {function}(run: Run) -> Iterator[Table]:" in source


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_is_of_a_section_and_says_nothing_of_where_it_was_measured(path: Path) -> None:
    assert read_results()[path.stem].section in SECTIONS
    text = path.read_text(encoding="utf-8")
    assert not [secret for secret in (str(ROOT), socket.gethostname(), os.path.expanduser("~/")) if secret in text]
