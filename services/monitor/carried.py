"""What a version's manifest carries for the monitor. Pure."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def read_section(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a section of params.yaml as a dataclass: what it leaves out is the default, what is unknown is ignored."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    return kind(**{name: value for name, value in values.items() if name in names})
