"""Imported by Python itself at its start when this directory is on PYTHONPATH; see the package's docstring.

It knows nothing but the standard library, and costs a process that loads none of our modules nothing.
"""

import ctypes
import importlib.machinery
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

_FAULTS: dict[str, Any] = json.loads(os.environ.get("PYTHON_FAULTS", "{}"))


def _note(what: str, value: object = "") -> None:
    if _FAULTS["log"]:
        with open(_FAULTS["log"], "a") as log:
            log.write(f"{os.getpid()} {what} {value}\n")


def _is_here(name: str, x: Any) -> bool:
    value = _FAULTS[name]
    if value is None or not (x[:, 0] == value).any():
        return False
    _note(name, value)
    return True


def _eat() -> None:
    from numpy import empty  # noqa: PLC0415 - whoever has an engine has it, too

    [empty(1 << 27) for _ in range(4)]  # asked for, and not touched: it costs nobody else anything


def _by_run(self: Any, row: Sequence[float]) -> float:
    from numpy import array  # noqa: PLC0415 - as above

    return float(self.run(array([row]))[0][0])


def _engine(module: ModuleType) -> None:
    engine = getattr(module, "OnnxRuntimeEngine", None) or module.CompiledEngine
    run = engine.run

    def faulty(self: Any, x: Any) -> Any:
        if _is_here("exit_at", x):
            os._exit(86)
        if _is_here("segfault_at", x):
            ctypes.string_at(0)
        if _is_here("raise_at", x):
            raise RuntimeError("it does not like this row")
        if _is_here("eat_at", x):
            _eat()
        if _is_here("hang_at", x):
            time.sleep(1e6)
        if _is_here("freeze_at", x):
            ctypes.PyDLL(None).sleep(1_000_000)  # PyDLL keeps the interpreter's lock
        if _FAULTS["seconds_per_row"]:
            time.sleep(_FAULTS["seconds_per_row"] * len(x))
        return run(self, x)

    engine.run = faulty
    engine.run_row = _by_run


def _reach(point: str) -> None:
    if point not in _FAULTS["signals"] or not _first():
        return
    _note(point)
    os.kill(os.getpid(), signal.Signals[_FAULTS["signals"][point]])


def _first() -> bool:
    if not _FAULTS["once"]:
        return True
    try:
        os.close(os.open(_FAULTS["once"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _then_reach(point: str, method: Callable[..., Any], about: str = "") -> Callable[..., Any]:
    """Return the method, which reaches a point when it is done; `about`: only if its first argument has this text."""

    async def faulty(self: Any, subject: Any, *args: Any, **kwargs: Any) -> Any:
        answer = await method(self, subject, *args, **kwargs)
        if about in str(subject):
            _reach(point)
        return answer

    return faulty


def _store(module: ModuleType) -> None:
    module.Store.put_new = _then_reach("part_written", module.Store.put_new, "/parts/")
    module.Store.put_new = _then_reach("manifest_written", module.Store.put_new, "/manifest.json")


def _queue(module: ModuleType) -> None:
    module.JobQueue.begin = _then_reach("begun", module.JobQueue.begin)
    module.JobQueue.commit = _then_reach("committed", module.JobQueue.commit)
    module.JobQueue.finish = _then_reach("finished", module.JobQueue.finish)


_PATCHES = {
    "shared.onnx_engine": _engine,
    "shared.kernel.compiled": _engine,
    "shared.store": _store,
    "shared.scripts": _queue,
}


class _Patcher(MetaPathFinder):
    """Finds modules where Python would, and patches them when they have been executed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        patch = _PATCHES.get(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if patch else None
        if patch is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def patched(module: ModuleType) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = patched  # type: ignore[method-assign]
        return spec


if _FAULTS:
    sys.meta_path.insert(0, _Patcher())
