"""Whether a version that was just trained goes into service by itself."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from services.trainer.comparison import Comparison, Paired
from shared.events import Trigger
from shared.params import Params

BY_HAND = "promote it with `tasador model promote` if it shall serve all the same"


class Decision(BaseModel):
    """Kept in the model's history."""

    model_config = ConfigDict(frozen=True)

    trigger: Trigger
    promote: bool
    why: str
    champion: str | None
    """The version that it was measured against, and that may be replaced."""
    figures: dict[str, Any] = {}

    @property
    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def decide(trigger: Trigger, comparison: Comparison | None, params: Params, rolled_back: str | None = None) -> Decision:
    """Judge a challenger.

    Args:
        comparison: None when there is no champion.
        rolled_back: the version that somebody went back from to the champion.
    """
    if comparison is None:
        return Decision(trigger=trigger, promote=True, why="there is no champion", champion=None)
    promote, why = _judged(trigger, comparison, params)
    if promote and rolled_back is not None and trigger != "request":  # it might well be that version once more
        why = f"the champion is in service by a rollback from version {rolled_back} ({why}); {BY_HAND}"
        promote = False
    if promote and not params.promotion.automatic:
        promote, why = False, f"promotion.automatic is off ({why}): promote it with `tasador model promote`"
    return Decision(trigger=trigger, promote=promote, why=why, champion=comparison.champion, figures=comparison.figures)


def _judged(trigger: Trigger, comparison: Comparison, params: Params) -> tuple[bool, str]:
    asked, version = trigger == "request", f"the champion, version {comparison.champion}"
    if comparison.held_out is None:
        why = f"it cannot be compared with {version}: {comparison.incomparable}"
        return asked, f"{why}; a person asked for it" if asked else f"{why}; {BY_HAND}"
    main, recent = comparison.held_out, comparison.labelled
    if main.equal and (recent is None or recent.equal):
        why = f"it predicts the {main.rows} held-out rows exactly as {version}"
        return asked, f"{why}: no answer changes" if asked else f"{why}: no better"
    on_data = f"{_told(main)} on {main.rows} held-out rows"
    if main.verdict != "better":
        return False, f"it is not shown to be better than {version}: {on_data}; {BY_HAND}"
    if recent is None or recent.rows < params.quality.min_labels:
        labels = f"{recent.rows if recent else 0} recent labelled rows are too few to ask"
        return True, f"it is better than {version}: {on_data}; {labels}"
    on_labels = f"{_told(recent)} on {recent.rows} recent labelled rows"
    if recent.difference >= 0:
        return False, f"it is better than {version} on the data, and not on recent rows: {on_labels}; {BY_HAND}"
    return True, f"it is better than {version}: {on_data}, {on_labels}"


def _told(pair: Paired) -> str:
    """Return e.g. "RMSE 2.9 against 3.4 (difference -0.5, 95 % interval -0.81 to -0.19)"."""
    interval = f"difference {pair.difference:.3g}, 95 % interval {pair.low:.3g} to {pair.high:.3g}"
    return f"{pair.metric.upper()} {pair.challenger:.4g} against {pair.champion:.4g} ({interval})"
