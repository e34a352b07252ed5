"""Reading JSON from callers: fast where it is JSON, and able to say what is wrong where it is not."""

import json
import math
from typing import Any

import msgspec

from services.gateway.tables.block import NotATable

UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

_decode = msgspec.json.Decoder().decode


def parse(text: bytes) -> Any:
    """Decode one JSON text.

    Literals that JSON does not have but many writers produce (NaN, Infinity), and numbers too large for a double, come
    back as such floats, so that the row encoder can name the field.

    Raises:
        NotATable: with the place within `text`.
    """
    try:
        string = text.decode()
        return _decode(text)
    except UnicodeDecodeError as error:
        raise _at(text, error.start, "this is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(string, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise NotATable(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise NotATable("nested too deeply", 1, 1) from None


def _integer(digits: str) -> int | float:
    if len(digits) < 400:  # a double has at most 309 digits; int() would take quadratic time
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _at(text: bytes, position: int, detail: str) -> NotATable:
    line_start = text.rfind(b"\n", 0, position) + 1
    return NotATable(detail, text.count(b"\n", 0, position) + 1, position - line_start + 1)
