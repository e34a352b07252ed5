"""What ends an engine that does not come back, in a process of its own."""

import os
import subprocess
import sys

import pytest

from shared.settings import ROOT

PROGRAM = """
import asyncio, ctypes, os, time
from services.scorer import thread

thread.BACKSTOP_SECONDS = {backstop}

async def main():
    try:
        await thread.EngineThread({seconds}).run(lambda: {call})
    except thread.EngineHangs as hangs:
        print(hangs, flush=True)
        os._exit(os.EX_SOFTWARE)

asyncio.run(main())
"""

ABANDONED = """
import asyncio, threading
from services.scorer import thread

thread.BACKSTOP_SECONDS = 60

async def main():
    engine, begun, enough = thread.EngineThread(2), threading.Event(), threading.Event()
    first = asyncio.create_task(engine.run(lambda: (begun.set(), enough.wait())))
    await asyncio.to_thread(begun.wait)
    first.cancel()
    second = asyncio.create_task(engine.run(lambda: "its own time"))
    await asyncio.wait({second}, timeout=2.5)
    enough.set()
    print(await second)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("call", "seconds", "backstop", "code", "said"),
    [
        ("time.sleep(1000)", 0.2, 60, os.EX_SOFTWARE, "no answer within 0.2 s"),
        # It keeps the interpreter's lock.
        ("ctypes.PyDLL(None).sleep(1000)", 1.0, 0.5, 1, "Timeout (0:00:01.500000)!"),
    ],
    ids=["hangs", "freezes"],
)
def test_an_engine_that_never_comes_back_ends(call: str, seconds: float, backstop: float, code: int, said: str) -> None:
    done = run(PROGRAM.format(call=call, seconds=seconds, backstop=backstop))
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_a_call_does_not_pay_for_one_that_was_abandoned() -> None:
    """The chunk of a job that was cancelled stays in the engine for as long as it takes."""
    done = run(ABANDONED)
    assert (done.stdout, done.returncode) == ("its own time\n", 0), done.stderr


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-"], input=program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
