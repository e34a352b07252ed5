"""An engine and a scorer that misbehave on order, in real processes.

`environment(...)` returns variables for a process that is started; the processes it starts in turn inherit them. They
put this directory on PYTHONPATH, so that Python imports our `sitecustomize` before anything else, which patches the
modules of ours as they are imported. Without the variables nothing happens.

    fleet.start(Faults(exit_at=666.0))          # dies when a row's first feature is 666
    {**os.environ, **environment(Faults(…))}    # of any other process
"""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

VARIABLE = "PYTHON_FAULTS"  # what begins so reaches the disposable child, too
EXIT_CODE = 86
"""Of a process that `exit_at` ended."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong. The `…_at` are first features of a row, which it is `==` to; None: never.

    Points, in the order in which a scorer passes them: `begun` (it knows that it may start on a chunk), `part_written`
    (the part is in the store, nobody has heard of it), `committed` (Redis has the commit, the scorer has not said so);
    then `manifest_written` and `finished` of the job.
    """

    seconds_per_row: float = 0.0
    """A slow engine: it sleeps as long for every row, golden ones too."""
    exit_at: float | None = None
    """`os._exit`, as a crash in native code would end it."""
    segfault_at: float | None = None
    """SIGSEGV."""
    raise_at: float | None = None
    """RuntimeError."""
    eat_at: float | None = None
    """It asks for 4 GB of memory, and goes on if it gets them."""
    hang_at: float | None = None
    """It never comes back, and lets other threads run."""
    freeze_at: float | None = None
    """It never comes back, and lets no other Python thread run."""
    signals: dict[str, str] = field(default_factory=dict)
    """Point → name of the signal that the process sends itself there: `{"part_written": "SIGKILL"}`."""
    once: str = ""
    """Path of a file that does not exist: only the process that can create it sends itself the signal."""
    log: str = ""
    """Path of a file that gets a line `<pid> <what> <first feature>` for every fault, before it happens."""


def environment(faults: Faults) -> dict[str, str]:
    """Return the variables that make a process, and those that it starts, misbehave."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, VARIABLE: msgspec.json.encode(asdict(faults)).decode()}
