from pathlib import Path

import pytest

from tasador.stack.commands import SERVICES
from tasador.stack.reload import changed_services

ROOT = Path("/repo")


@pytest.mark.parametrize(
    ("changed", "services"),
    [
        ("services/scorer/score.py", {"scorer"}),
        ("services/gateway/jobs/routes.py", {"gateway"}),
        ("services/__init__.py", set()),
        ("shared/keys.py", set(SERVICES)),
    ],
)
def test_a_change_concerns_the_service_it_belongs_to(changed: str, services: set[str]) -> None:
    same = {ROOT / "services/monitor/stats.py": 1}
    before, after = {**same, ROOT / changed: 1}, {**same, ROOT / changed: 2}
    assert changed_services(ROOT, before, after) == services
    assert changed_services(ROOT, same, after) == services  # it is new
    assert changed_services(ROOT, before, same) == services  # it is gone
    assert changed_services(ROOT, before, before) == set()
