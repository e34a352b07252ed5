"""An engine where a row may kill it: `python -m shared.isolation`, started and asked by `IsolatedEngine`.

The process loads the model once and forks for every question: each is answered by a fresh copy that has seen no other
row, and a death costs milliseconds. It has no Redis, no store and no secrets. Frames are a length and so many bytes:
the engine's name, the graph and a row to try it on go in first, then questions; each is followed by one answer.
"""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import sys
import warnings
from asyncio.subprocess import PIPE, Process
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.engines import Engine, open_engine
from shared.process import die_with_parent

MEMORY = 2 << 30  # bytes that one question may take beyond what the loaded model does
START_SECONDS = 60.0  # to load the largest model on a busy machine
GRACE_SECONDS = 10.0  # the kernel ends what takes too long; past these as well, the process itself is broken
_PIECE = 1 << 20  # bytes written to a pipe at once, so that nothing large waits in a buffer
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD")
_INHERITED_ALL = ("LC_", "DYLD_", "PYTHON")
_HEAD = struct.Struct("<Q")
_QUESTION = struct.Struct("<dQ")  # seconds, features; the rows follow
_FOUND, _RAISED, _DIED = b"f", b"r", b"d"
_SAID = 500  # characters of an exception that are passed on

Rows = NDArray[np.float64]


class RowsFailed(Exception):
    """The engine raised over these rows, died of them, or took too long. The message says which."""


class CannotIsolate(RuntimeError):
    """The process does not start, or does not behave: that says nothing about any row."""


class IsolatedEngine:
    """A process that predicts, and survives what it is asked. One question at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # asked for in `start`
        assert process.stdout is not None
        self.pid = process.pid
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    @classmethod
    async def start(cls, name: str, onnx: bytes, control: Rows) -> Self:
        """Start a process that has answered `control`, rows that are known to be harmless.

        Args:
            name: of the engine, the same one that the rows met outside.

        Raises:
            CannotIsolate: it does not load the model here, or fails the harmless rows.
        """
        command = (sys.executable, "-m", "shared.isolation")
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=_environment())
        except OSError as error:
            raise CannotIsolate(f"no process can be started: {error}") from error
        engine = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await engine._send(name.encode())
                await engine._send(onnx)
                await engine.predict(control, START_SECONDS)
        except (RowsFailed, OSError, TimeoutError) as failed:
            await engine.end()
            raise CannotIsolate(f"it fails harmless rows: {failed!r}") from failed
        except BaseException:
            await engine.end()
            raise
        return engine

    async def predict(self, x: Rows, seconds: float) -> Rows:
        """Map encoded rows, shape (n, F), to predictions, shape (n,).

        Args:
            seconds: what takes longer is killed, and has failed.

        Raises:
            RowsFailed: and the next question may be asked.
            CannotIsolate: and this object is of no more use.
        """
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                await self._send(_QUESTION.pack(seconds, x.shape[1]) + x.tobytes())
                answer = await self._receive()
        except (OSError, EOFError, TimeoutError) as broken:
            raise CannotIsolate(f"the isolated process ended or hangs: {broken!r}") from broken
        kind, said = answer[:1], answer[1:]
        if kind == _DIED:
            raise RowsFailed(_cause(int(said), seconds))
        if kind == _RAISED:
            raise RowsFailed(f"the engine raised {said.decode(errors='replace')}")
        if len(said) != 8 * len(x):
            raise CannotIsolate(f"{len(said)} bytes of predictions for {len(x)} rows")
        return np.frombuffer(said)

    async def end(self) -> None:
        """End the process without asking."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._input.close()
        await self._process.wait()

    async def _send(self, data: bytes) -> None:
        self._input.write(_HEAD.pack(len(data)))
        for start in range(0, len(data), _PIECE):
            self._input.write(data[start : start + _PIECE])
            await self._input.drain()

    async def _receive(self) -> bytes:
        (length,) = _HEAD.unpack(await self._output.readexactly(_HEAD.size))
        return await self._output.readexactly(length)


def _environment() -> dict[str, str]:
    """Return what Python needs; no variable of ours, which may hold a password, nor of anybody else."""
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_ALL)}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _cause(code: int, seconds: float) -> str:
    if code == -signal.SIGALRM:
        return f"the engine took longer than {seconds:.3g} s"
    if code < 0:
        return f"the engine was killed by {signal.Signals(-code).name}"
    return f"the engine ended its process with code {code}"


def main() -> None:
    """Answer questions until nobody is there to ask them."""
    die_with_parent(signal.SIGKILL)
    for sig in (signal.SIGINT, signal.SIGTERM):  # they go to our group; our parent decides when we end
        signal.signal(sig, signal.SIG_IGN)
    _be_the_first_to_go()
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    try:
        engine = open_engine(_read(0).decode(), _read(0))
        while True:
            _write(answers, _answer(engine, _read(0)))
    except (EOFError, BrokenPipeError):
        return


def _be_the_first_to_go() -> None:
    """Out of memory, it is us that the kernel shall kill, not the scorer. Deaths are expected: no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _answer(engine: Engine, question: bytes) -> bytes:
    """Let a copy of this process find the answer. It may die; then the answer is how."""
    ours, theirs = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # onnxruntime has a thread, which the copy can do without
        copy = os.fork()
    if copy == 0:
        _write(theirs, _predict(engine, question, parent))
        os._exit(0)
    os.close(theirs)
    try:
        found = _read(ours)
    except EOFError:
        found = b""
    finally:
        os.close(ours)
    _, status = os.waitpid(copy, 0)
    return found or _DIED + str(os.waitstatus_to_exitcode(status)).encode()


def _predict(engine: Engine, question: bytes, parent: int) -> bytes:
    die_with_parent(signal.SIGKILL, parent)
    seconds, width = _QUESTION.unpack_from(question)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # the kernel keeps the time: nothing can hold it up
    _limit_memory()
    x = np.frombuffer(question, offset=_QUESTION.size).reshape(-1, width)
    try:
        return _FOUND + engine.run(x)[:, 0].tobytes()
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        return _RAISED + f"{type(error).__name__}: {said[0]}"[:_SAID].encode()


def _limit_memory() -> None:
    """Bound what this process may map; where it cannot be known what it has mapped, there is no bound."""
    with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
        limit = int(statm.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read(fd: int) -> bytes:
    """Raises EOFError."""
    (length,) = _HEAD.unpack(_exactly(fd, _HEAD.size))
    return bytes(_exactly(fd, length))


def _exactly(fd: int, length: int) -> bytearray:
    data = bytearray()
    while len(data) < length:
        piece = os.read(fd, min(_PIECE, length - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return data


def _write(fd: int, data: bytes) -> None:
    left = memoryview(_HEAD.pack(len(data)) + data)
    while left:
        left = left[os.write(fd, left) :]


if __name__ == "__main__":
    main()
