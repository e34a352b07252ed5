"""A challenger and a champion that were really trained, exported and sealed, on the same rows."""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer.comparison import Comparison
from services.trainer.labels import Labels, to_rows
from services.trainer.reported import Reported
from services.trainer.tracking import tracking
from services.trainer.training import Trained, train
from shared.artifact import Artifact, fetch, upload
from shared.store import Store
from tests.labels import labelled_table
from tests.mlflow_database import an_empty_database
from tests.tables import as_csv, some_params

ROWS = 600
GOOD = {"random_forest": {"n_estimators": 20, "max_depth": 8, "max_features": 0.9}}
POOR = {"random_forest": {"n_estimators": 2, "max_depth": 1}}


def a_table(rows: int = ROWS, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    return {"x": x.tolist(), "z": z.tolist(), "y": (3 * x + z + rng.normal(0, 0.3, rows)).tolist()}


@dataclass
class Ring:
    """Trains one version after the other; the latest that was crowned is the champion."""

    directory: Path
    champion: Artifact | None = None
    crowned: dict[str, Artifact] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.directory / 'mlflow' / 'mlflow.db'}"

    async def crown(self, **sections: Any) -> None:
        """Train a champion; one like it was perhaps trained for an earlier test, and nothing in it depends on that."""
        if (wanted := repr(sections)) not in self.crowned:
            trained = self.train(**sections)
            store = Store.open((self.directory / "store").as_uri())
            digest = await upload(store, trained.directory)
            self.crowned[wanted] = await fetch(store, trained.name, trained.version, digest)
        self.champion = self.crowned[wanted]

    def train(self, table: dict[str, Any] | None = None, labels: Labels | None = None, **sections: Any) -> Trained:
        (self.directory / "table.csv").write_bytes(as_csv(table or a_table()))
        chosen: dict[str, Any] = {"model_building": GOOD, "selection": {"cv": 2, "only": "random_forest"}} | sections
        out = self.directory / f"out{len(self.versions)}"
        self.versions.append(str(out))
        params = some_params(**chosen)
        return train(
            params, self.directory, out, self.uri, lambda *_: None, labels=labels, champion=lambda: self.champion
        )

    def challenge(self, *arguments: Any, **named: Any) -> Comparison:
        found = self.train(*arguments, **named).comparison
        assert found is not None
        return found

    def labels(
        self, actual: list[float | None], features: dict[str, Any], first: list[float] | None = None, **named: Any
    ) -> Labels:
        assert self.champion is not None
        found = Labels()
        reported = Reported.of(labelled_table(actual, features, **named))
        if first is not None:
            reported = replace(reported, first=np.array(first))
        found.groups.append(to_rows(reported, self.champion.signature, found.left_out))
        return found


@pytest.fixture(scope="module")
def _ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    directory = tmp_path_factory.mktemp("ring")
    an_empty_database(directory / "mlflow")
    return Ring(directory)


@pytest.fixture
def ring(_ring: Ring) -> Ring:
    """One ring for all, as a training takes seconds, with nobody in it."""
    _ring.champion = None
    return _ring


async def test_the_first_version_is_compared_with_nothing(ring: Ring) -> None:
    assert ring.train().comparison is None


async def test_the_same_again_predicts_the_same(ring: Ring) -> None:
    await ring.crown()
    comparison = ring.challenge()
    assert comparison.held_out is not None
    assert comparison.held_out.equal
    assert 90 < comparison.held_out.rows < 150


async def test_a_better_one_is_better_on_rows_that_neither_has_seen_and_mlflow_keeps_the_figures(ring: Ring) -> None:
    await ring.crown(model_building=POOR)
    trained = ring.train()
    assert trained.comparison is not None
    pair = trained.comparison.held_out
    assert pair is not None
    assert pair.verdict == "better"
    assert pair.challenger == pytest.approx(trained.manifest.metrics["random_forest"].test["rmse"])
    with tracking(ring.uri) as mlflow:
        run = mlflow.MlflowClient().get_run(trained.manifest.mlflow_run_id)
    assert run.data.metrics["against_champion_held_out_high"] == pair.high
    assert ring.champion is not None
    assert run.data.tags["compared_with_version"] == ring.champion.manifest.version


async def test_rows_are_those_that_are_held_out_under_the_fraction_of_both(ring: Ring) -> None:
    await ring.crown(data={"test_fraction": 0.1})
    comparison = ring.challenge(data={"test_fraction": 0.4})
    assert comparison.held_out is not None
    assert 35 < comparison.held_out.rows < 90


