"""The client against a gateway, played by a few lines of socket code, whose connections break in the middle."""

import csv
import io
import json
import resource
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tasador.client import Client, Job, TimedOut, Unreachable
from tasador.client.downloads import Patience

ROWS = 200
CREATED = "2026-01-01T00:00:00Z"


class Breaking(ThreadingHTTPServer):
    """Answers /results like a gateway, and breaks off after so many bytes, as often as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.breaks: list[int] = []
        self.asked: list[str] = []
        self.asked_at: list[int] = []
        """The rows that were finished then."""
        self.refusals = 0
        self.done = ROWS
        self.looks: list[int] = []
        """The rows that are finished, at each of the next looks at the job."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Breaking

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/jobs/x":
            self._job()
            return
        self.server.asked.append(urlsplit(self.path).query)
        self.server.asked_at.append(self.server.done)
        if self.server.refusals:
            self.server.refusals -= 1
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = self._document()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks.pop(0) if self.server.breaks else len(body)])
        self.close_connection = True

    def _job(self) -> None:
        self.server.done = done = self.server.looks.pop(0)
        state = "running" if self.server.looks else "completed"
        rows = {"total": ROWS, "done": done, "failed": 0}
        job = {"id": "x", "state": state, "rows": rows, "model_name": "m", "model_version": "1", "created_at": CREATED}
        body = json.dumps(job).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _document(self) -> bytes:
        query = parse_qs(urlsplit(self.path).query)
        first, accept = int(query.get("cursor", ["0"])[0]), self.headers["accept"]
        last = min(self.server.done, first + int(query.get("limit", [ROWS])[0]))
        if accept.startswith("text/csv"):
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            if "header=absent" not in accept:
                writer.writerow(["index", "prediction", "note"])
            writer.writerows([i, i / 2, 'two\nlines "quoted"'] for i in range(first, last))
            return out.getvalue().encode()
        if accept == "application/x-ndjson":
            rows = [i for i in range(first, last) if "/results" in self.path or i % 7 == 0]
            return "".join(json.dumps({"index": i, "prediction": i / 2}) + "\n" for i in rows).encode()
        return bytes(range(256)) * 100

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Breaking]:
    with Breaking() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasador.client.downloads._PAUSE", 0.01)


def test_results_go_on_where_a_transfer_broke(server: Breaking) -> None:
    server.breaks = [1000, 0, 10, 2000]
    with Client(server.url) as client:
        found = list(client.results("x"))
    assert [result.index for result in found] == list(range(ROWS))
    assert len(server.asked) == 5
    assert server.asked[0] == ""
    assert server.asked[1].startswith("cursor=")


def test_errors_go_on_behind_their_gaps(server: Breaking) -> None:
    server.breaks = [200, 250]
    out = io.BytesIO()
    with Client(server.url) as client:
        client.save_results("x", out, errors_only=True)
    assert [json.loads(line)["index"] for line in out.getvalue().splitlines()] == list(range(0, ROWS, 7))


def test_a_limit_holds_across_a_break(server: Breaking) -> None:
    server.breaks = [1000]
    with Client(server.url) as client:
        assert [result.index for result in client.results("x", cursor=5, limit=100)] == list(range(5, 105))


def test_a_csv_file_is_whole_with_one_header(server: Breaking, tmp_path: Path) -> None:
    out = tmp_path / "scored.csv"
    server.breaks = [5, 30, 77, 1001, 1500]  # in the header, in a row, and among the line breaks of a text
    with Client(server.url) as client:
        written = client.save_results("x", out)
    header, *rows = csv.reader(io.StringIO(out.read_text()))
    assert header == ["index", "prediction", "note"]
    assert rows == [[str(i), str(i / 2), 'two\nlines "quoted"'] for i in range(ROWS)]
    assert written == out.stat().st_size
    assert list(tmp_path.iterdir()) == [out]


def test_what_cannot_be_continued_is_begun_anew(server: Breaking, tmp_path: Path) -> None:
    out = tmp_path / "scored.parquet"
    server.breaks = [20_000, 300]
    with Client(server.url) as client:
        assert client.save_results("x", out) == 25_600
    assert out.read_bytes() == bytes(range(256)) * 100


