"""The queries of a Grafana dashboard, as Prometheus gets them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.settings import ROOT

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h", "__range_s": "3600"}
"""What Grafana puts in by itself: here as for an hour on a screen, with scrapes 15 s apart."""


def panels(path: Path) -> list[dict[str, Any]]:
    """Return all panels of a dashboard, those in collapsed rows too."""
    return list(_panels(json.loads(path.read_text(encoding="utf-8"))["panels"]))


def queries(path: Path) -> list[tuple[str, str]]:
    """Return the title of the panel and the expression of every query, with variables put in."""
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    variables = {v["name"]: str(v["current"]["value"]) for v in dashboard["templating"]["list"]}
    return [
        (panel["title"], _expand(target["expr"], BUILT_IN | variables))
        for panel in _panels(dashboard["panels"])
        for target in panel.get("targets", ())
    ]


def _panels(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in found:
        yield panel
        yield from _panels(panel.get("panels", []))


def _expand(expression: str, values: dict[str, str]) -> str:
    """Put variables in; one that does not exist is a KeyError."""
    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", lambda found: values[found[1] or found[2]], expression)