async def test_when_the_data_gains_a_column_rows_that_the_champion_was_trained_on_are_not_asked(ring: Ring) -> None:
    await ring.crown(data={"test_fraction": 0.4})
    wider = {**a_table(), "extra": [float(i % 7) for i in range(ROWS)]}
    comparison = ring.challenge(wider, data={"test_fraction": 0.4})
    assert comparison.held_out is not None
    assert 60 < comparison.held_out.rows < 140  # 16 %: the two draws have nothing to do with each other


async def test_a_column_that_was_dropped_is_still_there_for_the_champion(ring: Ring) -> None:
    await ring.crown()
    comparison = ring.challenge(features={"x": {"drop": True}})
    assert comparison.held_out is not None
    assert comparison.held_out.verdict == "worse"


@pytest.mark.parametrize(
    ("renamed", "sections", "reason"),
    [
        ({"x": "u"}, {}, "not all of its features any more: x"),
        ({"y": "w"}, {"data": {"target": "w"}}, "it predicts 'y', and data.target is 'w'"),
    ],
)
async def test_without_its_features_or_target_the_champion_cannot_be_asked(
    ring: Ring, renamed: dict[str, str], sections: dict[str, Any], reason: str
) -> None:
    await ring.crown()
    comparison = ring.challenge({renamed.get(name, name): values for name, values in a_table().items()}, **sections)
    assert reason in comparison.incomparable
    assert comparison.figures == {}


async def test_recent_labelled_rows_are_asked_for_themselves_though_not_trained_on(ring: Ring) -> None:
    await ring.crown(model_building=POOR)
    fresh = a_table(500, seed=2)
    recent = ring.labels(fresh.pop("y"), fresh, time=datetime.now(UTC) - timedelta(days=1))
    comparison = ring.challenge(labels=recent)
    assert comparison.labelled is not None
    assert comparison.held_out is not None
    assert 60 < comparison.labelled.rows < 140
    assert comparison.labelled.verdict == "better"
    assert comparison.held_out.rows < 150

    old = ring.labels(a_table(500, seed=3).pop("y"), fresh, time=datetime.now(UTC) - timedelta(days=31))
    assert ring.challenge(labels=old).labelled is None


@pytest.mark.parametrize("gained", [False, True])
async def test_corrected_rows_are_asked_by_the_part_that_they_were_in_before(ring: Ring, gained: bool) -> None:
    """The champion may have been trained on the others, under the values that were reported first."""
    await ring.crown()
    table = {**a_table(), **({"extra": [float(i % 7) for i in range(ROWS)]} if gained else {})}
    fresh = a_table(1000, seed=2)
    first = fresh.pop("y")

    def asked(correction: float) -> int:
        actual = [y + correction for y in first]
        labels = ring.labels(actual, fresh, first, time=datetime.now(UTC) - timedelta(days=1))
        pair = ring.challenge(table, labels, features={"extra": {"drop": True}} if gained else {}).labelled
        assert pair is not None
        return pair.rows

    assert asked(0.0) == asked(2.0)


async def test_a_row_that_was_labelled_many_times_is_one_row(ring: Ring) -> None:
    """A client that asks again and again must not decide alone who is better."""
    await ring.crown(model_building=POOR)
    told: list[float | None] = [3.0 + i for i in range(10)]
    single, copies = (
        ring.labels(told * n, {"x": [1.0] * 10 * n, "z": [0.0] * 10 * n}, time=datetime.now(UTC)) for n in (1, 100)
    )
    equal_by_now = ring.labels(
        told[:2] * 500, {"x": [1.0] * 1000, "z": [0.0] * 1000}, [0.01 * i for i in range(1000)], time=datetime.now(UTC)
    )
    few = {name: values[:60] for name, values in a_table().items()}
    settings: dict[str, Any] = {"retrain": {"labelled_rows": True}, "data": {"test_fraction": 0.2}}
    assert "at least 20 are needed" in ring.challenge(few, labels=single, **settings).incomparable
    assert "at least 20 are needed" in ring.challenge(few, labels=copies, **settings).incomparable
    assert "at least 20 are needed" in ring.challenge(few, labels=equal_by_now, **settings).incomparable


async def test_trained_on_labelled_rows_it_learns_what_has_changed(ring: Ring) -> None:
    await ring.crown()
    changed = a_table(800, seed=4)
    moved: list[float | None] = [y + 5 for y in changed.pop("y")]
    labels = ring.labels(moved, changed, time=datetime.fromtimestamp(time.time() - 3600, UTC))
    trained = ring.train(labels=labels, retrain={"labelled_rows": True})
    assert trained.comparison is not None
    assert trained.comparison.labelled is not None
    assert trained.comparison.labelled.verdict == "better"
    assert trained.manifest.rows["labelled"] == 800
    assert trained.manifest.rows["train"] + trained.manifest.rows["test"] == ROWS + 800
    assert trained.manifest.data_sha256 != ring.train().manifest.data_sha256
    assert trained.manifest.split_columns == ("x", "z", "y")
