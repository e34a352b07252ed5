"""`deploy/release.sh` with a real engine: releases that come up, and releases that do not."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.containers import require_engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# As much of a gateway as the script can see: it is healthy, or not, and predicts something, or nothing.
GATEWAY = """\
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health/ready" and os.environ["HEALTHY"] != "yes":
            return self.send_error(503)
        self.answer({"signature": {"features": []}})
    def do_POST(self):
        predicted = float(os.environ["PREDICTS"])
        self.answer({"model_name": "m", "model_version": os.environ["RELEASE"], "prediction": predicted})
    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
COMPOSE = """\
name: tasador
services:
  gateway:
    image: python:3.11-slim-bookworm
    pull_policy: never
    init: true
    stop_grace_period: 1s
    command: [python, /gateway.py]
    environment: {RELEASE: "%(release)s", HEALTHY: "%(healthy)s", PREDICTS: "%(predicts)s", OWN: "${OWN:-}"}
    volumes: ["./deploy/gateway.py:/gateway.py:ro"]
    secrets: [password]
    networks: {default: {aliases: [proxy]}}
    healthcheck:
      test: [CMD, python, -c, "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready')"]
      interval: 1s
      retries: 8
secrets:
  password: {file: ./secrets/password}
"""
LOCK = 'services: {gateway: {labels: {lock: "read"}}}\n'


class Host:
    """A directory as deploy.yml fills it on a host."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory = directory
        self.project = project
        (directory / "host/secrets").mkdir(parents=True)
        (directory / "host/secrets/password").write_text("secret")
        (directory / "host/.env").write_text(f"COMPOSE_PROJECT_NAME={project}\nOWN=of the host\n")

    def send(
        self, release: str, *, healthy: str = "yes", predicts: str = "1", compose: str = COMPOSE, age: int = 0
    ) -> None:
        """Put a release there, made some seconds ago."""
        deploy = self.directory / "releases" / release / "deploy"
        deploy.mkdir(parents=True)
        for script in ("release.sh", "smoke.py"):
            shutil.copy(ROOT / "deploy" / script, deploy)
        (deploy / "gateway.py").write_text(GATEWAY)
        values = {"release": release, "healthy": healthy, "predicts": predicts}
        (deploy.parent / "docker-compose.yml").write_text(compose % values)
        (deploy.parent / "compose.lock.yml").write_text(LOCK)
        (deploy.parent / ".env").write_text("OWN=of the release\n")
        made = time.time() - age
        os.utime(deploy.parent, (made, made))

    def start(self, release: str) -> tuple[int, str]:
        with self.starting(release) as script:
            said, _ = script.communicate()
        return script.returncode, said

    def starting(self, release: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", f"releases/{release}/deploy/release.sh", release],
            cwd=self.directory,
            env={**os.environ, "RELEASE_SECONDS": "30"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def current(self) -> str:
        link = self.directory / "current"
        return os.readlink(link) if link.is_symlink() else ""

    def serving(self) -> str:
        """Return what the container that runs says of itself."""
        say = (
            "import os; print(os.environ['RELEASE'], os.environ['OWN'], open('/run/secrets/password').read(), sep=', ')"
        )
        ask = ["docker", "exec", f"{self.project}-gateway-1", "python", "-c", say]
        return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()

    def clear(self) -> None:
        labelled = f"label=com.docker.compose.project={self.project}"
        containers = subprocess.run(["docker", "ps", "-aq", "-f", labelled], check=True, capture_output=True, text=True)
        for container in containers.stdout.split():
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=True, capture_output=True)
        subprocess.run(["docker", "network", "rm", f"{self.project}_default"], check=False, capture_output=True)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    require_engine()
    host = Host(tmp_path / "host", f"tasador-release-{os.urandom(3).hex()}")
    yield host
    host.clear()


def test_a_release_comes_into_service_and_sees_what_belongs_to_the_host(host: Host) -> None:
    host.send("v1")
    code, said = host.start("v1")
    assert code == 0, said
    assert "m version v1 predicts 1" in said
    assert host.serving() == "v1, of the host, secret"
    assert host.current == "releases/v1"


@pytest.mark.parametrize(("broken", "says"), [({"healthy": "no"}, "unhealthy"), ({"predicts": "nan"}, "no prediction")])
def test_a_release_that_does_not_work_is_taken_back(host: Host, broken: dict[str, str], says: str) -> None:
    host.send("v1")
    host.send("v2", **broken)  # type: ignore[arg-type]
    assert host.start("v1")[0] == 0
    code, said = host.start("v2")
    assert code == 1
    assert says in said
    assert "Back to v1, which is in service." in said
    assert host.serving() == "v1, of the host, secret"
    assert host.current == "releases/v1"


def test_it_is_taken_back_though_nobody_listens_any_more(host: Host) -> None:
    host.send("v1")
    host.send("v2", healthy="no")
    assert host.start("v1")[0] == 0
    with host.starting("v2") as script:
        assert script.stdout
        assert script.stdout.readline() == "Pulling the images of v2\n"
        script.stdout.close()  # the connection is lost
        assert script.wait() == 1
    assert host.serving() == "v1, of the host, secret"
    assert host.current == "releases/v1"
    assert "Back to v1, which is in service." in (host.directory / "releases/v2/release.log").read_text()


def test_a_first_release_that_does_not_work_leaves_its_logs_and_no_release(host: Host) -> None:
    host.send("v1", healthy="no")
    code, said = host.start("v1")
    assert code == 1
    assert "There is no release to go back to." in said
    assert '"GET /health/ready HTTP/1.1" 503' in said
    assert host.current == ""


def test_a_release_whose_images_cannot_be_had_changes_nothing(host: Host) -> None:
    host.send("v1")
    host.send(
        "v2", compose=COMPOSE.replace("python:3.11-slim-bookworm", "127.0.0.1:9/none:1").replace("never", "missing")
    )
    assert host.start("v1")[0] == 0
    code, said = host.start("v2")
    assert code == 1
    assert "The images of v2 cannot be pulled. Nothing was changed." in said
    assert host.serving() == "v1, of the host, secret"
    assert host.current == "releases/v1"


def test_the_newest_releases_are_kept_and_the_one_before(host: Host) -> None:
    host.send("first")
    assert host.start("first")[0] == 0
    os.utime(host.directory / "releases/first", (0, 0))
    for made in range(6):
        host.send(f"unused-{made}", age=100 - made)
    host.send("last")
    assert host.start("last")[0] == 0
    kept = {release.name for release in (host.directory / "releases").iterdir()}
    assert kept == {"last", "unused-5", "unused-4", "unused-3", "unused-2", "first"}
    assert (host.directory / "host/secrets/password").read_text() == "secret"


def test_a_release_that_was_not_sent_is_named(host: Host) -> None:
    host.send("v1")
    shutil.copytree(host.directory / "releases/v1", host.directory / "elsewhere")
    done = subprocess.run(
        ["sh", "elsewhere/deploy/release.sh", "v2"], cwd=host.directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "There is no releases/v2 in " in done.stderr
