import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from shared.probe import probe
from shared.settings import ROOT


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/ready"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"ready" if ready else b"waiting for a model")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_success_is_well(server: str) -> None:
    assert probe(f"{server}/ready") == (True, "ready")


def test_a_refusal_is_not_and_says_why(server: str) -> None:
    assert probe(f"{server}/else") == (False, "503 waiting for a model")


def test_nobody_there_is_not_well(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    well, said = probe("http://127.0.0.1:9/")
    assert not well
    assert "refused" in said


def test_a_proxy_of_the_environment_is_not_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert probe(f"{server}/ready")[0]


def test_the_exit_code_is_what_docker_looks_at(server: str) -> None:
    def code(*arguments: str) -> int:
        argv = [sys.executable, "-m", "shared.probe", *arguments]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, check=False).returncode

    assert [code(f"{server}/ready"), code(f"{server}/else"), code("no-url"), code()] == [0, 1, 1, 2]
