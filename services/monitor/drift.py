"""What is said of drift: the limits, and what was found for a column and for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.monitor.carried import read_section

BUDGET_MARGIN = 10.0
MARGIN = 0.8
"""How much sooner a column is suspect than it has drifted."""


@dataclass(frozen=True)
class Limits:
    """From where on a column has drifted: `drift` of params.yaml, as the artifact's manifest carries it."""

    false_alarms: float = 0.001
    """Largest probability that an evaluation finds any drift where there is none."""
    effect: float = 0.1
    """Least change of a distribution that matters: of the probability of any range, or set of categories."""
    rate: float = 0.05
    """Least change that matters of the share of nulls, of new categories, and of values outside the range."""
    mean_shift: float = 2.0
    psi: float = 0.2
    psi_min_rows: int = 200
    window_rows: int = 1000
    window: float = 3600.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Limits":
        """Take what the manifest of a version says; what it leaves out is the default."""
        return read_section(cls, values)

    def relaxed(self) -> "Limits":
        """Return those from where on a column is suspect."""
        return replace(
            self,
            false_alarms=BUDGET_MARGIN * self.false_alarms,
            **{name: MARGIN * getattr(self, name) for name in ("effect", "rate", "mean_shift", "psi")},
        )


@dataclass(frozen=True)
class ColumnDrift:
    """One feature, or the prediction, against its reference. What cannot be computed is null."""

    drifted: bool
    reasons: list[str] = field(default_factory=list)
    """Why: `mean_shift`, `psi`, `ks`, `chi2`, `null_rate`, `out_of_range`, `new_categories`."""
    suspect: bool = False
    """It has drifted, or would have with ten times the budget and limits a fifth lower: an alert resolves when that is
    over, so that it does not flap."""
    kind: str = "numeric"
    n: int = 0
    """Rows in the window, nulls included."""
    m: int = 0
    """Rows of the reference, nulls included."""
    p_value: float | None = None
    """The smallest of `p_values`."""
    p_values: dict[str, float] = field(default_factory=dict)
    """By test, adjusted for all tests of the evaluation: to be compared with `false_alarms`."""
    effect: float | None = None
    """Largest change in the probability of an event that was tested."""
    ks: float | None = None
    """Largest distance of the distribution functions, at the edges of bins."""
    ks_error: float | None = None
    """By so much it can be larger between them."""
    wasserstein: float | None = None
    """Area between the distribution functions in standard deviations of the reference."""
    wasserstein_error: float | None = None
    """By so much the binning can be wrong, either way."""
    chi2: float | None = None
    """Of categories; rare ones are put together."""
    mean_shift: float | None = None
    """|mean - reference mean| / reference standard deviation."""
    psi: float | None = None
    """Population stability index in nats."""
    mean: float | None = None
    std: float | None = None
    reference_mean: float | None = None
    reference_std: float | None = None
    null_rate: float | None = None
    reference_null_rate: float | None = None
    out_of_range_rate: float | None = None
    """Share of values below or above every one of the reference; of numbers only."""
    unknown_rate: float | None = None
    """Share of categories that training has not seen; of categorical features only."""
    reference_unknown_rate: float | None = None


@dataclass(frozen=True)
class DriftReport:
    window: float
    """Seconds that the window covers."""
    n: int
    """Rows of the champion in the window."""
    since: datetime
    until: datetime
    model_name: str
    model_version: str
    drifted: list[str]
    """Names of the features, and `prediction`, that have drifted."""
    features: dict[str, ColumnDrift]
    prediction: ColumnDrift
    limits: dict[str, float] = field(default_factory=dict)
    false_alarms: float = Limits.false_alarms
    """The budget: largest probability that one such answer names anything where nothing has drifted."""
    m: int = 0
    """Rows of the reference."""