def test_a_gateway_that_breaks_off_at_the_same_place_is_given_up(server: Breaking, tmp_path: Path) -> None:
    server.breaks = [500] + [3] * 100
    with Client(server.url) as client, pytest.raises(Unreachable, match="broke off"):
        client.save_results("x", tmp_path / "scored.ndjson")
    assert len(server.asked) == 4
    assert list(tmp_path.iterdir()) == []
    server.breaks = [20_000] * 100
    with Client(server.url) as client, pytest.raises(Unreachable):
        client.save_results("x", tmp_path / "scored.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_restart_of_the_gateway_is_borne(server: Breaking) -> None:
    server.breaks, server.refusals = [1000], 20
    with Client(server.url) as client:
        assert len(list(client.results("x"))) == ROWS


def test_an_outage_is_borne_for_a_minute_and_no_longer() -> None:
    times = iter([0.0, 10.0, 50.0, 60.0, 61.0])
    waited: list[float] = []
    patience = Patience(lambda: next(times), waited.append)
    for _ in range(3):
        patience.broke(Unreachable("there", "refused"), answered=False)
    with pytest.raises(Unreachable):
        patience.broke(Unreachable("there", "refused"), answered=False)
    assert len(waited) == 3


# While the job runs

LOOKS = [0, 30, 100, 105, 180, ROWS]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasador.client.saving._LEAST_ROWS", 20)
    monkeypatch.setattr("tasador.client.jobs._OFTEN", 0.01)


def cursors(server: Breaking) -> list[int]:
    return [int(parse_qs(query).get("cursor", ["0"])[0]) for query in server.asked]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_results_are_fetched_while_the_rest_is_scored(server: Breaking, tmp_path: Path, suffix: str) -> None:
    during, after = tmp_path / f"during.{suffix}", tmp_path / f"after.{suffix}"
    server.looks = [*LOOKS]
    seen: list[int] = []
    with Client(server.url) as client:
        job = client.wait("x", on_progress=lambda now: seen.append(now.rows.done), save_to=during)
        assert cursors(server) == [0, 30, 100, 180]  # nobody asks for the five between
        client.save_results("x", after)
    assert (job.state, seen) == ("completed", LOOKS)
    assert during.read_bytes() == after.read_bytes()
    assert sorted(tmp_path.iterdir()) == [after, during]


@pytest.mark.usefixtures("eager")
def test_a_transfer_that_breaks_while_the_job_runs_goes_on_at_its_next_look(server: Breaking, tmp_path: Path) -> None:
    server.looks, server.breaks = [*LOOKS], [500, 5]
    out = tmp_path / "scored.csv"
    with Client(server.url) as client:
        client.wait("x", save_to=out)
        assert server.asked_at == [30, 100, 105, 180, ROWS]  # once at each, though the first two broke
        client.save_results("x", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.usefixtures("eager")
def test_what_cannot_be_continued_is_fetched_at_the_end(server: Breaking, tmp_path: Path) -> None:
    server.looks = [*LOOKS]
    with Client(server.url) as client:
        client.wait("x", save_to=tmp_path / "scored.parquet")
    assert len(server.asked) == 1
    assert (tmp_path / "scored.parquet").read_bytes() == bytes(range(256)) * 100


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files of this process may have a thousand bytes."""
    before, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit(1000)
    yield
    limit(before)


def limit(file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.usefixtures("eager", "full_disk")
def test_a_disk_that_was_full_for_a_while_costs_nothing(server: Breaking, tmp_path: Path) -> None:
    def looked(job: Job) -> None:
        if job.rows.done > 100:
            limit(resource.RLIM_INFINITY)

    server.looks = [*LOOKS]
    with Client(server.url) as client:
        client.wait("x", save_to=tmp_path / "during.csv", on_progress=looked)
        client.save_results("x", tmp_path / "after.csv")
    assert (tmp_path / "during.csv").read_bytes() == (tmp_path / "after.csv").read_bytes()


@pytest.mark.usefixtures("eager", "full_disk")
@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet"])
def test_a_full_disk_is_told_when_the_job_has_ended(server: Breaking, tmp_path: Path, name: str) -> None:
    server.looks = [*LOOKS]
    with Client(server.url) as client, pytest.raises(OSError, match="File too large"):
        client.wait("x", save_to=tmp_path / name)
    assert server.looks == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("eager")
def test_who_stops_waiting_leaves_no_file(server: Breaking, tmp_path: Path) -> None:
    server.looks = [30] * 1000
    with Client(server.url) as client, pytest.raises(TimedOut):
        client.wait("x", timeout=0.1, save_to=tmp_path / "scored.csv")
    assert list(tmp_path.iterdir()) == []
