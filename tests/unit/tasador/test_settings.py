from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.settings import PREFIX, SERVICES
from tasador.cli.connect import monitor_url
from tasador.cli.stack import without
from tasador.settings import StackSettings
from tasador.sources import all_settings, masked, settings_classes, unknown_variables
from tasador.stack.commands import layout


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASADOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TASADOR_CONFIG", str(tmp_path / "tasador.toml"))


def test_a_redis_that_was_asked_for_replaces_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StackSettings.load().external_redis is None
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://elsewhere:6379/0")
    assert StackSettings.load().external_redis == "redis://elsewhere:6379/0"


def test_a_redis_with_a_password_is_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_REDIS_PASSWORD", "secret")
    assert StackSettings.load().external_redis == "redis://:secret@127.0.0.1:6379/0"


def test_services_are_told_in_place_of_the_files_that_told_the_launcher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("redis://elsewhere:1/0")
    monkeypatch.setenv("TASADOR_REDIS_URL_FILE", str(tmp_path / "url"))
    settings = StackSettings.load()
    assert settings.external_redis == "redis://elsewhere:1/0"
    for name, value in layout(settings, settings.external_redis).environment().items():
        monkeypatch.setenv(name, value)
    for service, kind in settings_classes().items():
        assert kind.load().redis_url.get_secret_value() == "redis://elsewhere:1/0", service


def test_the_addresses_of_a_killed_launcher_are_no_setting_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"redis_url": "redis://127.0.0.1:1/0"}')
    assert StackSettings.load().external_redis is None


@pytest.mark.parametrize(
    "name", ["SCORERS", "GATEWAY_WORKERS", "MLFLOW_PORT", "VALKEY_PORT", "CLIENT_URL", "CLIENT_MONITOR_URL"]
)
def test_services_pass_over_what_only_the_launcher_reads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name, "3")
    for service, kind in settings_classes().items():
        assert kind.load(model_name="m"), service


def test_every_setting_is_shown_once_with_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASADOR_SCORERS", "5")
    (tmp_path / "tasador.toml").write_text("gateway_port = 9000\n")
    settings = {setting.variable: setting for setting in all_settings()}
    assert (settings["TASADOR_SCORERS"].value, settings["TASADOR_SCORERS"].source) == ("5", "environment")
    assert settings["TASADOR_GATEWAY_PORT"].source == "tasador.toml"
    assert settings["TASADOR_TENANT"].source == "default"
    assert {"common", "stack", *SERVICES} == {setting.of for setting in settings.values()}
    assert all(setting.description for setting in settings.values())


def test_a_setting_from_a_file_is_shown_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter://2\n")
    (tmp_path / "port").write_text("9000\n")
    (tmp_path / "empty").touch()
    monkeypatch.setenv("TASADOR_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("TASADOR_GATEWAY_PORT_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("TASADOR_TENANT_FILE", str(tmp_path / "empty"))
    settings = {setting.variable: setting for setting in all_settings()}
    password, port = settings["TASADOR_REDIS_PASSWORD"], settings["TASADOR_GATEWAY_PORT"]
    assert (password.value, password.source) == ("***", str(tmp_path / "password"))
    assert (port.value, port.source) == ("9000", str(tmp_path / "port"))
    assert settings["TASADOR_TENANT"].source == "default"
    assert settings["TASADOR_REDIS_URL"].value == "redis://:***@127.0.0.1:6379/0"


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_MLFLOW_PROT", "1")
    monkeypatch.setenv("TASADOR_SCORERS_FIEL", "1")
    assert unknown_variables(settings_classes()) == ["TASADOR_MLFLOW_PROT", "TASADOR_SCORERS_FIEL"]


def test_passwords_are_masked() -> None:
    assert masked("redis://me:secret@host:1/0") == "redis://me:***@host:1/0"
    assert masked("redis://:secret@host") == "redis://:***@host"
    assert masked("redis://:sec@ret@host/a@b") == "redis://:***@host/a@b"
    assert masked("redis://host:1/0") == "redis://host:1/0"
    assert masked(SecretStr("any://where")) == "***"
    assert masked(SecretStr("")) == ""


def test_the_number_of_scorers_leaves_the_command_line() -> None:
    # Who looks for scorers by their command line must not find the launcher.
    counts = ("scorers", "gateway-workers")
    assert without(counts, ["up", "--scorers", "3", "-d"]) == ["up", "-d"]
    assert without(counts, ["up", "--scorers=3", "--gateway-workers=2", "--reload"]) == ["up", "--reload"]


def test_the_command_line_finds_the_monitor_where_it_is_told_or_at_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert monitor_url(StackSettings.load(monitor_port=9001)) == "http://127.0.0.1:9001"
    monkeypatch.setenv("TASADOR_CLIENT_MONITOR_URL", "http://monitor:8001")
    assert monitor_url(StackSettings.load()) == "http://monitor:8001"
