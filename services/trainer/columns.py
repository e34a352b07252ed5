"""Decides what each column of the table is: a number, a category, no feature, or a reason to refuse the data."""

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.trainer.table import DataUnusable, RawColumn, Table
from shared.params import FeatureParams, Kind, Params
from shared.signature import MAX_MAGNITUDE

MIN_ROWS = 50  # fewer leave no folds worth the name
MAX_CATEGORIES = 250  # one-hot columns of one feature; more is an identifier or free text
_MAX_EXACT = 2**53  # larger integers have no float64 of their own
_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """A feature, as the pipeline treats it."""

    name: str
    kind: Kind
    nullable: bool


@dataclass
class Chosen:
    """The features, in file order, each with its cells; and what is worth telling about the data."""

    features: list[tuple[Column, RawColumn]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def choose_features(table: Table, params: Params) -> Chosen:
    """Decide what each column is; where `params.features` is silent, the data decides.

    Raises:
        DataUnusable: with all problems of all columns.
    """
    chosen, problems = Chosen(), _problems_of_the_whole(table, params)
    for raw in table.columns:
        wish = params.features.get(raw.name, FeatureParams())
        if wish.drop or raw.name == params.data.target:
            continue
        cells = _Cells(raw, table.lines)
        if not raw.name:
            problems.append("a column has no name: give it one, or drop it with features: {'': {drop: true}}")
        elif reason := _useless(cells, wish):
            chosen.findings.append(f"column {raw.name!r}: {reason}; not used as a feature")
        else:
            problems += _problems(cells, wish)
            chosen.findings += _null_finding(cells)
            nullable = bool(cells.null.any()) or wish.nullable is True
            chosen.features.append((Column(raw.name, _kind(cells, wish) or "numeric", nullable), raw))
    if not chosen.features and not problems:
        problems.append("no feature is left: every column is the target, dropped, constant or empty")
    if problems:
        raise DataUnusable(problems)
    return chosen


class _Cells:
    """A column with its masks: which cells are null, which are words."""

    def __init__(self, raw: RawColumn, lines: NDArray[np.int64]) -> None:
        self.raw, self._lines = raw, lines
        self.null, self.words = raw.null(), raw.words()

    def shown(self, mask: Mask) -> str:
        """Return e.g. "3 of 506 values ('abc' on line 17, ...) are"."""
        rows = np.flatnonzero(mask).tolist()
        examples = [f"{self._example(row)} line {self._lines[row]}" for row in rows[:3]]
        more = ", ..." if len(rows) > 3 else ""
        return f"{len(rows)} of {len(mask)} values ({', '.join(examples)}{more}) are"

    def _example(self, row: int) -> str:
        cell = self.raw.cells[row]
        return "on" if cell is None else f"{cell[:40]!r} on"


def _kind(cells: _Cells, wish: FeatureParams) -> Kind | None:
    """Return the column's kind, or None for numbers mixed with some words."""
    if wish.kind is not None:
        return wish.kind
    words, numbers = int(cells.words.sum()), int((~cells.words & ~cells.null).sum())
    if words == 0:
        return "numeric"
    return "categorical" if words >= numbers else None


def _useless(cells: _Cells, wish: FeatureParams) -> str | None:
    values = {cell for cell in cells.raw.cells if cell is not None}
    if not values:
        return "empty"
    if _kind(cells, wish) == "numeric":
        same = not cells.words.any() and len(np.unique(cells.raw.numbers[~cells.null])) == 1
    else:  # a category that is either given or null does tell something
        same = len(values) == 1 and not cells.null.any()
    return f"constant ({min(values)!r})" if same else None


def _problems(cells: _Cells, wish: FeatureParams) -> list[str]:
    name, kind = cells.raw.name, _kind(cells, wish)
    if kind is None or (kind == "numeric" and cells.words.any()):
        return [
            f"column {name!r}: {cells.shown(cells.words)} not numbers, the others are: correct them, list the word"
            f" in data.null_values, or set features.{name}.kind to categorical"
        ]
    where = f"column {name!r}"
    problems = _bad_categories(where, cells) if kind == "categorical" else _bad_numbers(where, cells)
    if cells.null.any() and wish.nullable is False:
        problems.append(f"{where}: {cells.shown(cells.null)} null, but features.{name}.nullable is false")
    return problems


def _bad_categories(where: str, cells: _Cells) -> list[str]:
    counts = Counter(cell for cell in cells.raw.cells if cell is not None)
    if len(counts) <= MAX_CATEGORIES:
        return []
    advice = f"drop it (features.{cells.raw.name}.drop: true) or merge rare values"
    return [f"{where}: {len(counts)} categories are more than {MAX_CATEGORIES}; {advice}"]


def _bad_numbers(where: str, cells: _Cells) -> list[str]:
    problems, size = [], np.abs(cells.raw.numbers)
    huge = size > MAX_MAGNITUDE  # NaN compares false
    if huge.any():
        shown = cells.shown(huge)
        problems.append(f"{where}: {shown} infinite or beyond ±{MAX_MAGNITUDE:g}; correct or empty those cells")
    inexact = (size >= _MAX_EXACT) & ~huge
    inexact[inexact] = [_loses_digits(cells.raw.cells[row]) for row in np.flatnonzero(inexact).tolist()]
    if inexact.any():
        advice = "drop the column if it is an identifier, or set its kind to categorical"
        problems.append(f"{where}: {cells.shown(inexact)} integers beyond 2^53, which float64 would change; {advice}")
    return problems


def _loses_digits(cell: str | None) -> bool:
    return cell is not None and _INTEGER.fullmatch(cell) is not None and abs(int(cell)) > _MAX_EXACT


def _null_finding(cells: _Cells) -> list[str]:
    nulls = int(cells.null.sum())
    return [f"column {cells.raw.name!r}: {nulls} of {len(cells.null)} values are null; nullable"] if nulls else []


def _problems_of_the_whole(table: Table, params: Params) -> list[str]:
    names = [column.name for column in table.columns]
    target = params.data.target
    problems = [
        f"features.{name}: the data has no such column{_did_you_mean(name, names)}"
        for name in params.features
        if name not in names
    ]
    if len(table) < MIN_ROWS:
        problems.append(f"{len(table)} rows are too few: at least {MIN_ROWS} are needed")
    if target in params.features:
        problems.append(f"features.{target}: this is the target; nothing can be overruled there")
    if target not in names:
        return [*problems, f"data.target: the data has no column {target!r}{_did_you_mean(target, names)}"]
    return problems + _problems_of_the_target(_Cells(table.columns[names.index(target)], table.lines))


def _did_you_mean(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (it has {', '.join(names[:30])})"


def _problems_of_the_target(cells: _Cells) -> list[str]:
    where, problems = f"target {cells.raw.name!r}", []
    if cells.words.any():
        problems.append(f"{where}: {cells.shown(cells.words)} not numbers; only numbers can be predicted")
    if cells.null.any():
        problems.append(f"{where}: {cells.shown(cells.null)} null; remove those rows")
    problems += _bad_numbers(where, cells)
    if not problems and len(np.unique(cells.raw.numbers)) == 1:
        problems.append(f"{where}: all values are equal; there is nothing to predict")
    return problems
