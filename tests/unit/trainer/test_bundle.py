from pathlib import Path

import numpy as np
import pytest

from services.trainer.bundle import Bundle, build_golden, build_signature, write_bundle
from services.trainer.dataset import load_dataset
from services.trainer.evaluate import evaluate_candidates
from services.trainer.export import encode_frame, export_pipeline
from services.trainer.split import make_split
from shared.artifact import CONTENT, Golden
from shared.onnx_engine import OnnxRuntimeEngine
from shared.params import Candidate, Params
from shared.signature import RowEncoder, Signature
from tests.tables import parcel_project


class Fitted:
    def __init__(self, directory: Path, candidate: Candidate) -> None:
        self.params: Params = parcel_project(directory, selection={"cv": 2, "only": candidate})
        dataset = load_dataset(self.params, directory)
        split = make_split(dataset.digests, 0.2, 2, 42)
        (evaluation,) = evaluate_candidates(dataset, split, self.params, lambda *_: None)
        exported = export_pipeline(evaluation.pipeline)
        self.bundle = Bundle(dataset, split, evaluation.pipeline, exported, evaluation.out_of_fold)
        self.matrix = encode_frame(dataset.frame, exported)

    @property
    def signature(self) -> Signature:
        return build_signature(self.bundle, self.matrix, self.params)

    @property
    def golden(self) -> Golden:
        return build_golden(self.bundle, self.signature, self.matrix)


def test_the_signature_says_what_the_data_said(tmp_path: Path) -> None:
    signature = Fitted(tmp_path, "ridge").signature
    weight, distance, carrier, zone, insured = signature.features

    assert (signature.target.name, signature.target.unit) == ("cost", "EUR")
    assert (weight.kind, weight.nullable) == ("numeric", True)
    assert (distance.kind, distance.nullable) == ("numeric", False)
    assert (carrier.kind, carrier.nullable, carrier.example) == ("categorical", False, "north")
    assert (zone.categories, zone.nullable) == (("A", "B", "C"), True)
    assert insured.example in (0.0, 1.0)


def test_the_training_range_is_that_of_the_training_rows(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, "ridge")
    fitted.matrix[fitted.bundle.split.test[0], :2] = 1e6
    train = fitted.bundle.dataset.frame.iloc[fitted.bundle.split.train]

    assert [feature.minimum for feature in fitted.signature.features[:2]] == train.min()[
        ["weight", "distance"]
    ].tolist()
    assert [feature.maximum for feature in fitted.signature.features[:2]] == train.max()[
        ["weight", "distance"]
    ].tolist()


def test_the_example_is_a_row_that_the_model_accepts(tmp_path: Path) -> None:
    signature = Fitted(tmp_path, "ridge").signature

    assert np.isfinite(RowEncoder(signature).encode(signature.example())).all()


@pytest.mark.parametrize("candidate", ["ridge", "gradient_boosting"])
def test_the_graph_reproduces_every_golden_row(tmp_path: Path, candidate: Candidate) -> None:
    fitted = Fitted(tmp_path, candidate)
    engine, encoder = OnnxRuntimeEngine(fitted.bundle.exported.onnx), RowEncoder(fitted.signature)

    for golden in fitted.golden.rows:
        (found,) = engine.run(np.array([encoder.encode(golden.row)]))[0]
        assert abs(found - golden.prediction) <= golden.tolerance


def test_trees_get_no_tolerance_and_linear_models_the_proven_bound(tmp_path: Path) -> None:
    assert {row.tolerance for row in Fitted(tmp_path, "gradient_boosting").golden.rows} == {0.0}
    assert all(0 < row.tolerance < 1e-10 for row in Fitted(tmp_path, "ridge").golden.rows)


def test_golden_rows_hold_each_null_and_unknown_alone_and_all_of_them_together(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, "ridge")
    edges = [row.row for row in fitted.golden.rows[50:]]
    example = fitted.signature.example()

    assert len(fitted.golden.rows) >= 50
    assert {**example, "weight": None} in edges
    assert {**example, "zone": None} in edges
    encoded = RowEncoder(fitted.signature).encode(edges[-1])
    assert np.isnan(encoded[0])
    assert encoded[2:4] == [-1.0, -1.0]


def test_golden_rows_survive_json_to_the_last_bit(tmp_path: Path) -> None:
    golden = Fitted(tmp_path, "ridge").golden

    assert Golden.model_validate_json(golden.model_dump_json()) == golden


def test_every_file_but_the_manifest_is_written(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, "ridge")
    write_bundle(fitted.bundle, fitted.params, tmp_path / "out" / "deep")

    assert sorted(path.name for path in (tmp_path / "out" / "deep").iterdir()) == sorted(CONTENT)
