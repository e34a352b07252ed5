"""`.github/scripts/propose-locks.sh` on a real repository, with a `gh` that only writes down what it was asked for."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".github/scripts/propose-locks.sh"
GH = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in "pr list "*) echo "${OPEN:-0}" ;; esac
"""
LOCK = """\
numpy==2.1.0 \\
    --hash=sha256:aa
    # via tasador
uvloop==0.21 ; sys_platform != 'win32' \\
    --hash=sha256:bb
"""
BRANCH = "updates/locks"


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with two locks."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(GH)
    (tmp_path / "bin/gh").chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin")
    git(tmp_path, "clone", "--quiet", "origin", "checkout")
    checkout = tmp_path / "checkout"
    (checkout / "requirements").mkdir()
    for lock in ("gateway", "trainer"):
        (checkout / f"requirements/{lock}.txt").write_text(LOCK)
    (checkout / "pyproject.toml").write_text("")
    git(checkout, "add", ".")
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "Begin")
    git(checkout, "push", "--quiet", "origin", "HEAD:main")
    return checkout


def propose(checkout: Path, old: str, new: str, **environment: str) -> list[str]:
    """Change all locks, run it, and return what `gh` was asked for."""
    for lock in (checkout / "requirements").iterdir():
        lock.write_text(LOCK.replace(old, new))
    calls = checkout.parent / "calls"
    calls.write_text("")
    subprocess.run(["bash", str(SCRIPT)], cwd=checkout, env={**os.environ, **environment}, check=True)
    return calls.read_text().splitlines()


def test_locks_that_did_not_change_are_not_proposed(checkout: Path) -> None:
    assert propose(checkout, "x", "x") == []
    assert git(checkout.parent / "origin", "branch", "--list", BRANCH) == ""


def test_changed_locks_are_pushed_proposed_and_checked(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text("changed by what ran before\n")
    calls = propose(checkout, "2.1.0", "2.2.0")
    origin = checkout.parent / "origin"
    assert git(origin, "show", "--format=%s", "--name-only", BRANCH).splitlines() == [
        "Update the locked packages",
        "",
        "requirements/gateway.txt",
        "requirements/trainer.txt",
    ]
    assert "- numpy 2.1.0 → 2.2.0\n" in git(origin, "log", "-1", "--format=%b", BRANCH)
    assert [call for call in calls if call.startswith("- ")] == ["- numpy 2.1.0 → 2.2.0"]
    assert any(call.startswith(f"pr create --head {BRANCH} --title Update the locked packages") for call in calls)
    assert calls[-1] == f"workflow run ci.yml --ref {BRANCH}"


def test_what_comes_and_goes_is_named(checkout: Path) -> None:
    calls = propose(checkout, "uvloop==0.21", "winloop==0.1")
    assert [call for call in calls if call.startswith("- ")] == [
        "- uvloop 0.21 is gone",
        "- winloop 0.1 is new",
    ]


def test_a_proposal_that_is_open_is_brought_up_to_date(checkout: Path) -> None:
    propose(checkout, "2.1.0", "2.2.0")
    git(checkout, "switch", "--quiet", "main")
    git(checkout, "branch", "--quiet", "--delete", "--force", BRANCH)
    calls = propose(checkout, "2.1.0", "2.3.0", OPEN="1")
    assert not [call for call in calls if call.startswith("pr create")]
    assert any(call.startswith(f"pr edit {BRANCH} --body") for call in calls)
    assert "numpy==2.3.0" in git(checkout.parent / "origin", "show", f"{BRANCH}:requirements/gateway.txt")
    assert git(checkout.parent / "origin", "rev-list", "--count", f"main..{BRANCH}") == "1\n"
