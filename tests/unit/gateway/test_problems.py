"""The one shape of all failures, and its documentation."""

import json
import re
from pathlib import Path

import pytest

from services.gateway.problems import KINDS, ErrorItem, Problem, field_errors, pointer
from shared.settings import ROOT
from shared.signature import FieldError

SOURCES = [path for path in (ROOT / "services" / "gateway").rglob("*.py") if path.name != "problems.py"]


def test_a_problem_is_a_document_of_rfc_9457() -> None:
    problem = Problem("empty-table", "no rows", errors=[ErrorItem("/instances", "missing", "expected a row")])
    assert json.loads(problem.body("id")) == {
        "type": "/problems/empty-table",
        "title": "The table has no rows",
        "status": 422,
        "detail": "no rows",
        "request_id": "id",
        "errors": [{"pointer": "/instances", "code": "missing", "detail": "expected a row"}],
    }


def test_text_that_utf8_cannot_say_does_not_spoil_the_answer() -> None:
    assert json.loads(Problem("not-found", "\ud800 ü").body("id"))["detail"] == "? ü"


def test_pointers_escape_what_they_must() -> None:
    assert pointer("instances", 3, "a/b~c") == "/instances/3/a~1b~0c"


def test_an_error_of_the_row_as_a_whole_points_at_the_row() -> None:
    (item,) = field_errors([FieldError("", "wrong_type", "no object")], "instances", 3)
    assert item.pointer == "/instances/3"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_slug_that_is_used_is_in_the_table(path: Path) -> None:
    used = re.findall(r'(?:Problem|unavailable)\(\s*"([a-z-]+)"', path.read_text())
    assert set(used) <= set(KINDS)


def test_the_documentation_lists_every_problem_with_its_status() -> None:
    text = (ROOT / "docs" / "http.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", text, re.MULTILINE))
    assert documented == {slug: str(kind.status) for slug, kind in KINDS.items()}
