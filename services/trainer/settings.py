"""Where and how the trainer runs."""

from pydantic import Field, PositiveFloat

from shared.settings import CommonSettings


class TrainerSettings(CommonSettings):
    """Read once at start-up from `TASADOR_…` and `TASADOR_TRAINER_…`."""

    trainer_host: str = Field("127.0.0.1", description="Where health and metrics listen.")
    trainer_port: int = Field(0, ge=0, le=65535, description="Port of health and metrics; 0 takes a free one.")
    trainer_train_if_missing: bool = Field(True, description="Train at start-up when there is no champion.")
    trainer_lease_seconds: PositiveFloat = Field(15.0, description="After this long a dead trainer may be followed.")
    trainer_converge_seconds: PositiveFloat = Field(
        15.0, description="How long an operation waits for replicas to serve the new epoch before it ends."
    )
    trainer_revision: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._:/+@-]{0,128}$",
        description="Revision of the code that versions are noted with; default the commit that params.yaml is at.",
    )
