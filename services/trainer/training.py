"""One training, from the data to a registered version and its finished artifact on disk.

Plain arguments and a plain result, so that it can run in a process of its own. Promoting is up to the caller.
"""

import platform
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path

from services.trainer.bundle import Bundle, write_bundle
from services.trainer.comparison import Comparison
from services.trainer.contest import Challenger, hold_contest
from services.trainer.dataset import Dataset, load_dataset
from services.trainer.error_model import ErrorModelBuilt, build_error_model
from services.trainer.evaluate import Evaluation, Progress, evaluate_candidates, importance, select
from services.trainer.export import Exported, encode_frame, export_pipeline
from services.trainer.labels import Labels
from services.trainer.parity import ParityReport, check_parity
from services.trainer.plots import Residuals, draw_plots
from services.trainer.registry import Registered, RunRecord, register_run
from services.trainer.split import Split, make_split, require_values
from services.trainer.tracking import check_registry
from shared.artifact import ERROR_ONNX, SIGNATURE, Artifact, Manifest, seal
from shared.engines import choose_engine
from shared.params import Params, flat
from shared.signature import Signature
from shared.telemetry import get_logger

LIBRARIES = ("scikit-learn", "numpy", "pandas", "scipy", "onnx", "onnxruntime", "mlflow", "skops")
REQUIREMENTS = ("scikit-learn", "numpy", "pandas", "scipy", "skops")
PARITY_SEED = 0
_PROBED = 100  # rows on which a kernel is compared with its definition

log = get_logger(__name__)


@dataclass(frozen=True)
class Trained:
    """A version that is registered and lies, sealed, in `directory`."""

    name: str
    version: str
    directory: Path
    manifest: Manifest
    findings: tuple[str, ...]
    """What was noticed about the data, by column name."""
    comparison: Comparison | None
    """With the champion; None where there is none."""


@dataclass(frozen=True, eq=False)
class _Selection:
    """What came of the candidates."""

    dataset: Dataset
    split: Split
    evaluations: tuple[Evaluation, ...]
    selected: Evaluation


def train(
    params: Params,
    base_dir: Path,
    out_dir: Path,
    mlflow_uri: str,
    progress: Progress,
    *,
    taken: Collection[str] = (),
    revision: str = "",
    labels: Labels | None = None,
    champion: Callable[[], Artifact | Comparison | None] = lambda: None,
) -> Trained:
    """Load, split, cross-validate, select, export, prove, compare with the champion, register, write the artifact.

    Args:
        base_dir: where a relative `data.source` starts.
        out_dir: gets the artifact's files; created when missing.
        taken: versions that the store has already; the new one is none of them, even if MLflow has forgotten them.
        revision: of the code, as whoever built it says; without one, git is asked.
        labels: rows whose actual values were reported.
        champion: returns it, or says that it cannot be compared. Asked at the end: it may be another by then.
        progress: hears of load, cross-validation, export, parity, error model, compare, register and write, as they
            begin.

    Raises:
        ValueError: SourceUnavailable, DataUnusable, ExportRefused or ParityFailed; the message is for the owner of the
            data and the parameters. Nothing has been registered then.
        RegistryUnusable: MLflow's server; the version has not been registered.
    """
    progress("load", 0, 0)
    dataset = _load(params, base_dir, labels)
    check_registry(mlflow_uri)
    selection = _evaluate(params, dataset, progress)
    progress("export", 0, 0)
    pipeline = selection.selected.pipeline
    exported = export_pipeline(pipeline)
    bundle = Bundle(selection.dataset, selection.split, pipeline, exported, selection.selected.out_of_fold)
    write_bundle(bundle, params, out_dir)
    progress("parity", 0, 0)
    parity = check_parity(pipeline, exported, selection.dataset.frame, seed=PARITY_SEED)
    if parity.kernel_refused:
        log.warning("the version will be served by another engine", engine=parity.engine, reason=parity.kernel_refused)
    progress("error model", 0, 0)
    errors = build_error_model(dataset, selection.split, selection.selected)
    progress("compare", 0, 0)
    comparison = _compare(champion(), _challenger(exported, parity, dataset, out_dir), dataset, params)
    progress("register", 0, 0)
    commit = revision or git_commit(base_dir)
    registered = register_run(mlflow_uri, _record(params, selection, comparison, commit, taken))
    log.info("version registered", version=registered.version, mlflow_run_id=registered.run_id)
    progress("write", 0, 0)
    if errors is not None:
        (out_dir / ERROR_ONNX).write_bytes(errors.onnx)
    manifest = seal(out_dir, _manifest_fields(params, selection, registered, parity, errors=errors, commit=commit))
    return Trained(params.model.name, registered.version, out_dir, manifest, dataset.findings, comparison)


