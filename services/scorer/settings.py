"""How a scorer runs: `TASADOR_SCORER_…`."""

from datetime import timedelta

from pydantic import Field, PositiveFloat, PositiveInt

from shared.settings import CommonSettings


class ScorerSettings(CommonSettings):
    scorer_host: str = Field("127.0.0.1", description="Address of health and metrics; 0.0.0.0 for all.")
    scorer_port: int = Field(0, ge=0, le=65535, description="Port of health and metrics; 0 takes a free one.")
    scorer_address: str = Field("", description="Base URL that the replica announces; default http://<host>:<port>.")
    scorer_lease_seconds: float = Field(
        15.0, ge=0.5, description="A chunk whose scorer was silent for longer is taken over by another."
    )
    scorer_drain_seconds: PositiveFloat = Field(
        20.0, le=40, description="How long the chunk in work may take after SIGTERM; then it is handed back."
    )
    scorer_max_rows_per_second: PositiveFloat | None = Field(
        None, description="Score no faster than this, to leave the machine to others; default unlimited."
    )
    scorer_chunk_seconds: PositiveFloat = Field(
        60.0, le=86_400, description="An engine that takes longer over a chunk hangs: the scorer ends itself."
    )
    scorer_max_deliveries: PositiveInt = Field(
        20, description="A chunk that was started this often without result is given up: its rows end in errors."
    )
    scorer_event_bytes: PositiveInt = Field(
        67_108_864, description="Most bytes of the stream of scored chunks in Redis; above, its events are dropped."
    )
    scorer_janitor_seconds: PositiveFloat = Field(5.0, description="How often one scorer looks for work that got lost.")

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.scorer_lease_seconds)
