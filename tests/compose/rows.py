"""What is trained and scored here: the example's data, with a model that is made in seconds."""

import csv
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from shared.settings import ROOT
from tasador.client import Client

TARGET = "MEDV"
BATCH = 10_000
"""What `/predict/batch` takes."""

Row = dict[str, float]


def write_params(path: Path, *, trees: int) -> Path:
    """Write, or overwrite, what another number of trees makes another model of."""
    path.write_text(
        f"""\
model: {{name: boston-housing}}
data: {{source: data/boston.csv, target: {TARGET}, unit: 1000 USD}}
model_building:
  random_forest: {{n_estimators: {trees}, max_depth: 10, seed: 1}}
selection: {{cv: 2, only: random_forest}}
"""
    )
    path.chmod(0o644)
    return path


def some_rows(count: int, seed: int = 1) -> list[Row]:
    """Return rows of the example, each a little different from all others."""
    with (ROOT / "data" / "boston.csv").open() as file:
        example = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    chance = random.Random(seed)
    drawn = ({**chance.choice(example), "RM": round(chance.uniform(3.6, 8.7), 6)} for _ in range(count))
    return [{name: value for name, value in row.items() if name != TARGET} for row in drawn]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


def predicted_at_once(client: Client, rows: Sequence[Row]) -> list[float | None]:
    """Return what the model in service says, by the way of `/predict/batch`."""
    return [prediction for batch in _batches(rows) for prediction in client.predict_batch(batch).predictions]


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch
