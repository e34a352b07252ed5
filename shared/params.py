"""`params.yaml`: what changes the model, or how it is judged. Where and how things run is in the settings.

Only the trainer reads it; serving and monitoring get what they need in the artifact.
"""

import difflib
import hashlib
import json
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Kind = Literal["numeric", "categorical"]
Candidate = Literal["linear_regression", "ridge", "random_forest", "gradient_boosting"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# Names become registry names, store keys and metric labels.
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]

_REMOVED = {
    "promotion.max_rmse_increase": "a version now must be better than the champion on the same held-out rows"
    " (docs/decisions/0020-a-challenger-must-win.md); from where on live quality is bad says quality.max_rmse_increase",
}

NULL_VALUES = ("", "NA", "N/A", "#N/A", "null", "NULL", "NaN", "nan")


class ParamsInvalid(ValueError):
    """The params file cannot be used; the message names each key and what to do."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        super().__init__(f"{path} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelParams(Section):
    name: ModelName


class DataParams(Section):
    source: str = Field(min_length=1)
    """A path relative to the params file, a URL, or `kaggle://owner/dataset[/file.csv]`."""
    target: str = Field(min_length=1)
    unit: str | None = None
    test_fraction: float = Field(0.2, ge=0.05, le=0.5)
    null_values: tuple[str, ...] = NULL_VALUES
    """The texts that mean "no value", compared after stripping spaces."""


class FeatureParams(Section):
    """What overrules the data for one column; unset means as the data has it."""

    kind: Kind | None = None
    nullable: bool | None = None
    drop: bool = False


class LinearRegressionParams(Section):
    fit_intercept: bool = True


class RidgeParams(Section):
    alpha: float = Field(1.0, ge=0, allow_inf_nan=False)
    fit_intercept: bool = True


class RandomForestParams(Section):
    n_estimators: int = Field(200, ge=1, le=5000)
    max_depth: int | None = Field(15, ge=1, le=64)
    min_samples_split: int = Field(2, ge=2)
    min_samples_leaf: int = Field(1, ge=1)
    max_features: float = Field(1.0, gt=0, le=1)
    """Share of the encoded columns tried at a split."""
    seed: Seed = 42


class GradientBoostingParams(Section):
    n_estimators: int = Field(200, ge=1, le=5000)
    learning_rate: float = Field(0.1, gt=0, le=1)
    max_depth: int = Field(3, ge=1, le=64)
    subsample: float = Field(1.0, gt=0, le=1)
    min_samples_leaf: int = Field(1, ge=1)
    seed: Seed = 42


class ModelBuildingParams(Section):
    linear_regression: LinearRegressionParams = LinearRegressionParams()
    ridge: RidgeParams = RidgeParams()
    random_forest: RandomForestParams = RandomForestParams()
    gradient_boosting: GradientBoostingParams = GradientBoostingParams()

    @field_validator("*", mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: object) -> object:
        return {} if value is None else value


class SelectionParams(Section):
    metric: Literal["rmse", "mae"] = "rmse"
    cv: int = Field(5, ge=2, le=20)
    """Folds of the cross-validation."""
    seed: Seed = 42
    """Another seed draws other folds; the test rows depend on the data alone."""
    only: Candidate | None = None


class PromotionParams(Section):
    automatic: bool = True
    """Promote a trained version by itself when it wins; otherwise it waits for `tasador model promote`.

    The very first version always goes into service.
    """
    deadline: float = Field(60.0, gt=0, le=3600)
    """Seconds for every live replica to agree; then the promotion is aborted."""


class DriftParams(Section):
    mean_shift: float = Field(2.0, gt=0)
    """In standard deviations of the reference."""
    psi: float = Field(0.2, gt=0)
    psi_min_rows: int = Field(200, ge=1)
    """Below this many rows the index is noise and does not count."""
    window_rows: int = Field(1000, ge=1)
    """The window is the newest whole minutes (hours, if `window` is over three) with at least this many rows ..."""
    window: float = Field(3600.0, ge=60)
    """... and at most this many seconds."""
    false_alarms: float = Field(0.001, gt=0, lt=1)
    """How likely an evaluation of rows that have not drifted may name any column, all of them together."""
    effect: float = Field(0.1, ge=0)
    """What is smaller than this is not drift, however sure it is."""
    rate: float = Field(0.05, ge=0, le=1)
    """By how much a share (of nulls, of unknown categories, out of range) may differ from the reference's."""


class QualityParams(Section):
    """What is asked of a version by the actual values that are reported to it."""

    min_labels: int = Field(100, ge=2)
    """Fewer labelled rows say nothing."""
    max_rmse_increase: float = Field(0.2, ge=0)
    """Relative to the test rows of its training; more is bad quality."""
    window: float = Field(30 * 86_400.0, ge=3600)
    """How old a prediction may be, in seconds, whose actual value counts."""


class RetrainParams(Section):
    """When a training starts by itself, and on what."""

    automatic: bool = True
    """Whether drift and bad quality ask for a training."""
    after: int = Field(2, ge=1)
    """Evaluations in a row that must find it."""
    cooldown: float = Field(21_600.0, ge=0)
    """Seconds between two of those requests."""
    per_day: int = Field(2, ge=1)
    """At most this many of them in a day."""
    schedule: str = ""
    """A cron expression, in UTC; empty is never."""
    labelled_rows: bool = False
    """Whether rows whose actual values were reported are trained on, too."""
    max_labelled_rows: int = Field(200_000, ge=1)
    """The newest ones; they are held in memory."""

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str) -> str:
        if schedule.strip():
            if len(schedule.split()) == 6:  # which CronSim takes for seconds first
                raise ValueError(f"{schedule!r} has six fields: leave out the seconds, a schedule has none")
            try:
                next(CronSim(schedule, datetime.now(UTC)))
            except CronSimError as wrong:
                raise ValueError(
                    f"{schedule!r} is no cron expression ({wrong}); write minute, hour, day, month and weekday,"
                    ' such as "0 3 * * *" for 3:00 UTC every day'
                ) from wrong
            except StopIteration:
                raise ValueError(f"{schedule!r} names a time that never comes") from None
        return schedule.strip()


class Params(Section):
    model: ModelParams
    data: DataParams
    features: dict[str, FeatureParams] = Field(default_factory=dict)
    model_building: ModelBuildingParams = ModelBuildingParams()
    selection: SelectionParams = SelectionParams()
    promotion: PromotionParams = PromotionParams()
    drift: DriftParams = DriftParams()
    quality: QualityParams = QualityParams()
    retrain: RetrainParams = RetrainParams()

    @field_validator(
        "features", "model_building", "selection", "promotion", "drift", "quality", "retrain", mode="before"
    )
    @classmethod
    def _empty_means_defaults(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def digest(self) -> str:
        """SHA-256 of the values in force: comments, order and spelled-out defaults do not change it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def load_params(path: Path) -> Params:
    """Read and validate a params file.

    Raises:
        ParamsInvalid: it is missing, not YAML, or holds a wrong value; the message names every key.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError as missing:
        raise ParamsInvalid(path, ["the file does not exist"]) from missing
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise ParamsInvalid(path, [f"it is not YAML: {broken}"]) from broken
    if not isinstance(document, dict):
        raise ParamsInvalid(path, ["it must be a mapping with the sections model and data"])
    try:
        return Params.model_validate(document)
    except ValidationError as invalid:
        problems = [_explain(error["loc"], error["type"], error["msg"]) for error in invalid.errors()]
        raise ParamsInvalid(path, problems) from invalid


class _StrictLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; a params file must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} appears twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location if part != "[key]")
    if kind == "missing":
        return f"{key} is missing: add it"
    if key in _REMOVED:
        return f"{key} is gone: remove it; {_REMOVED[key]}"
    if kind == "extra_forbidden":
        return f"{key} is not a known key{_suggestion(location)}: correct or remove it"
    if "[key]" in location or location[:2] == ("data", "null_values"):
        return f"{key}: {message} (put quotes around words that YAML reads as something else: yes, no, on, null)"
    return f"{key}: {message}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    known = _known_keys(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known here: {', '.join(known)})" if known else ""


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Params
    for part in location:
        if section is Params and part == "features":
            return list(FeatureParams.model_fields)
        annotation: Any = section.model_fields[str(part)].annotation
        section = annotation
    return list(section.model_fields)


def flat(params: Params) -> Mapping[str, str]:
    """Dotted key to text, for a tracking server: `model_building.ridge.alpha` → `1.0`."""
    return dict(_flatten("", params.model_dump(mode="json")))


def _flatten(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in _flatten(f"{prefix}{key}.", inner)]
    return [(prefix.rstrip("."), value if isinstance(value, str) else json.dumps(value))]
