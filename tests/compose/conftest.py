"""The stack that the tests of this folder share, and the logs of its containers where one fails."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasador.client import Client
from tests.compose.commands import CommandFailed
from tests.compose.rows import write_params
from tests.compose.stack import ComposeStack
from tests.containers import require_engine
from tests.unit.webhooks.test_signing import SECRET

_running: list[ComposeStack] = []


@contextmanager
def running(stack: ComposeStack, *services: str) -> Iterator[ComposeStack]:
    """Bring it up, and leave nothing of it, whatever happens in between."""
    _running.append(stack)
    try:
        try:
            stack.up(*services)
        except CommandFailed:
            stack.save_logs()
            raise
        yield stack
    finally:
        _running.remove(stack)
        stack.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for stack in _running:
            report.sections.append((f"Containers of {stack.project}", _told(stack)))
    return report


def _told(stack: ComposeStack) -> str:
    try:
        stack.save_logs()
        return stack.told(of_all=True)
    except CommandFailed as failed:  # the test's own failure says more
        return str(failed)


@pytest.fixture(scope="package")
def images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What docker-compose.yml builds, as the code is now."""
    require_engine()
    ComposeStack(tmp_path_factory.mktemp("images"), "images").build()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, images: None) -> Iterator[ComposeStack]:
    """Everything but the profiles, with a password, and scorers that are slow enough to be met at work."""
    directory = tmp_path_factory.mktemp("stack")
    stack = ComposeStack(
        directory,
        "main",
        TASADOR_PARAMS_PATH=write_params(directory / "params.yaml", trees=40),
        REDIS_PASSWORD_FILE=a_secret(directory / "redis_password", os.urandom(16).hex()),
        WEBHOOK_SECRETS_FILE=a_secret(directory / "webhook_secrets", SECRET),
        TASADOR_WEBHOOK_ALLOWED_NETWORKS="receiver",
        TASADOR_GATEWAY_CHUNK_ROWS=300,
        TASADOR_SCORER_MAX_ROWS_PER_SECOND=400,
        TASADOR_SCORER_LEASE_SECONDS=3,
        TASADOR_SCORER_JANITOR_SECONDS=1,
        TASADOR_PRESENCE_SECONDS=4,
    )
    with running(stack):
        yield stack


@pytest.fixture
def client(stack: ComposeStack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


def a_secret(path: Path, value: str) -> Path:
    path.write_text(f"{value}\n")
    path.chmod(0o644)  # those who read it have another user's id
    return path
