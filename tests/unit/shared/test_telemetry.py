"""What log lines look like, and which ids are on them."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from shared.settings import CommonSettings
from shared.telemetry import configure_logging, get_logger, trace, traced


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, processors = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**processors)
    structlog.contextvars.clear_contextvars()


def configured(log_format: Literal["json", "console"]) -> structlog.stdlib.BoundLogger:
    configure_logging("scorer", CommonSettings(log_format=log_format, replica_id="one"))
    return get_logger(f"tests.{log_format}")


def test_a_line_names_its_service_its_replica_and_who_asked(capsys: pytest.CaptureFixture[str]) -> None:
    log = configured("json")
    with traced(request_id="r", operation_id=""):
        log.info("job started", rows=3)
        assert trace() == {"request_id": "r"}
    log.info("ready")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first.items() >= {"service": "scorer", "replica": "one", "event": "job started", "rows": 3}.items()
    assert first["request_id"] == "r"
    assert "operation_id" not in first
    assert "request_id" not in second
    assert trace() == {}


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("sent", ["a\nlevel=error event=forged", "\x1b[2J", "a\rb"])
def test_what_callers_send_makes_no_line_and_steers_no_terminal(
    log_format: Literal["json", "console"], sent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(log_format).info("command given", reason=sent)
    written = capsys.readouterr().err
    assert len(written.splitlines()) == 1
    assert sent not in written
