"""Environment, or a file > tasador.toml > running stack > default; misspelt is refused, and no secret is printed."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from shared.settings import CommonSettings, SettingsInvalid


class GatewaySettings(CommonSettings):
    gateway_port: int = Field(8000, ge=0)
    gateway_log: str = ""
    gateway_log_file: str = "none"


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


def test_a_file_counts_as_the_environment_does(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "tasador.toml").write_text("gateway_port = 9")
    (place / "port").write_text("10\n")
    monkeypatch.setenv("TASADOR_GATEWAY_PORT_FILE", str(place / "port"))
    assert GatewaySettings.load().gateway_port == 10
    (place / "port").write_text("\n")
    assert GatewaySettings.load().gateway_port == 9


def test_a_list_in_a_file_is_one_of_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "networks").write_text("10.0.0.0/8,\n172.16.0.1\n")
    monkeypatch.setenv("TASADOR_WEBHOOK_ALLOWED_NETWORKS_FILE", str(place / "networks"))
    assert GatewaySettings.load().webhook_allowed_networks == ("10.0.0.0/8", "172.16.0.1")


def test_a_wrong_value_in_a_file_is_named_with_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "port").write_text("hunter2")
    monkeypatch.setenv("TASADOR_GATEWAY_PORT_FILE", str(place / "port"))
    with pytest.raises(SettingsInvalid, match=f"TASADOR_GATEWAY_PORT, from {place / 'port'}: ") as refused:
        GatewaySettings.load()
    assert "hunter2" not in str(refused.value)


def test_a_variable_and_its_file_are_refused_by_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "port").write_text("10")
    monkeypatch.setenv("TASADOR_GATEWAY_PORT_FILE", str(place / "port"))
    monkeypatch.setenv("TASADOR_GATEWAY_PORT", "11")
    with pytest.raises(SettingsInvalid, match="TASADOR_GATEWAY_PORT and TASADOR_GATEWAY_PORT_FILE"):
        GatewaySettings.load()


@pytest.mark.parametrize("variable", ["TASADOR_REDIS_ULR_FILE", "TASADOR_GATEWAY_PROT_FILE", "TASADOR_CONFIG_FILE"])
def test_the_file_of_an_unknown_variable_is_refused_by_name(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(SettingsInvalid, match=variable):
        GatewaySettings.load()


def test_the_file_of_another_service_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_SCORER_LEASE_SECONDS_FILE", "/nowhere")
    GatewaySettings.load()


def test_a_setting_whose_name_ends_like_that_of_a_file_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_GATEWAY_LOG_FILE", "/nowhere")
    settings = GatewaySettings.load()
    assert (settings.gateway_log, settings.gateway_log_file) == ("", "/nowhere")


def test_the_password_of_redis_goes_into_its_address(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "password").write_text("hunter@2\n")
    monkeypatch.setenv("TASADOR_REDIS_PASSWORD_FILE", str(place / "password"))
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://me@host:1/0")
    settings = GatewaySettings.load()
    assert settings.redis_url.get_secret_value() == "redis://me:hunter%402@host:1/0"
    assert "hunter" not in repr(settings)
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://:own@host:1/0")
    assert GatewaySettings.load().redis_url.get_secret_value() == "redis://:own@host:1/0"


def test_an_address_that_is_none_of_redis_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://:hunter/2@host")
    with pytest.raises(SettingsInvalid, match=r"TASADOR_REDIS_URL: .*percent-encoded") as refused:
        GatewaySettings.load()
    assert "hunter" not in str(refused.value)


def test_the_model_is_the_one_of_the_params_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASADOR_MODEL_NAME")
    (place / "params.yaml").write_text("model: {name: diamonds}")
    monkeypatch.setenv("TASADOR_PARAMS_PATH", str(place / "params.yaml"))
    assert GatewaySettings.load().model_name == "diamonds"
    (place / "params.yaml").write_text("[")
    with pytest.raises(SettingsInvalid, match=r"model\.name"):
        GatewaySettings.load()
