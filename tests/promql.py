"""Which series an expression of PromQL asks for. No parser: promtool is one, and runs where there is an engine."""

import re
from dataclasses import dataclass
from itertools import product

_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
_MATCHER = re.compile(r"""\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\\\]|\\\\.)*)"\s*,?""")


@dataclass(frozen=True)
class Selector:
    names: tuple[str, ...]
    """More than one where the name is a pattern."""
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator, value."""


def selectors(expression: str) -> list[Selector]:
    """Return what an expression selects."""
    rest = re.sub(_GROUPING, " ", expression)
    found = []
    for name, braces in re.findall(r"([A-Za-z_:][\w:]*)?\s*(\{[^}]*\})", rest):
        matchers = tuple(_MATCHER.findall(braces[1:-1]))
        assert matchers or braces == "{}", f"cannot read {braces}"
        (patterns,) = [[v for label, _, v in matchers if label == "__name__"]]
        names = (name,) if name else tuple(n for pattern in patterns for n in alternatives(pattern))
        found.append(Selector(names, tuple(m for m in matchers if m[0] != "__name__")))
    rest = re.sub(r"[A-Za-z_:][\w:]*\s*\{[^}]*\}|\{[^}]*\}|\"[^\"]*\"", " ", rest)
    rest = re.sub(r"\[[^\]]*\]", " ", rest)  # ranges
    plain = re.findall(r"(?<![\w.])([A-Za-z_:][\w:]*)\b(?!\s*\()", rest)
    return found + [Selector((name,), ()) for name in plain if name not in _WORDS]


def grouped_labels(expression: str) -> set[str]:
    """Return the labels that an expression groups or joins by."""
    return {label for labels in re.findall(_GROUPING, expression) for label in re.findall(r"\w+", labels)}


def alternatives(pattern: str) -> list[str]:
    """Return all that a pattern of plain words, `|` and groups matches: `a_(b|c)|d` is a_b, a_c and d."""
    pieces = [piece for piece in re.split(r"(\([^)]*\))", pattern) if piece]
    if len(pieces) == 1 and not pattern.startswith("("):
        return pattern.split("|")
    outer = re.split(r"\|(?![^(]*\))", pattern)
    if len(outer) > 1:
        return [name for part in outer for name in alternatives(part)]
    choices = [piece[1:-1].split("|") if piece.startswith("(") else [piece] for piece in pieces]
    return ["".join(choice) for choice in product(*choices)]
