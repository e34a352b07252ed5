"""Where and how the monitor runs: `TASADOR_MONITOR_…`."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from services.monitor.windows import DAY, parse_length
from shared.settings import CommonSettings, words
from shared.webhooks.addresses import check_url


class _Allowed(NamedTuple):
    """Settings that decide where webhooks may go."""

    webhook_secrets: Sequence[Any]
    webhook_allowed_networks: Sequence[str]


class MonitorSettings(CommonSettings):
    monitor_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    monitor_port: int = Field(8001, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    monitor_address: str = Field("", description="Base URL that the replica announces; default http://<host>:<port>.")
    monitor_keep_days: PositiveInt = Field(8, description="How long windows can look back.")
    monitor_windows: Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)] = Field(
        ("5m", "1h", "24h"), description="Windows of /stats and of the metrics. The alert rules look at 5m and 1h."
    )
    monitor_log_seconds: PositiveFloat = Field(10.0, description="Logged predictions reach the store this often ...")
    monitor_log_rows: PositiveInt = Field(20_000, description="... or when this many rows are waiting.")
    monitor_log_buffer_rows: PositiveInt = Field(
        100_000, description="Rows held in memory while the store is away; further ones wait in Redis."
    )
    monitor_log_days: NonNegativeInt = Field(
        90, description="Days of the prediction log are removed after this long; 0 keeps them for ever."
    )
    monitor_log_tidy_seconds: PositiveFloat = Field(
        600.0, description="How often small files of the log become large ones, and old days go."
    )
    monitor_log_file_rows: PositiveInt = Field(500_000, description="Rows of a large file of the log at most ...")
    monitor_log_file_mb: PositiveInt = Field(
        64, description="... and megabytes in memory; making one takes some four times as many."
    )
    monitor_quality_windows: Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)] = Field(
        ("24h", "7d", "30d"), description="Windows of /quality and of its metrics."
    )
    monitor_quality_days: PositiveInt = Field(
        400, description="How long the quality of predictions is kept, by the day that they were made."
    )
    monitor_feedback_days: PositiveFloat = Field(
        7.0, description="How long feedback waits for its prediction before it is given up."
    )
    monitor_feedback_waiting: PositiveInt = Field(
        200_000, description="How many values may wait so; further ones are given up at once."
    )
    monitor_reclaim_seconds: PositiveFloat = Field(
        30.0, description="Events that a monitor left unfinished for this long are taken over by another."
    )
    monitor_unknown_seconds: PositiveFloat = Field(
        120.0, description="How long events of a version whose artifact cannot be read are kept and tried again."
    )
    monitor_heartbeat_seconds: PositiveFloat = Field(
        15.0, description="How often a heartbeat is sent through the queue of chunks and a scorer."
    )
    monitor_evaluate_seconds: PositiveFloat = Field(
        3600.0, description="Drift, latency and quality are evaluated at every full multiple of this, by the clock."
    )
    monitor_latency_p99_seconds: PositiveFloat = Field(
        0.1, description="Engine time per prediction that 99 of 100 must keep to; else an alert fires."
    )
    monitor_alert_webhook: SecretStr = Field(
        SecretStr(""), description="URL that is told when an alert fires, and when it is resolved; empty for none."
    )
    monitor_lease_seconds: PositiveFloat = Field(
        15.0, description="When the leading monitor dies, another follows after this."
    )
    monitor_drain_seconds: PositiveInt = Field(10, le=60, description="Time to finish after SIGTERM.")
    monitor_webhook_timeout_seconds: PositiveFloat = Field(
        15.0, le=60, description="How long an attempt to deliver a webhook may take."
    )
    monitor_webhook_retry_seconds: PositiveFloat = Field(
        5.0, description="Longest pause after a webhook's first failure; it doubles with each further one."
    )
    monitor_webhook_give_up_hours: PositiveFloat = Field(
        24.0, description="How long after the first attempt a webhook is given up."
    )

    @model_validator(mode="after")
    def _windows_are_kept(self) -> Self:
        for text in self.monitor_windows:
            parse_length(text, self.monitor_keep_days * DAY)
        for text in self.monitor_quality_windows:
            parse_length(text, self.monitor_quality_days * DAY)
        return self

    @field_validator("monitor_alert_webhook")
    @classmethod
    def _can_be_told(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if url.get_secret_value():
            check_url(url.get_secret_value(), _Allowed(**{name: info.data.get(name, ()) for name in _Allowed._fields}))
        return url
