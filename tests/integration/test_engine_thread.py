"""What ends an engine that does not come back, in a process of its own."""

import os
import subprocess
import sys

import pytest

from shared.settings import ROOT

PROGRAM = """
import asyncio, ctypes, os, time
from services.scorer import thread

thread.BACKSTOP_SECONDS = 0.5

async def main():
    try:
        await thread.EngineThread(0.2).run(lambda: {call})
    except thread.EngineHangs as hangs:
        print(hangs, flush=True)
        os._exit(os.EX_SOFTWARE)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("time.sleep(1000)", os.EX_SOFTWARE, "no answer within 0.2 s"),
        ("ctypes.PyDLL(None).sleep(1000)", 1, "Timeout (0:00:00.700000)!"),  # it keeps the interpreter's lock
    ],
    ids=["hangs", "freezes"],
)
def test_an_engine_that_never_comes_back_ends(call: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=PROGRAM.format(call=call),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
