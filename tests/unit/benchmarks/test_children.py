import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.children import OutOfTime, within

ORPHAN = """
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
print(child.pid, flush=True)
"""
ADOPTS = f"""
import subprocess, sys
from benchmarks.children import adopt_orphans, end_children
adopt_orphans()
done = subprocess.run([sys.executable, "-c", {ORPHAN!r}], stdout=subprocess.PIPE, check=True)
end_children()
print(int(done.stdout))
"""


def test_what_waits_for_too_long_is_ended() -> None:
    with pytest.raises(OutOfTime, match="0 minutes"), within(0.01):
        time.sleep(60)


def test_what_is_done_in_time_goes_on() -> None:
    with within(60):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="adopting orphans is Linux's")
def test_what_a_child_left_behind_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTS], stdout=subprocess.PIPE, check=True, timeout=60)
    assert not psutil.pid_exists(int(done.stdout))
