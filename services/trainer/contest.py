"""The challenger against the champion: both predict the same rows, which neither was trained on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from services.trainer.comparison import Comparison, Paired
from services.trainer.labelled import RawRows
from services.trainer.paired import compare
from services.trainer.split import held_out
from shared.artifact import Artifact, ArtifactInvalid, Manifest
from shared.engine import load_model
from shared.params import Params
from shared.signature import MAX_MAGNITUDE, UNKNOWN_CATEGORY, Feature, Signature

MIN_ROWS = 20  # different ones; fewer cannot tell two models apart

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Challenger:
    """A version that was just trained."""

    signature: Signature
    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """By the engine that will serve it: encoded rows to predictions."""


class Incomparable(ValueError):
    """The two cannot be compared; the message says why."""


def hold_contest(challenger: Challenger, champion: Artifact, rows: RawRows, trained: int, params: Params) -> Comparison:
    """Compare the two on what neither has seen.

    Args:
        trained: how many of `rows`, from the first on, are the data that the challenger was made from.
    """
    version = champion.manifest.version
    try:
        unseen = _unseen(champion, rows, params)
        x, fits = _encoded(champion.signature, rows)
        unseen &= fits
        recent = rows.answered >= time.time() - params.quality.window  # NaN, a row of the data, compares false
        data = unseen & (np.arange(len(unseen)) < trained)
        if (found := len(set(compress(rows.contents, data)))) < MIN_ROWS:
            raise Incomparable(
                f"{found} different rows were seen by neither and fit both, and at least {MIN_ROWS} are needed"
            )
        model = load_model(champion)
        judged = np.flatnonzero(data | (unseen & recent))
        new = challenger.predict(_encoded(challenger.signature, rows)[0][judged])
        old = model.predict(x[judged])
    except ArtifactInvalid as invalid:
        return Comparison(version, f"the champion cannot be loaded: {invalid}")
    except Incomparable as reason:
        return Comparison(version, str(reason))
    actual = rows.column(params.data.target).numbers[judged]

    def paired(mask: Mask) -> Paired | None:
        on = mask[judged]
        if not on.any():
            return None
        _, distinct = np.unique(list(compress(rows.contents, mask)), return_inverse=True)
        return compare(actual[on], new[on], old[on], params.selection.metric, distinct)

    return Comparison(version, held_out=paired(data), labelled=paired(unseen & recent))


def _unseen(champion: Artifact, rows: RawRows, params: Params) -> Mask:
    """Return the rows that are tested on by the rule of both.

    The champion's rule is the columns and the share of its own training. One of an older release does not tell them:
    the present ones are taken, and if they are others it is compared on rows that it knows, to its advantage.
    """
    manifest, target = champion.manifest, champion.signature.target.name
    if target != params.data.target:
        raise Incomparable(f"it predicts {target!r}, and data.target is {params.data.target!r}")
    _require("its features", champion.signature.names, rows)
    _require("the columns that its test rows were drawn by", manifest.split_columns, rows)
    fraction = params.data.test_fraction
    by_challenger = held_out(rows.digests, fraction)
    return by_challenger & held_out(_digests_of(manifest, rows), manifest.test_fraction or fraction)


def _require(what: str, names: Sequence[str], rows: RawRows) -> None:
    gone = [name for name in names if name not in rows.names]
    if gone:
        raise Incomparable(f"the data has not all of {what} any more: {', '.join(gone[:10])}")


def _digests_of(manifest: Manifest, rows: RawRows) -> list[bytes]:
    if not manifest.split_columns or set(manifest.split_columns) == set(rows.names):
        return rows.digests
    return rows.digests_by(manifest.split_columns)


def _encoded(signature: Signature, rows: RawRows) -> tuple[NDArray[np.float64], Mask]:
    """Return the rows as a version reads them, and which of them it takes."""
    x = np.empty((len(rows.digests), len(signature.features)))
    fits = np.ones(len(x), np.bool_)
    for index, feature in enumerate(signature.features):
        x[:, index], taken = _column(feature, rows)
        fits &= taken
    return x, fits


def _column(feature: Feature, rows: RawRows) -> tuple[NDArray[np.float64], Mask]:
    column = rows.column(feature.name)
    if feature.kind == "numeric":
        values, taken = column.numbers, ~column.words() & ~(np.abs(column.numbers) > MAX_MAGNITUDE)
    else:
        codes = {category: float(code) for code, category in enumerate(feature.categories)}
        values = np.array([np.nan if c is None else codes.get(c, UNKNOWN_CATEGORY) for c in column.cells], np.float64)
        taken = (values != UNKNOWN_CATEGORY) | feature.accepts_unknown
    if not feature.nullable:
        taken &= ~column.null()
    if feature.name in rows.lacking:
        taken &= ~rows.lacking[feature.name]
    return values, taken
