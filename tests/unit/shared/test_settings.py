"""Environment > tasador.toml > running stack > default; a misspelt name is refused, and no secret is printed."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from shared.settings import CommonSettings, SettingsInvalid


class GatewaySettings(CommonSettings):
    gateway_port: int = Field(8000, ge=0)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASADOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TASADOR_CONFIG", str(tmp_path / "tasador.toml"))
    monkeypatch.setenv("TASADOR_MODEL_NAME", "m")
    return tmp_path


def test_defaults_follow_the_state_directory(place: Path) -> None:
    settings = GatewaySettings.load()
    assert settings.store_url == (place / "store").as_uri()
    assert settings.mlflow_uri == f"sqlite:///{place}/mlflow/mlflow.db"


def test_the_file_overrules_the_running_stack(place: Path) -> None:
    (place / "stack.json").write_text(json.dumps({"redis_url": "redis://stack:1", "gateway_url": "ignored"}))
    assert GatewaySettings.load().redis_url.get_secret_value() == "redis://stack:1"
    (place / "tasador.toml").write_text('redis_url = "redis://file:2"\ngateway_port = 9')
    settings = GatewaySettings.load()
    assert settings.redis_url.get_secret_value() == "redis://file:2"
    assert settings.gateway_port == 9


def test_the_environment_overrules_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "tasador.toml").write_text("gateway_port = 9")
    monkeypatch.setenv("TASADOR_GATEWAY_PORT", "10")
    assert GatewaySettings.load().gateway_port == 10


@pytest.mark.parametrize("variable", ["TASADOR_REDIS_ULR", "TASADOR_GATEWAY_PROT"])
def test_an_unknown_variable_is_refused_by_name(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingsInvalid, match=variable):
        GatewaySettings.load()


def test_a_variable_of_another_service_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_SCORER_LEASE_SECONDS", "9")
    GatewaySettings.load()


def test_an_unknown_key_in_the_file_is_refused(place: Path) -> None:
    (place / "tasador.toml").write_text("gateway_prot = 9\nscorer_lease_seconds = 3")
    with pytest.raises(SettingsInvalid, match="GATEWAY_PROT"):
        GatewaySettings.load()


def test_a_wrong_value_is_named_and_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_GATEWAY_PORT", "many")
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://:hunter2@host/0")
    with pytest.raises(SettingsInvalid, match="TASADOR_GATEWAY_PORT") as refused:
        GatewaySettings.load()
    assert "hunter2" not in str(refused.value)
    monkeypatch.delenv("TASADOR_GATEWAY_PORT")
    assert "hunter2" not in repr(GatewaySettings.load())


def test_the_model_is_the_one_of_the_params_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASADOR_MODEL_NAME")
    (place / "params.yaml").write_text("model: {name: diamonds}")
    monkeypatch.setenv("TASADOR_PARAMS_PATH", str(place / "params.yaml"))
    assert GatewaySettings.load().model_name == "diamonds"
    (place / "params.yaml").write_text("[")
    with pytest.raises(SettingsInvalid, match=r"model\.name"):
        GatewaySettings.load()
