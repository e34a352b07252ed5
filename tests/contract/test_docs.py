"""The documentation against the code. `params.yaml` and the problems have tests of their own beside their code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.settings import PREFIX, ROOT
from shared.variables import variables
from tasador.sources import settings_classes

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
SECTIONS = {
    "common": "Every process",
    "stack": "The launcher and the command line",
    "gateway": "Gateway",
    "scorer": "Scorer",
    "trainer": "Trainer",
    "monitor": "Monitor",
}
DERIVED = {f"{PREFIX}REPLICA_ID": "host, pid and a random part"}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _default(variable: str, value: Any) -> str:
    """Return a default as the page writes it."""
    if variable in DERIVED:
        return DERIVED[variable]
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = value.relative_to(ROOT)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and not variable.endswith("_PORT"):
        return f"{value:,}".removesuffix(".0")
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def _settings() -> dict[str, dict[str, str]]:
    """Return, by who reads it, each variable with its default; what several read counts once."""
    shown: set[str] = set()
    found: dict[str, dict[str, str]] = {}
    for of, kind in settings_classes().items():
        fields = {name: field for name, field in kind.model_fields.items() if name not in shown}
        shown |= set(fields)
        found[of] = {
            (variable := PREFIX + name.upper()): _default(variable, field.get_default(call_default_factory=True))
            for name, field in fields.items()
        }
    return found


def _documented(heading: str) -> dict[str, str]:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(TASADOR_\w+)` \| (.*?) ?\| \S", section, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable is listed twice"
    return {variable: default.strip("`") for variable, default in rows}


@pytest.mark.parametrize("of", SECTIONS)
def test_every_variable_is_documented_with_its_default_and_no_other(of: str) -> None:
    assert _documented(SECTIONS[of]) == _settings()[of]


def test_no_page_names_a_variable_that_does_not_exist() -> None:
    known = set().union(*(variables(kind) for kind in settings_classes().values()))
    named = {
        (name, page.name)
        for page in PAGES
        for name in re.findall(r"TASADOR_[A-Z][A-Z0-9_]*[A-Z0-9](?![A-Z0-9_])", page.read_text(encoding="utf-8"))
    }
    assert {(name, page) for name, page in named if name not in known} == set()


def _links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in _anchors(found), target


@pages
def test_every_file_and_test_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:services|shared|tasador|tests|requirements)/[\w/.-]+)", text):
        assert (ROOT / path).exists(), path
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in _links(page) if target[0] != "#"]
    assert set(PAGES) - reached == set()


def test_the_readme_predicts_with_a_row_of_the_example() -> None:
    (header, first, *_) = (ROOT / "data" / "boston.csv").read_text().splitlines()
    row = dict(zip(header.split(","), map(float, first.split(",")), strict=True))
    del row["MEDV"]
    (sent,) = re.findall(r"/predict -H '[^']*' -d '(\{.*?\})'", (ROOT / "README.md").read_text(), re.DOTALL)
    assert json.loads(sent) == row
