"""Builders of data to train on."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.trainer.table import Table, read_table
from shared.params import NULL_VALUES, Params

PARCEL_TARGET = "cost"


def some_params(target: str = "y", source: str = "table.csv", **sections: Any) -> Params:
    """Params with defaults; `data` adds to the section, any other argument is a whole section."""
    data = {"source": source, "target": target, **sections.pop("data", {})}
    return Params.model_validate({"model": {"name": "test"}, "data": data, **sections})


def as_csv(columns: Mapping[str, Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def a_table(**columns: Sequence[object]) -> Table:
    """A table of 60 rows: each column is repeated to that length; `y` is 0, 1, 2, ... unless given."""
    filled: dict[str, Sequence[object]] = {
        "y": list(range(60)),
        **{name: repeated(values) for name, values in columns.items()},
    }
    return read_table(as_csv(filled), NULL_VALUES)


def repeated(values: Sequence[object], count: int = 60) -> list[object]:
    return [values[i % len(values)] for i in range(count)]


def parcels(rows: int = 400, seed: int = 7) -> bytes:
    """What sending a parcel costs: numbers and categories, both with nulls, rare categories, a constant, a flag."""
    rng = np.random.default_rng(seed)
    weight, distance = rng.gamma(2.0, 3.0, rows).round(3), rng.integers(1, 2000, rows)
    carrier = rng.choice(["north", "ocean, slow", "rail", "Übersee", "rare"], rows, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    zone = rng.choice(["A", "B", "C"], rows)
    cost = 3.0 + 0.8 * weight + 0.01 * distance + 4.0 * (carrier == "Übersee") + rng.normal(0.0, 0.5, rows)
    return as_csv(
        {
            "weight": np.where(rng.random(rows) < 0.1, "NA", weight.astype(str)).tolist(),
            "distance": distance.tolist(),
            "carrier": carrier.tolist(),
            "zone": np.where(rng.random(rows) < 0.15, "", zone).tolist(),
            "currency": ["EUR"] * rows,
            "insured": rng.integers(0, 2, rows).tolist(),
            PARCEL_TARGET: cost.round(2).tolist(),
        }
    )


def parcel_project(directory: Path, **sections: Any) -> Params:
    """Write the parcels into a directory and return params that train on them quickly."""
    (directory / "parcels.csv").write_bytes(parcels())
    building = {"random_forest": {"n_estimators": 10, "max_depth": 6}, "gradient_boosting": {"n_estimators": 20}}
    defaults = {"model_building": building, "selection": {"cv": 3}, "data": {"unit": "EUR"}}
    return some_params(PARCEL_TARGET, "parcels.csv", **{**defaults, **sections})
