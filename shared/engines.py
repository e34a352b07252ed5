"""The engines, by name: which one a version's manifest asks for, and which one may stand in for it.

A process loads only what it serves with: onnxruntime alone takes 0.2 s and 30 MB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.kernel import NAME, PLAIN_NAME
from shared.kernel.compiled import CompiledEngine
from shared.kernel.errors import GraphUnsupported
from shared.kernel.library import KernelMissing, load_library
from shared.kernel.plain import PlainEngine
from shared.kernel.plan import Linear, Plan, read_plan

ONNXRUNTIME = "onnxruntime"
KERNEL = NAME
Exactness = Literal["bits", "bound"]
"""Of a version: its engines equal scikit-learn, so each other, bit for bit; or each is within the proven bound."""


class EngineUnavailable(ValueError):
    """No engine here can give the numbers that the version is to give."""


class Engine(Protocol):
    """Computes margins. Safe to call from several threads at once."""

    @property
    def name(self) -> str: ...

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map encoded rows, shape (n, F), to margins, shape (n, T)."""
        ...

    def run_row(self, row: Sequence[float]) -> float:
        """Return the first margin of one encoded row; the same bits as `run` gives for it."""
        ...


@dataclass(frozen=True)
class Choice:
    engine: Engine
    instead: str | None = None
    """Why it is another one than was asked for."""


def choose_engine(wanted: str, onnx: bytes, exactness: Exactness, probe: NDArray[np.float64]) -> Choice:
    """Return the engine that a manifest asks for, or one that gives the same bits.

    Args:
        probe: encoded rows on which the compiled kernel is compared with its definition, where that has one.

    Raises:
        EngineUnavailable
        GraphDamaged
    """
    if wanted == ONNXRUNTIME:
        return Choice(open_engine(ONNXRUNTIME, onnx))
    instead = f"this release knows no engine {wanted!r}"
    if wanted == KERNEL:
        try:
            return _choose_kernel(read_plan(onnx), probe)
        except KernelMissing as missing:
            instead = str(missing)
        except GraphUnsupported as unsupported:
            instead = f"the kernel of this release does not take the graph: {unsupported}"
    if exactness != "bits":
        raise EngineUnavailable(f"{instead}; no other engine gives the same numbers: upgrade this replica")
    return Choice(open_engine(ONNXRUNTIME, onnx), instead)


def open_engine(name: str, onnx: bytes) -> Engine:
    """Open just this one.

    Raises:
        EngineUnavailable, GraphUnsupported, GraphDamaged, KernelMissing
    """
    if name == KERNEL:
        return CompiledEngine(read_plan(onnx), load_library())
    if name == PLAIN_NAME:
        return _plain(read_plan(onnx))
    from shared.onnx_engine import OnnxRuntimeEngine  # noqa: PLC0415 - see the module's docstring

    try:
        return OnnxRuntimeEngine(onnx)
    except Exception as error:  # onnxruntime raises its own undocumented classes
        raise EngineUnavailable(f"onnxruntime refuses the graph: {error}") from error


def _choose_kernel(plan: Plan, probe: NDArray[np.float64]) -> Choice:
    """Raises GraphUnsupported, KernelMissing."""
    if not isinstance(plan.estimator, Linear):
        return Choice(CompiledEngine(plan, load_library()))
    plain = _plain(plan)
    try:
        compiled = CompiledEngine(plan, load_library())
    except KernelMissing as missing:
        return Choice(plain, str(missing))
    # Unlike trees, whose golden rows are equal or not, these could hide that a compiler fused two operations.
    if compiled.run(probe).tobytes() != plain.run(probe).tobytes():
        return Choice(plain, "the compiled kernel does not round as it should here")
    return Choice(compiled)


def _plain(plan: Plan) -> PlainEngine:
    if not isinstance(plan.estimator, Linear):
        raise GraphUnsupported("only linear models are computed without C")
    return PlainEngine(plan.inputs, plan.estimator)
