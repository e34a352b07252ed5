"""Where and how Tasador runs: environment > tasador.toml > the running stack > defaults.

What changes the model or how it is judged is in params.yaml instead. Each service adds its own fields, named after it
(`gateway_port`), in its `settings.py`; the variable of a field is its name in capitals after `TASADOR_`, and with
`_FILE` after it the path of a file that holds the value.
"""

import json
import os
import socket
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from shared.redis_url import check_redis_url, with_password
from shared.variables import (
    PREFIX,
    ROOT,
    SettingsInvalid,
    can_be_file,
    named_file,
    read_variable,
    resolved,
    variable,
    variables,
)
from shared.webhooks.addresses import Guard
from shared.webhooks.signing import key_of

__all__ = ["PREFIX", "ROOT", "SERVICES", "CommonSettings", "RunningStack", "SettingsInvalid", "config_file"]

SERVICES = ("gateway", "scorer", "trainer", "monitor")
_LAUNCHER = ("scorers", "gateway_workers", "valkey", "mlflow", "client")
"""What settings of the local stack begin with: `tasador/settings.py` reads them, services pass over them."""
_STACK_FIELDS = ("redis_url", "store_url", "mlflow_uri", "model_name")


class RunningStack(PydanticBaseSettingsSource):
    """Addresses of the local stack that runs now, so that a replica started by hand joins it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # the base class wants it; __call__ answers for all fields at once

    def __call__(self) -> dict[str, Any]:
        state = resolved(self.current_state.get("state_dir") or ROOT / ".tasador")
        try:
            stack = json.loads((state / "stack.json").read_text())
        except (OSError, ValueError):
            return {}
        return {name: stack[name] for name in _STACK_FIELDS if stack.get(name)}


class _Files(PydanticBaseSettingsSource):
    """Settings whose variables name a file. It can hold whatever the variable can."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # as above

    def __call__(self) -> dict[str, Any]:
        cls = self.settings_cls
        named = [name for name in cls.model_fields if can_be_file(name, cls) and named_file(variable(name))]
        return {name: value for name in named if (value := read_variable(variable(name)))}


