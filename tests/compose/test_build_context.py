"""`.dockerignore`: what the builder is sent, and so what can get into an image at all."""

import shutil
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.compose.commands import run
from tests.containers import require_engine

pytestmark = pytest.mark.docker

NEEDED = {
    "deploy/proxy/haproxy.cfg",
    "deploy/trim.sh",
    "requirements/gateway.txt",
    "services/gateway/__main__.py",
    "shared/kernel/kernel.c",
    "shared/scripts/begin.lua",
}
UNWANTED = {
    ".env",
    ".tasador/store/models/m/champion.json",
    ".venv/bin/python",
    "data/table.csv",
    "deploy/Dockerfile",
    "docker-compose.yml",
    "secrets/redis_password",
    "services/.env",
    "services/gateway/__pycache__/__main__.cpython-311.pyc",
    "shared/kernel/.build-x/kernel.o",
    "shared/kernel/kernel-linux-x86_64-glibc-0.so",  # compiled for the machine outside
    "tests/conftest.py",
}


def test_the_builder_is_sent_the_sources_and_nothing_that_was_made_or_is_secret(tmp_path: Path) -> None:
    require_engine()
    checkout, sent = tmp_path / "checkout", tmp_path / "sent"
    for name in NEEDED | UNWANTED:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    shutil.copy(ROOT / ".dockerignore", checkout)
    everything = tmp_path / "Dockerfile"
    everything.write_text("FROM scratch\nCOPY . /\n")
    run("docker", "build", "--quiet", "--file", str(everything), "--output", f"type=local,dest={sent}", str(checkout))
    assert {str(path.relative_to(sent)) for path in sent.rglob("*") if path.is_file()} == NEEDED
