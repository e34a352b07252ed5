"""The load: wrk, which takes so little that one core drives a server on another."""

import shutil
import subprocess
from pathlib import Path

import msgspec

from benchmarks.servers import CLIENT_CORE, CannotMeasure

_SCRIPT = Path(__file__).with_name("post.lua")
_PATIENCE = 30  # seconds for one answer


class Load(msgspec.Struct):
    """What wrk saw in one round. Latencies in µs."""

    requests: int
    microseconds: int
    failed: int
    """Not 200, or no answer."""
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.requests / self.microseconds * 1e6


def require_wrk() -> str:
    """Return its version. Raises CannotMeasure."""
    found = shutil.which("wrk")
    if found is None:
        raise CannotMeasure("wrk, which makes the load, is missing (on Debian and Ubuntu: apt install wrk)")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return said.split()[1].partition("/")[2] or said.split()[1] if len(said.split()) > 1 else "unknown"


def load(url: str, bodies: Path, connections: int, seconds: float) -> Load:
    """Post the lines of a file over so many connections, one request at a time on each."""
    pinned = ["taskset", "--cpu-list", str(CLIENT_CORE), "wrk", "--threads", "1", "--connections", str(connections)]
    bounded = ["--duration", f"{max(1, round(seconds))}s", "--timeout", f"{_PATIENCE}s", "--latency"]
    command = [*pinned, *bounded, "--script", str(_SCRIPT), url, "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * _PATIENCE, check=False)
    if done.returncode:
        raise CannotMeasure(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Load)
