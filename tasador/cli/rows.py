"""Rows as one types them: NAME=VALUE pairs, JSON, or JSON lines on standard input. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


class NotARow(ValueError):
    """What was typed cannot be read as a row."""


@dataclass(frozen=True)
class Typed:
    """The rows, and whether it was a single one that was meant."""

    rows: list[Row]
    single: bool


def read_json(text: str) -> Typed:
    """Read an object, a list of objects, `{"instances": […]}` or one object a line.

    Raises:
        NotARow
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise NotARow(f"not JSON: {error}") from None
        return Typed([_object(_loads(line, number)) for number, line in enumerate(lines, 1)], single=False)
    if isinstance(value, dict) and isinstance(value.get("instances"), list):
        value = value["instances"]
    if isinstance(value, list):
        return Typed([_object(each) for each in value], single=False)
    return Typed([_object(value)], single=True)


def read_pairs(pairs: Sequence[str], kinds: Mapping[str, str]) -> Row:
    """Read NAME=VALUE pairs; a feature's kind decides whether its value is a number. An empty value is a null.

    Raises:
        NotARow
    """
    row: Row = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise NotARow(f"{pair!r} is no NAME=VALUE pair, and no JSON object")
        if name in row:
            raise NotARow(f"{name} is given twice")
        row[name] = _value(text, kinds.get(name))
    return row


def _value(text: str, kind: str | None) -> Any:
    if text == "":
        return None
    if kind == "categorical":
        return text
    try:
        return float(text) if kind == "numeric" else json.loads(text)
    except ValueError:
        return text  # the gateway says what it expected instead


def _loads(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise NotARow(f"line {number} is not JSON: {error}") from None


def _object(value: Any) -> Row:
    if not isinstance(value, dict):
        raise NotARow(f"expected an object of feature names and values, not {json.dumps(value)[:60]}")
    return value
