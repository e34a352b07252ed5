"""What .github promises: pinned actions, least rights, and names that exist elsewhere in the repository."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)

RIGHTS = {
    "ci": {"contents": "read"},
    "images": {
        "contents": "read",
        "packages": "write",
        "id-token": "write",
        "attestations": "write",
        "actions": "write",
    },
    "deploy": {"contents": "read", "packages": "read", "attestations": "read"},
    "retrain": {"contents": "read"},
    "locks": {"contents": "write", "pull-requests": "write", "actions": "write"},
}
"""The most that any job of a workflow may do. A job that gets more is a change to think about."""


@cache
def parsed(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)  # `on` is a word here, not a truth
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = parsed(path)["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    if "runs" in parsed(path):
        return list(parsed(path)["runs"]["steps"])
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_others_wrote_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    for used in re.findall(r"uses: *(.*)", path.read_text()):
        assert re.fullmatch(r"\./\S+|[\w-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


def test_an_action_is_used_in_one_version() -> None:
    text = "".join(path.read_text() for path in [*WORKFLOWS, *ACTIONS])
    pins = set(re.findall(r"uses: *([\w-]+/[\w.-]+)@([0-9a-f]{40} # \S+)", text))
    assert len(pins) == len({action for action, _ in pins}), sorted(pins)


@each_workflow
def test_a_workflow_has_no_rights_and_its_jobs_have_those_listed_here(path: Path) -> None:
    assert parsed(path)["permissions"] == {}
    granted = [right for job in jobs(path).values() for right in job["permissions"].items()]
    order = ["read", "write"]
    most = {name: max((level for n, level in granted if n == name), key=order.index) for name, _ in granted}
    assert most == RIGHTS[path.stem]


@each_workflow
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@each_workflow
def test_workflows_run_one_at_a_time_and_never_with_the_rights_of_another_repository(path: Path) -> None:
    assert parsed(path)["concurrency"]["group"]
    assert not {"pull_request_target", "workflow_run"} & set(parsed(path)["on"])
    named = re.fullmatch(r"[\w-]+?(-\$\{\{.*)?", parsed(path)["concurrency"]["group"])
    assert named, "a group that begins with the workflow's own name cannot be another's"


@each_workflow
def test_what_comes_from_outside_reaches_a_shell_as_a_variable_only(path: Path) -> None:
    for step in [*steps(path), *(step for action in ACTIONS for step in steps(action))]:
        assert "${{" not in step.get("run", ""), step


def test_the_matrix_has_every_python_from_the_oldest_on() -> None:
    tested = jobs(GITHUB / "workflows/ci.yml")["test"]["strategy"]["matrix"]["python"]
    (oldest,) = re.findall(r'^requires-python = ">=(\S+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    first = int(oldest.removeprefix("3."))
    assert tested == [f"3.{minor}" for minor in range(first, first + len(tested))]
    assert len(tested) >= 3


def test_the_python_of_the_images_is_tested() -> None:
    tested = jobs(GITHUB / "workflows/ci.yml")["test"]["strategy"]["matrix"]["python"]
    (image,) = set(re.findall(r"python:(\d\.\d+)-slim", (ROOT / "deploy/Dockerfile").read_text()))
    assert image in tested


def test_every_image_of_the_compose_file_is_published_under_the_name_it_has_there() -> None:
    job = jobs(GITHUB / "workflows/images.yml")["image"]
    published = job["strategy"]["matrix"]["target"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    assert set(published) == {service["build"]["target"] for service in services if "build" in service}
    for service in services:
        if "build" in service:
            assert service["image"] == f"${{IMAGES:-tasador}}-{service['build']['target']}:${{TAG:-latest}}"
    assert any("ghcr.io/${GITHUB_REPOSITORY,,}-$TARGET" in step.get("run", "") for step in job["steps"])
    deploy = (GITHUB / "workflows/deploy.yml").read_text()
    assert 'export IMAGES="ghcr.io/${GITHUB_REPOSITORY,,}" TAG="$RELEASE"' in deploy


def test_build_arguments_are_those_of_the_dockerfile() -> None:
    (build,) = (step for step in steps(GITHUB / "workflows/images.yml") if step.get("id") == "push")
    given = set(re.findall(r"^([A-Z]+)=", build["with"]["build-args"], re.MULTILINE))
    known = set(re.findall(r"^ARG ([A-Z]+)=", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE))
    assert given <= known


def test_the_architectures_that_are_published_are_those_that_are_tested() -> None:
    (build,) = (step for step in steps(GITHUB / "workflows/images.yml") if step.get("id") == "push")
    runners = jobs(GITHUB / "workflows/ci.yml")["compose"]["strategy"]["matrix"]["runner"]
    tested = {f"linux/{'arm64' if runner.endswith('-arm') else 'amd64'}" for runner in runners}
    assert set(build["with"]["platforms"].split(",")) == tested


def test_the_name_of_a_project_does_not_depend_on_the_directory_that_a_release_lies_in() -> None:
    """deploy/release.sh puts each into its own; without the name they would be different stacks."""
    assert yaml.safe_load((ROOT / "docker-compose.yml").read_text())["name"] == "tasador"


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, *PAGES], ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:run: |`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE)) <= targets


def test_ci_runs_the_commands_of_a_developer() -> None:
    commands = [step["run"].split(" ARGS=")[0] for step in steps(GITHUB / "workflows/ci.yml") if "run" in step]
    assert commands == ["make check", "make test", "make test-docker"]


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, *PAGES], ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    for named in re.findall(r"(?<![\w/.])((?:\.github|deploy|docs|services|shared|tasador|tests)/[\w./-]*\w)", text):
        assert (ROOT / named).exists(), named
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
        assert (ROOT / link).exists(), link


def test_scripts_without_a_package_are_type_checked() -> None:
    (checked,) = re.findall(r"^SCRIPTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    scripts = [*GITHUB.rglob("*.py"), *(ROOT / "deploy").rglob("*.py")]
    assert sorted(checked.split()) == sorted(str(script.relative_to(ROOT)) for script in scripts)
