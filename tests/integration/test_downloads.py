"""The client against a gateway, played by a few lines of socket code, whose connections break in the middle."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tasador.client import Client, Unreachable
from tasador.client.downloads import Patience

ROWS = 200


class Breaking(ThreadingHTTPServer):
    """Answers /results like a gateway, and breaks off after so many bytes, as often as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.breaks: list[int] = []
        self.asked: list[str] = []
        self.refusals = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Breaking

    def do_GET(self) -> None:
        self.server.asked.append(urlsplit(self.path).query)
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

    def _document(self) -> bytes:
        query = parse_qs(urlsplit(self.path).query)
        first, accept = int(query.get("cursor", ["0"])[0]), self.headers["accept"]
        last = min(ROWS, first + int(query.get("limit", [ROWS])[0]))
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
