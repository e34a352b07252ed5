import pytest

from services.trainer.metrics import Metrics


def trainings(metrics: Metrics) -> dict[str, float | None]:
    read = metrics.registry.get_sample_value
    return {outcome: read("tasador_trainer_trainings_total", {"outcome": outcome}) for outcome in ("trained", "failed")}


def test_every_outcome_is_there_before_it_happens() -> None:
    """A counter that appears with its first increase has none that `increase` could see."""
    assert trainings(Metrics()) == {"trained": 0, "failed": 0}


def test_a_training_is_counted_by_how_it_ends() -> None:
    metrics = Metrics()
    with metrics.counting_training():
        pass
    with pytest.raises(OSError, match="full"), metrics.counting_training():
        raise OSError("the disk is full")
    assert trainings(metrics) == {"trained": 1, "failed": 1}


def test_a_training_that_was_interrupted_is_not_counted() -> None:
    metrics = Metrics()
    with pytest.raises(KeyboardInterrupt), metrics.counting_training():
        raise KeyboardInterrupt
    assert trainings(metrics) == {"trained": 0, "failed": 0}
