"""How a challenger did beside the champion: the figures that a decision is made by."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Metric = Literal["rmse", "mae"]


@dataclass(frozen=True)
class Paired:
    """Two models on the same rows. Errors and their difference are in the target's unit."""

    rows: int
    metric: Metric
    challenger: float
    champion: float
    difference: float
    """The challenger's error less the champion's: below zero the challenger is better."""
    low: float
    high: float
    """The interval that holds the true difference with a confidence of 95 %."""
    equal: bool
    """Whether they predict exactly the same on every row."""

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """What the whole interval says about the challenger."""
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "undecided"


@dataclass(frozen=True)
class Comparison:
    """What came of it. Travels as JSON."""

    champion: str
    """Its version."""
    incomparable: str = ""
    """Why the two cannot be compared; nothing else is set then."""
    held_out: Paired | None = None
    """On the test rows of the data."""
    labelled: Paired | None = None
    """On labelled rows of the recent window that fell into the test part; None where there is none."""

    @property
    def figures(self) -> dict[str, Any]:
        """Return the figures as the model's history keeps them."""
        pairs = {"held_out": self.held_out, "labelled": self.labelled}
        return {name: asdict(pair) | {"verdict": pair.verdict} for name, pair in pairs.items() if pair}
