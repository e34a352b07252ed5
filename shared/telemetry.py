"""Structured logs: JSON with the service, the replica and who asked for it; for people on a terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from shared.settings import CommonSettings

TRACE = ("request_id", "operation_id")
"""Fields that tie the lines of several processes together."""


def configure_logging(service: str, settings: CommonSettings) -> None:
    """Send structlog and the standard library's loggers (uvicorn, FastStream) through one renderer to stderr."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Any] = (
        [structlog.dev.ConsoleRenderer(repr_native_str=True)]  # what callers sent must not steer a terminal
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # 120 µs a request; the metrics count them
    structlog.contextvars.bind_contextvars(service=service, replica=settings.replica_id)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def traced(**ids: str | None) -> Iterator[None]:
    """Put ids on every log line of the block, in this task and in those it starts; empty ones are left out."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value}):
        yield


def trace() -> dict[str, str]:
    """Return who asked for what is done here, as far as it is known, to hand on to another process."""
    bound = structlog.contextvars.get_contextvars()
    return {name: bound[name] for name in TRACE if name in bound}