def _load(params: Params, base_dir: Path, labels: Labels | None) -> Dataset:
    dataset = load_dataset(params, base_dir, labels)
    log.info("data loaded", rows=len(dataset.frame), labelled=dataset.labelled, sha256=dataset.sha256)
    for finding in dataset.findings:
        log.info("about the data", finding=finding)
    return dataset


def _evaluate(params: Params, dataset: Dataset, progress: Progress) -> _Selection:
    selection = params.selection
    split = make_split(dataset.digests, params.data.test_fraction, selection.cv, selection.seed)
    require_values(dataset.frame, split)
    evaluations = evaluate_candidates(dataset, split, params, progress)
    return _Selection(dataset, split, evaluations, select(evaluations, selection.metric))


def _challenger(exported: Exported, parity: ParityReport, dataset: Dataset, out_dir: Path) -> Challenger:
    probe = encode_frame(dataset.frame.head(_PROBED), exported)
    engine = choose_engine(parity.engine, exported.onnx, exported.exactness, probe).engine
    signature = Signature.model_validate_json((out_dir / SIGNATURE).read_bytes())
    return Challenger(signature, lambda x: engine.run(x)[:, 0])


def _compare(
    champion: Artifact | Comparison | None, challenger: Challenger, dataset: Dataset, params: Params
) -> Comparison | None:
    if champion is None or isinstance(champion, Comparison):
        return champion
    comparison = hold_contest(challenger, champion, dataset.raw, len(dataset.frame), params)
    said = {"champion": comparison.champion, "incomparable": comparison.incomparable, **comparison.figures}
    log.info("compared with the champion", **said)
    return comparison


def _record(
    params: Params, selection: _Selection, comparison: Comparison | None, commit: str | None, taken: Collection[str]
) -> RunRecord:
    dataset, test, selected = selection.dataset, selection.split.test, selection.selected
    unit = f" ({params.data.unit})" if params.data.unit else ""
    predicted = selected.pipeline.predict(dataset.frame.iloc[test])
    residuals = Residuals(f"{params.data.target}{unit}", dataset.target[test], predicted)
    return RunRecord(
        model_name=params.model.name,
        params=flat(params),
        tags={"git_commit": commit or "unknown", "data_sha256": dataset.sha256, "params_sha256": params.digest},
        evaluations=selection.evaluations,
        comparison=comparison,
        selected=selected,
        figures=draw_plots(residuals, importance(selected.pipeline)),
        findings=dataset.findings,
        frame=dataset.frame,
        target=dataset.target,
        target_name=params.data.target,
        data_source=dataset.source,
        data_sha256=dataset.sha256,
        requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
        taken=taken,
    )


def _manifest_fields(
    params: Params,
    selection: _Selection,
    registered: Registered,
    parity: ParityReport,
    *,
    errors: ErrorModelBuilt | None,
    commit: str | None,
) -> Mapping[str, object]:
    dataset, split = selection.dataset, selection.split
    return {
        "name": params.model.name,
        "version": registered.version,
        "created_at": datetime.now(UTC),
        "candidate": selection.selected.candidate,
        "engine": parity.engine,
        "exactness": parity.exactness,
        "metrics": {evaluation.candidate: asdict(evaluation.metrics()) for evaluation in selection.evaluations},
        "selection_metric": params.selection.metric,
        "mlflow_run_id": registered.run_id,
        "data_sha256": dataset.sha256,
        "params_sha256": params.digest,
        "git_commit": commit,
        "libraries": {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}},
        "rows": {"train": len(split.train), "test": len(split.test), "labelled": dataset.labelled},
        "test_fraction": params.data.test_fraction,
        "split_columns": dataset.raw.names,
        "parity": {key: value for key, value in asdict(parity).items() if value is not None},
        "drift": params.drift.model_dump(),
        "quality": params.quality.model_dump(),
        "retrain": params.retrain.model_dump(),
        "error_model": errors and errors.figures,
    }


def git_commit(directory: Path) -> str | None:
    """Return the commit that `directory` is at, followed by "-dirty" if files were changed; None outside of git."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
