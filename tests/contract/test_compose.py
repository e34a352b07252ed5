"""What the compose file, the Dockerfile and .env.example promise each other. tests/compose runs them."""

import re
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import yaml

from services.gateway.settings import GatewaySettings
from services.monitor.settings import MonitorSettings
from services.scorer.settings import ScorerSettings
from shared.settings import ROOT, SERVICES
from tasador.settings import StackSettings

COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
ONE_SHOT = "bucket"


@cache
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
    return found


LASTING = [name for name in services() if name != ONE_SHOT]


@pytest.mark.parametrize("name", LASTING)
def test_a_service_is_watched_bounded_restarted_and_ended_with_patience(name: str) -> None:
    service = services()[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["healthcheck"]["start_interval"]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert service["logging"]["options"]["max-size"], "nothing else bounds the logs"


@pytest.mark.parametrize("name", services())
def test_a_container_may_change_nothing_but_its_volumes(name: str) -> None:
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", services())
def test_a_volume_has_a_name(name: str) -> None:
    """One without is left behind by every `down`, and by every replica that is taken away."""
    for volume in services()[name].get("volumes", []):
        assert ":" in volume


@pytest.mark.parametrize("name", services())
def test_who_depends_says_on_what(name: str) -> None:
    depends = services()[name].get("depends_on", {})
    assert all(condition["condition"] for condition in depends.values())


def test_ports_are_for_people_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert set(published) == {"proxy", "monitor", "mlflow", "prometheus", "alertmanager", "grafana"}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+}:\d+", port) for port in ports), ports


def test_a_container_is_killed_only_after_its_drain() -> None:
    drains = {
        "gateway": GatewaySettings.model_fields["gateway_drain_seconds"].default,
        "scorer": ScorerSettings.model_fields["scorer_drain_seconds"].default,
        "monitor": MonitorSettings.model_fields["monitor_drain_seconds"].default,
        "proxy": GatewaySettings.model_fields["gateway_drain_seconds"].default,
    }
    for name, drain in drains.items():
        assert grace(services()[name]["stop_grace_period"]) > timedelta(seconds=drain) * 1.5, name


def grace(text: str) -> timedelta:
    seconds = re.search(r"(\d+)s", text)
    assert seconds, text
    return timedelta(seconds=int(seconds[1]))


def test_ports_of_a_person_default_to_those_of_make_up() -> None:
    for name in ("gateway_port", "monitor_port", "mlflow_port"):
        assert f"${{TASADOR_{name.upper()}:-{StackSettings.model_fields[name].default}}}" in COMPOSE


def test_every_variable_of_the_compose_file_is_in_the_example_with_its_default() -> None:
    used = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)}", COMPOSE))
    for told_otherwise in ("ENV_FILE", "REVISION", "VERSION"):
        used.pop(told_otherwise)
    example = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert set(used) - set(example) == set()
    differing = {name for name, default in used.items() if example[name] != default}
    assert differing <= {
        *(name for name in used if name.endswith("_FILE")),
        "TASADOR_STORE_URL",
        "IMAGES",
    }


def test_the_example_names_settings_that_exist() -> None:
    names = set(re.findall(r"^#(TASADOR_[A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    known = {
        f"TASADOR_{field.upper()}"
        for settings in (GatewaySettings, ScorerSettings, MonitorSettings, StackSettings)
        for field in settings.model_fields
    }
    assert names - known == set()


def test_there_is_an_image_for_each_service_and_a_service_for_each_image() -> None:
    targets = set(re.findall(r"^FROM .* AS ([a-z]+)$", DOCKERFILE, re.MULTILINE)) - {"builder", "code", "runtime"}
    assert targets == {*SERVICES, "proxy"}
    assert {service["build"]["target"] for service in services().values() if "build" in service} == targets


@pytest.mark.parametrize("target", [*SERVICES, "proxy"])
def test_an_image_says_how_to_see_that_it_is_well_and_starts_without_a_shell(target: str) -> None:
    (stage,) = re.findall(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert re.search(r'^HEALTHCHECK .*\\\n    CMD \["', stage, re.MULTILINE)
    assert re.search(r'^CMD \["', stage, re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_installs_its_own_lock_by_hash(service: str) -> None:
    assert f"--require-hashes -r /requirements/{service}.txt" in DOCKERFILE


@pytest.mark.parametrize("service", ["gateway", "scorer", "monitor"])
@pytest.mark.parametrize("library", ["scikit-learn", "pandas", "mlflow", "scipy", "matplotlib"])
def test_serving_images_have_no_training_library(service: str, library: str) -> None:
    lock = (ROOT / f"requirements/{service}.txt").read_text()
    tests_drift = (service, library) == ("monitor", "scipy")
    assert bool(re.search(rf"^{library}\b", lock, re.MULTILINE)) == tests_drift


def test_no_secret_has_a_value_here() -> None:
    assert (ROOT / "deploy/unset").read_bytes() == b""
    for secret in yaml.safe_load(COMPOSE)["secrets"].values():
        assert secret["file"].endswith(":-./deploy/unset}")


@pytest.mark.parametrize(
    "text", [COMPOSE, DOCKERFILE, EXAMPLE], ids=["docker-compose.yml", "Dockerfile", ".env.example"]
)
def test_every_file_that_is_named_exists(text: str) -> None:
    named = re.findall(r"(?<![\w/.])((?:deploy|docs|requirements|services|shared|tests)/[\w./-]*\w)", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
