"""The command line against the real stack: its own small table, with a categorical column and missing values."""

import csv
import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
import pytest
import yaml
from redis import Redis

from shared.jobs import DeadLetter
from shared.keys import Keys
from tasador.client import Client, Invalid, NotFound, Unreachable
from tests.kernels import can_compile, compiled
from tests.ports import free_port, free_ports

ROOT = Path(__file__).parent.parent.parent
ROWS = 240

T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Stack:
    """A running stack and how to talk to it."""

    environment: Mapping[str, str]
    table: Path
    url: str

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "tasador", *arguments]
        done = subprocess.run(
            words,
            cwd=self.table.parent,  # the command line works from anywhere
            env=self.environment,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            check=False,
        )
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        done = self.run(*arguments, "-o", "json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def write_table(path: Path) -> None:
    draw = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "zone", "price"])
        for _ in range(ROWS):
            size, zone = round(draw.uniform(20, 200), 1), draw.choice(["north", "south", "12"])
            price = 3 * size + {"north": 10, "south": 60, "12": 0}[zone] + draw.gauss(0, 5)
            writer.writerow(["" if draw.random() < 0.1 else size, zone, round(price, 2)])


def write_params(path: Path, table: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["model"] = {"name": "flats"}
    params["data"] = {"source": str(table), "target": "price", "test_fraction": 0.2}
    params["features"] = {"zone": {"kind": "categorical"}}
    params["selection"] |= {"cv": 2, "only": "ridge"}
    path.write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    here = tmp_path_factory.mktemp("cli")
    table, params = here / "flats.csv", here / "params.yaml"
    write_table(table)
    write_params(params, table)
    gateway, monitor, valkey = map(str, free_ports(3))
    settings = {
        "TASADOR_STATE_DIR": str(here / "state"),
        "TASADOR_PARAMS_PATH": str(params),
        "TASADOR_MLFLOW_UI": "false",
        "TASADOR_SCORERS": "1",
        "TASADOR_GATEWAY_PORT": gateway,
        "TASADOR_MONITOR_PORT": monitor,
        "TASADOR_VALKEY_PORT": valkey,
        "TASADOR_GATEWAY_INPUT_PREFIXES": f"{here.as_uri()}/",
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
    started = Stack(outside | settings, table, f"http://127.0.0.1:{gateway}")
    up = started.run("up", "--detach")
    assert up.returncode == 0, up.stderr
    yield started
    down = started.run("down")
    assert down.returncode == 0, down.stderr


def test_a_row_is_predicted_from_pairs_from_json_and_from_stdin(stack: Stack) -> None:
    pairs = stack.json("predict", "size=100", "zone=12")  # the text 12: the feature is categorical
    row = '{"size": 100, "zone": "12"}'
    assert stack.json("predict", row)["prediction"] == pairs["prediction"] == pytest.approx(300, abs=15)
    assert stack.json("predict", "-", stdin=row)["prediction"] == pairs["prediction"]
    assert "flats 1" in stack.run("predict", row).stdout


def test_bad_rows_are_named_and_told_by_the_exit_code(stack: Stack) -> None:
    refused = stack.run("predict", "size=wide", "zone=north")
    assert refused.returncode == 1
    assert "/size" in refused.stderr
    assert "Traceback" not in refused.stderr
    partly = stack.run("predict", '[{"size": 1, "zone": "north"}, {"size": "x", "zone": "north"}]', "-o", "json")
    assert partly.returncode == 3
    assert [error["index"] for error in json.loads(partly.stdout)["errors"]] == [1]
    assert stack.run("predict", "size").returncode == 2


def test_a_file_is_scored_to_the_format_of_its_name(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "scored.parquet"
    done = stack.run("score", str(stack.table), "--wait", "-o", str(out), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == {"total": ROWS, "done": ROWS, "failed": 0}
    scored = pq.read_table(out)
    assert scored.column("index").to_pylist() == list(range(ROWS))
    assert scored.column("prediction").null_count == 0


def test_results_that_cannot_be_written_can_be_fetched_later(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".out.csv.part").mkdir()
    stopped = stack.run("score", str(stack.table), "-o", str(tmp_path / "out.csv"))
    assert stopped.returncode == 1
    (job,) = re.findall(r"`tasador job results (\S+) --out FILE`", stopped.stderr)
    assert stack.run("job", "results", job, "-o", str(tmp_path / "later.csv")).returncode == 0


def test_a_pipe_is_scored_to_a_pipe_and_bad_rows_end_in_exit_code_3(stack: Stack) -> None:
    rows = '{"size": 50, "zone": "north"}\n{"size": "x", "zone": "north"}\n'
    done = stack.run("score", "-", "--wait", "-o", "-", stdin=rows)
    assert done.returncode == 3, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["prediction"] == pytest.approx(160, abs=15)
    assert (second["error"]["field"], second["error"]["code"]) == ("size", "wrong_type")
    assert "--errors" in done.stderr


def test_a_job_is_listed_shown_and_fetched(stack: Stack, tmp_path: Path) -> None:
    job = json.loads(stack.run("score", str(stack.table), "--format", "json").stdout)
    ended = stack.json("job", "show", job["id"], "--wait")
    assert ended["state"] == "completed"
    assert job["id"] in [each["id"] for each in stack.json("job", "list")]
    out = tmp_path / "r.csv"
    assert stack.run("job", "results", job["id"], "-o", str(out)).returncode == 0
    assert len(out.read_text().splitlines()) == ROWS + 1
    assert stack.run("job", "results", job["id"]).stdout.count("\n") == ROWS


def test_a_job_takes_options_and_its_columns_come_back(stack: Stack) -> None:
    wishes = ["--version", "1", "--priority", "high", "--deadline", "1h", "--passthrough", "zone,size"]
    command = ["score", str(stack.table), *wishes, "--idempotency-key", "a key", "--wait", "--format", "json"]
    first, again = (json.loads(stack.run(*command).stdout) for _ in range(2))
    assert first["id"] == again["id"]
    assert (first["priority"], first["passthrough"], first["model_version"]) == ("high", ["zone", "size"], "1")
    assert first["deadline"]
    rows = list(csv.DictReader(io.StringIO(stack.run("job", "results", first["id"], "--format", "csv").stdout)))
    sent = list(csv.DictReader(io.StringIO(stack.table.read_text())))
    assert [(row["zone"], row["size"]) for row in rows] == [(row["zone"], row["size"]) for row in sent]
    manifest = stack.json("job", "manifest", first["id"])
    assert (manifest["model_version"], manifest["rows"]["done"], manifest["partial"]) == ("1", ROWS, False)
    assert sum(part["rows"] for part in manifest["parts"]) == ROWS
    assert manifest["parts"][0]["sha256"] in stack.run("job", "manifest", first["id"]).stdout
    refused = stack.run("score", str(stack.table), "--deadline", "yesterday", "--passthrough", "prediction")
    assert refused.returncode == 1
    assert "deadline" in refused.stderr
    assert stack.run("score", str(stack.table), "--idempotency-key", "").returncode == 1
    assert stack.run("score", str(stack.table), "--priority", "urgent").returncode == 2
    assert stack.run("score", str(stack.table), "--version", "99").returncode == 4


def test_a_compressed_pipe_and_a_reference_are_scored(stack: Stack) -> None:
    piped = stack.run("score", "-", "-o", "-", stdin=gzip.compress(stack.table.read_bytes()))
    assert (piped.returncode, piped.stdout.count("\n")) == (0, ROWS), piped.stderr
    referred = stack.run("score", stack.table.as_uri(), "-o", "-")
    assert (referred.returncode, referred.stdout) == (0, piped.stdout), referred.stderr
    outside = stack.run("score", "file:///etc/rows.csv")
    assert outside.returncode == 1
    assert "TASADOR_GATEWAY_INPUT_PREFIXES" in outside.stderr


def test_dead_letters_are_listed_shown_dropped_and_scored_again(stack: Stack) -> None:
    assert stack.json("dead-letter", "list") == []
    job = json.loads(stack.run("score", str(stack.table), "--wait", "--format", "json").stdout)["id"]
    first, second, third = (
        bury(stack, DeadLetter(job_id=job, row=row, chunk=0, reason="killed", deaths=2)) for row in (3, 4, 5)
    )
    assert [letter["id"] for letter in stack.json("dead-letter", "list", "--job", job)] == [third, second, first]
    shown = stack.run("dead-letter", "show", first).stdout
    zone = list(csv.DictReader(io.StringIO(stack.table.read_text())))[3]["zone"]
    assert zone in shown
    assert "killed" in shown
    assert stack.json("dead-letter", "drop", third) == {"dropped": 1}
    again = stack.json("dead-letter", "redrive", "--all", "--wait")
    assert (again["rows"], again["passthrough"]) == ({"total": 2, "done": 2, "failed": 0}, ["job", "row"])
    with Client(stack.url) as client:
        assert [result.passed for result in client.results(again["id"])] == [{"job": job, "row": row} for row in (3, 4)]
    assert stack.json("dead-letter", "list") == []
    assert stack.run("dead-letter", "redrive", "--all").returncode == 4
    assert stack.run("dead-letter", "redrive").returncode == 2
    assert stack.run("dead-letter", "show", first).returncode == 4


def bury(stack: Stack, letter: DeadLetter) -> str:
    """List a dead letter, as the commit of its part would."""
    keys = Keys()
    with Redis(port=int(stack.environment["TASADOR_VALKEY_PORT"]), decode_responses=True) as redis:
        redis.zadd(keys.dead_letters, {letter.id: letter.at.timestamp() * 1000})
        redis.hset(keys.dead_letter_bodies, letter.id, letter.model_dump_json())
    return letter.id


@pytest.mark.parametrize("command", [("job", "show"), ("job", "cancel"), ("job", "results"), ("job", "webhook")])
def test_what_is_not_there_is_exit_code_4(stack: Stack, command: tuple[str, ...]) -> None:
    missing = stack.run(*command, "01890000-0000-7000-8000-000000000000")
    assert missing.returncode == 4
    assert missing.stderr.startswith("error: ")


def test_a_file_that_cannot_be_scored_is_refused_before_anything_is_sent(stack: Stack, tmp_path: Path) -> None:
    assert stack.run("score", str(tmp_path / "none.csv")).returncode == 1
    unknown = tmp_path / "rows.xlsx"
    unknown.touch()
    refused = stack.run("score", str(unknown))
    assert (refused.returncode, "--type" in refused.stderr) == (2, True)
    assert "directory" in stack.run("score", str(tmp_path)).stderr
    assert stack.run("score", str(stack.table), "--wait", "-o", str(tmp_path / "out.xlsx")).returncode == 2
    for name in ("", "out.csv.gz"):
        assert stack.run("score", str(stack.table), "-o", str(tmp_path / name)).returncode == 2


def test_training_promotion_and_rollback_are_seen_through(stack: Stack) -> None:
    trained = stack.json("train")
    assert (trained["state"], trained["result"]["version"]) == ("succeeded", "2")
    back = stack.json("model", "rollback", "--reason", "a test")
    assert back["result"]["version"] == "1"
    assert stack.json("model", "promote", "2")["result"]["version"] == "2"
    models = stack.json("model", "list")
    assert [(each["version"], each["state"]) for each in models["versions"]] == [("2", "champion"), ("1", "previous")]
    assert stack.json("model", "show")["version"] == "2"
    assert stack.json("model", "show", "1")["version"] == "1"
    assert stack.run("model", "promote", "99").returncode == 4
    assert stack.run("model", "show", "99").returncode == 4
    shown = stack.run("model", "show").stdout
    assert "24 to 198.1" in shown, shown  # what training saw of a number
    assert "12, north, south" in shown, shown  # and of a category


def test_the_configuration_is_shown_with_its_sources(stack: Stack) -> None:
    settings = {each["variable"]: each for each in stack.json("config", "show")}
    assert settings["TASADOR_GATEWAY_PORT"]["source"] == "environment"
    assert settings["TASADOR_REDIS_URL"]["source"] == "running stack"


def test_the_doctor_finds_a_running_stack_in_order(stack: Stack) -> None:
    if can_compile():
        compiled()
    checks = {each["name"]: each for each in json.loads(stack.run("doctor", "-o", "json").stdout)}
    assert checks["kernel"]["verdict"] == ("ok" if can_compile() else "warning"), checks["kernel"]
    for name in ("python", "valkey", "settings", "stack", "store", "redis"):
        assert checks[name]["verdict"] == "ok", checks[name]
    assert "runs (pid" in checks["stack"]["found"]


def test_output_for_programs_has_no_colour_and_no_line_breaks(stack: Stack) -> None:
    assert "\x1b[" not in stack.run("status").stdout
    assert "\x1b[" not in stack.run("model", "show").stdout


def test_the_client_answers_in_types(stack: Stack) -> None:
    with Client(stack.url) as client:
        info = client.model_info()
        assert client.predict(info.example()).model_version == info.version
        batch = client.predict_batch([info.example()] * 3)
        assert len(set(batch.predictions)) == 1
        with stack.table.open("rb") as file:
            job = client.wait(client.submit(file, content_type="text/csv").id, timeout=60)
        assert job.rows.total == ROWS
        assert [result.index for result in client.results(job.id)] == list(range(ROWS))
        assert list(client.errors(job.id)) == []
        again = [client.submit([info.example()], idempotency_key="k").id for _ in range(2)]
        assert again[0] == again[1]
        assert client.is_ready()
        assert client.health().model_loaded
        assert client.metrics().total_predictions >= 4
        assert client.replicas().converged
        operation = client.wait_operation(client.reload().id, timeout=60)
        assert operation.state == "succeeded"


def test_the_client_raises_by_what_can_be_done(stack: Stack) -> None:
    with Client(stack.url) as client:
        with pytest.raises(Invalid) as invalid:
            client.predict({"size": "x", "zone": "north"})
        assert [error.pointer for error in invalid.value.errors] == ["/size"]
        assert invalid.value.slug == "invalid-row"
        assert invalid.value.request_id
        with pytest.raises(NotFound):
            client.job("nope")
    with Client(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(Unreachable, match="tasador up"):
        nobody.health()


def test_drift_is_shown_told_by_the_exit_code_and_saved_as_a_page(stack: Stack, tmp_path: Path) -> None:
    rows = [{"size": 150 + i % 50, "zone": "south"} for i in range(1000)]
    with Client(stack.url) as client:
        client.predict_batch(rows)
    page = tmp_path / "report.html"

    def drifted() -> subprocess.CompletedProcess[str] | None:
        done = stack.run("drift", "--window", "5m", "--report", str(page), "-o", "json")
        return done if done.returncode == 5 else None

    done = until(drifted)
    found = json.loads(done.stdout)
    assert {"zone", "size"} <= set(found["drifted"])
    assert found["features"]["zone"]["kind"] == "categorical"
    assert found["features"]["zone"]["unknown_rate"] == 0  # what the client does not know of is kept
    assert str(page) in done.stderr
    assert "<svg" in page.read_text()
    shown = stack.run("drift", "--window", "5m")
    assert shown.returncode == 5
    first = shown.stdout.splitlines()[1]
    assert ("drifted" in first, "█" in first) == (True, True)
    assert "rows of the last" in shown.stderr
    refused = stack.run("drift", "--window", "99d")
    assert (refused.returncode, "99d" in refused.stderr) == (1, True)


def test_a_monitor_that_is_not_there_is_named(stack: Stack) -> None:
    port = free_port()
    done = stack.run("drift", "--url", f"http://127.0.0.1:{port}")
    assert (done.returncode, f"127.0.0.1:{port}" in done.stderr) == (1, True)


def until(look: Callable[[], T | None], seconds: float = 30.0) -> T:
    """Look again and again, for so long, until there is something."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not come"
    return found
