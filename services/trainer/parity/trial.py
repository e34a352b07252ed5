"""The kernel's trial: it serves a version only if it gives the same numbers on every row that the gate compares."""

from collections.abc import Callable

from services.trainer.export import Exported
from services.trainer.parity.compare import Difference, ParityFailed, compare
from services.trainer.parity.reference import Matrix
from shared.engines import KERNEL, ONNXRUNTIME, Engine, EngineUnavailable, choose_engine
from shared.kernel.errors import GraphDamaged

Score = Callable[[Engine], Matrix]


class KernelTrial:
    """Hears of every comparison that onnxruntime has passed. Safe to use from several threads at once."""

    def __init__(self, exported: Exported, probe: Matrix) -> None:
        self._engine, self.failed = _open(exported, probe)
        self._differences: list[Difference] = []

    @property
    def serves(self) -> str:
        """Which engine is to serve."""
        return ONNXRUNTIME if self.failed else KERNEL

    @property
    def differences(self) -> list[Difference]:
        """From scikit-learn, where they are others than onnxruntime's: of a linear model."""
        return self._differences

    def compare(
        self, name: str, rows: Matrix, theirs: Matrix, onnxruntime: Matrix, *, bound: Matrix | None, score: Score
    ) -> None:
        """Compare with onnxruntime's margins bit for bit; with scikit-learn's where there is a bound."""
        if self._engine is None or self.failed:
            return
        ours = score(self._engine)
        if bound is None:
            if ours.tobytes() != onnxruntime.tobytes():
                self.failed = f"the kernel differs from onnxruntime: {name}"
            return
        try:
            self._differences.append(compare(name, rows, theirs, ours, bound))
        except ParityFailed as failed:
            self.failed = f"the kernel: {failed}"


def _open(exported: Exported, probe: Matrix) -> tuple[Engine | None, str | None]:
    """The engine to try, or why there is none."""
    try:
        choice = choose_engine(KERNEL, exported.onnx, exported.exactness, probe)
    except (EngineUnavailable, GraphDamaged) as reason:
        return None, str(reason)
    if choice.engine.name == ONNXRUNTIME:
        return None, choice.instead
    return choice.engine, None  # in C or in numpy, it gives the same bits
