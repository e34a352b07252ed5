from pathlib import Path

import pytest

from shared.settings import PREFIX, SERVICES
from tasador.cli.stack import without_scorers
from tasador.settings import StackSettings
from tasador.sources import all_settings, masked, settings_classes, unknown_variables


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASADOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TASADOR_CONFIG", str(tmp_path / "tasador.toml"))


def test_a_redis_that_was_asked_for_replaces_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StackSettings.load().external_redis is None
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://elsewhere:6379/0")
    assert StackSettings.load().external_redis == "redis://elsewhere:6379/0"


def test_the_addresses_of_a_killed_launcher_are_no_setting_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"redis_url": "redis://127.0.0.1:1/0"}')
    assert StackSettings.load().external_redis is None


@pytest.mark.parametrize("name", ["SCORERS", "MLFLOW_PORT", "VALKEY_PORT", "CLIENT_URL"])
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


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_MLFLOW_PROT", "1")
    assert unknown_variables(settings_classes()) == ["TASADOR_MLFLOW_PROT"]


def test_passwords_are_masked() -> None:
    assert masked("redis://me:secret@host:1/0") == "redis://me:***@host:1/0"
    assert masked("redis://:secret@host") == "redis://:***@host"
    assert masked("redis://host:1/0") == "redis://host:1/0"


def test_the_number_of_scorers_leaves_the_command_line() -> None:
    # Who looks for scorers by their command line must not find the launcher.
    assert without_scorers(["up", "--scorers", "3", "-d"]) == ["up", "-d"]
    assert without_scorers(["up", "--scorers=3"]) == ["up"]
