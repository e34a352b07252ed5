"""What can be set about the local stack; see shared/settings.py for the order of sources."""

from typing import Any

from pydantic import Field, PositiveInt
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from shared.settings import CommonSettings, RunningStack, SettingsInvalid


class StackSettings(CommonSettings):
    """The launcher's settings.

    Addresses of a stack that runs, or that a killed launcher left in stack.json, are no source here: the launcher
    is who decides them.
    """

    scorers: PositiveInt = Field(2, le=64, description="How many scorers `tasador up` starts.")
    gateway_workers: PositiveInt = Field(1, le=64, description="How many gateways `tasador up` starts on its port.")
    gateway_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    gateway_port: int = Field(8000, ge=1, le=65535, description="Port of the gateway.")
    monitor_port: int = Field(8001, ge=1, le=65535, description="Port of the monitor.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of MLflow's pages.")
    mlflow_ui: bool = Field(True, description="Whether `tasador up` serves MLflow's pages.")
    valkey_port: int = Field(
        6379, ge=1, le=65535, description="Port of the embedded Valkey; a free one when it is in use."
    )
    valkey_maxmemory: str = Field(
        "512mb", pattern=r"^\d+([kmg]b?)?$", description="Memory of the embedded Valkey, as Valkey writes it."
    )

    client_url: str = Field(
        "", description="Gateway that the CLI talks to; default that of the running stack, or gateway_port here."
    )
    client_monitor_url: str = Field(
        "", description="Monitor that the CLI talks to; default that of the running stack, or monitor_port here."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        return tuple(source for source in sources if not isinstance(source, RunningStack))

    @property
    def external_redis(self) -> str | None:
        """The Redis that was asked for, by its address or a password, in place of the embedded Valkey.

        The embedded one has no password: it listens on loopback, and whoever is there could read ours.
        """
        return self.redis_url.get_secret_value() if "redis_url" in self.model_fields_set else None

    def _derived(self) -> dict[str, Any]:
        try:
            return super()._derived()
        except SettingsInvalid:
            # `down`, `status` and `doctor` must work without params.yaml; what serves a model refuses by itself.
            return self.model_copy(update={"model_name": "unknown"})._derived()
