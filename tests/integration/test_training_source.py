"""Fetching the data over HTTP, from a server on this machine."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.trainer.source import SourceUnavailable, read_source


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Serve the directory of the test."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_table_is_fetched_over_http(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")

    assert read_source(f"{url}/a.csv", tmp_path) == b"x\n1\n"


def test_a_page_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"/nowhere\.csv cannot be read: 404"):
        read_source(f"{url}/nowhere.csv", tmp_path)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1/a\.csv cannot be read: Cannot connect"):
        read_source("http://127.0.0.1:1/a.csv", tmp_path)
