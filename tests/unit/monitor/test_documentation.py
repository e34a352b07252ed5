"""docs/monitoring.md names what there is, and nothing else."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.monitor.families import PREFIX
from services.monitor.settings import MonitorSettings
from shared.settings import ROOT
from tests.metrics import of_monitor

PAGE = (ROOT / "docs" / "monitoring.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    documented = dict(re.findall(r"^\| `TASADOR_(MONITOR_\w+)` \| ?`?([^`|]*?)`? ?\|", PAGE, re.MULTILINE))
    fields = {n: f for n, f in MonitorSettings.model_fields.items() if n.startswith("monitor_")}
    assert set(documented) == {name.upper() for name in fields}
    for name, field in fields.items():
        default, said = _plain(field.default), documented[name.upper()]
        if isinstance(default, tuple):
            assert said == ",".join(default)
        elif isinstance(default, str):
            assert said == default or not default  # one that follows from others is described
        else:
            assert float(said) == default


def _plain(default: Any) -> Any:
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def test_every_metric_is_documented(tmp_path: Path) -> None:
    documented = set(re.findall(rf"`{PREFIX}_(\w+?)(?:_total)?(?:\{{[\w,]+\}})?`", PAGE))
    ours = rf"{PREFIX}_(?!faststream)(\w+?)(?:_total|_bucket|_sum|_count|_created)?"
    shown = {match[1] for name in of_monitor(tmp_path) if (match := re.fullmatch(ours, name))}
    assert documented == shown