def words(value: Any) -> Any:
    """A list in a variable is words between commas; in a file it is a list."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    key_of(value.get_secret_value())
    return value


def _allowed(value: tuple[str, ...]) -> tuple[str, ...]:
    Guard.of(value)
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    check_redis_url(value.get_secret_value())
    return value


RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
WebhookSecrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_secret)], ...], NoDecode, BeforeValidator(words)]
AllowedNetworks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words), AfterValidator(_allowed)]


class CommonSettings(BaseSettings):
    """What every service needs to know."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, validate_default=True
    )

    state_dir: Path = Field(
        ROOT / ".tasador", description="Everything the local stack keeps; deleting it is a clean start."
    )
    redis_url: RedisUrl = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis 7 or Valkey 8.")
    redis_password: SecretStr = Field(
        SecretStr(""), description="Password of Redis, as it is; used when there is none in redis_url."
    )
    store_url: str = Field(
        "", description="Artifacts, jobs, prediction log: file:///… or s3://…; default <state_dir>/store."
    )
    mlflow_uri: str = Field("", description="MLflow tracking URI; default SQLite in <state_dir>/mlflow.")
    params_path: Path = Field(ROOT / "params.yaml", description="What changes the model or how it is judged.")
    model_name: str = Field("", description="Which model to serve; default `model.name` of params.yaml.")
    tenant: str = Field("default", pattern=r"^[A-Za-z0-9_-]+$", description="Prefix of all keys in Redis.")
    replica_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{token_hex(3)}",
        description="Name of this process, unique per start.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON."
    )
    announce_seconds: PositiveFloat = Field(1.0, description="How often a replica says that it lives.")
    presence_seconds: PositiveInt = Field(6, description="Silent for longer, a replica counts as gone.")
    poll_seconds: PositiveFloat = Field(
        2.0, description="How often replicas look for the desired version without being told."
    )

    models_in_memory: PositiveInt = Field(3, description="Versions a gateway or scorer keeps loaded.")

    webhook_secrets: WebhookSecrets = Field(
        (), description="Secrets that sign webhooks, whsec_<base64> each; all of them sign. Without one there are none."
    )
    webhook_allowed_networks: AllowedNetworks = Field(
        (), description="Networks and hosts that webhooks may go to although they are not public."
    )
    job_retention_days: PositiveFloat = Field(
        30.0, description="Ended jobs are removed, input and results too, this long after their end."
    )

    @property
    def job_retention(self) -> timedelta:
        return timedelta(days=self.job_retention_days)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _OwnFields(settings_cls, toml_file=config_file())
        return init_settings, env_settings, _Files(settings_cls), file, RunningStack(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings, with the derived defaults filled in.

        Raises:
            SettingsInvalid: naming the variable or key, its file if it has one, and what is wrong with it.
        """
        _refuse_unknown_variables(cls)
        try:
            settings = cls(**overrides)
            return settings.model_copy(update=settings._derived())
        except ValidationError as invalid:
            lines = [f"{_named(e['loc'])}: {e['msg']}" for e in invalid.errors(include_input=False)]
            raise SettingsInvalid("\n".join(lines)) from None  # the original would print values, secrets included

    def _derived(self) -> dict[str, Any]:
        state = resolved(self.state_dir)
        params = resolved(self.params_path)
        password = self.redis_password.get_secret_value()
        address = with_password(self.redis_url.get_secret_value(), password)
        return {
            "state_dir": state,
            "params_path": params,
            "store_url": self.store_url or (state / "store").as_uri(),
            "mlflow_uri": self.mlflow_uri or f"sqlite:///{state / 'mlflow' / 'mlflow.db'}",
            "model_name": self.model_name or _model_name(params),
            **({"redis_url": SecretStr(address)} if password else {}),  # what is derived counts as asked for
        }


class _OwnFields(TomlConfigSettingsSource):
    """tasador.toml, less the keys that belong to other services."""

    def __call__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__call__().items() if not _of_another(key, self.settings_cls)}


def config_file() -> Path:
    """Return the configuration file: TASADOR_CONFIG, or tasador.toml in the repository; it need not exist."""
    return resolved(os.environ.get(f"{PREFIX}CONFIG") or ROOT / "tasador.toml")


def _of_another(name: str, settings: type[BaseSettings]) -> bool:
    """Whether a setting belongs to a service, or to the launcher, that `settings` are not for."""
    if name.lower() in settings.model_fields:
        return False
    owners = (each for each in (*SERVICES, *_LAUNCHER) if f"{name.lower()}_".startswith(f"{each}_"))
    owner = max(owners, key=len, default="")
    own = settings.__name__.removesuffix("Settings").lower()
    return bool(owner) and owner not in (_LAUNCHER if own == "stack" else (own,))


def _named(location: tuple[int | str, ...]) -> str:
    if not location:
        return "settings"
    name = variable(str(location[0]))
    path = named_file(name)
    return f"{name}, from {path}" if path and not os.environ.get(name) else name


def _refuse_unknown_variables(cls: type[BaseSettings]) -> None:
    """A misspelt variable would otherwise be silently without effect."""
    known = variables(cls)
    for name in os.environ:
        ours = name.startswith(PREFIX) and not _of_another(name.removeprefix(PREFIX), cls)
        if ours and name not in known:
            raise SettingsInvalid(f"{name} is no setting; `tasador config show` lists them all")


def _model_name(params: Path) -> str:
    try:
        name = (yaml.safe_load(params.read_text()) or {})["model"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise SettingsInvalid(
            f"cannot tell which model to serve: set {PREFIX}MODEL_NAME, or `model.name` in {params}"
        ) from None
    return str(name)
