"""Credentials of S3 from files: as settings are, read again now and then, and given to obstore."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest

from shared import credentials
from shared.credentials import FileCredentials, file_credentials
from shared.remote import open_remote
from shared.settings import SettingsInvalid

NAMES = {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file, name in NAMES.items():
        (tmp_path / file).write_text("\n")
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / file))
    return tmp_path


def signed_with(client: Any) -> tuple[str, str | None]:
    """Return the key and the token of a request."""
    found = parse_qs(urlsplit(obstore.sign(client, "GET", "name", timedelta(minutes=1))).query)
    return found["X-Amz-Credential"][0].split("/")[0], next(iter(found.get("X-Amz-Security-Token", [])), None)


def test_without_files_obstore_looks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert file_credentials() is None
    assert signed_with(open_remote("s3://bucket")) == ("key", None)


def test_empty_files_count_as_none(files: Path) -> None:
    assert file_credentials() is None


def test_what_files_hold_is_what_requests_are_signed_with(files: Path) -> None:
    (files / "key").write_text("key-1\n")
    (files / "secret").write_text("secret\n")
    assert signed_with(open_remote("s3://bucket/prefix")) == ("key-1", None)
    (files / "token").write_text("token-1\n")
    assert signed_with(open_remote("s3://bucket/prefix")) == ("key-1", "token-1")


def test_one_of_them_may_be_a_variable(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-2")
    (files / "secret").write_text("secret\n")
    assert signed_with(open_remote("s3://bucket")) == ("key-2", None)


def test_files_that_change_are_read_again(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "REREAD", timedelta(0))
    (files / "key").write_text("key-1")
    (files / "secret").write_text("secret")
    client = open_remote("s3://bucket")
    assert signed_with(client) == ("key-1", None)
    (files / "key").write_text("key-2")
    assert signed_with(client) == ("key-2", None)


def test_they_are_not_read_for_every_request(files: Path) -> None:
    (files / "key").write_text("key-1")
    (files / "secret").write_text("secret")
    client = open_remote("s3://bucket")
    assert signed_with(client) == ("key-1", None)
    (files / "key").write_text("key-2")
    deadline = monotonic() + 0.3  # what obstore asked for within 0.1 s it does not ask for again in any case
    while monotonic() < deadline:
        assert signed_with(client) == ("key-1", None)
    until = FileCredentials(timedelta(seconds=60))()["expires_at"] - datetime.now(UTC)
    assert timedelta(seconds=50) < until <= timedelta(seconds=60)


@pytest.mark.parametrize(("there", "missing"), [("key", "secret"), ("secret", "key"), ("token", "key")])
def test_a_part_alone_is_refused_with_what_is_missing(files: Path, there: str, missing: str) -> None:
    (files / there).write_text("hunter2")
    with pytest.raises(SettingsInvalid, match=f"^{NAMES[missing]} is missing") as refused:
        open_remote("s3://bucket")
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(files: Path) -> None:
    (files / "secret").unlink()
    with pytest.raises(SettingsInvalid, match=f"AWS_SECRET_ACCESS_KEY_FILE: cannot read {files / 'secret'}"):
        open_remote("s3://bucket")


@pytest.mark.parametrize("url", ["gs://bucket", "memory:///"])
def test_they_are_those_of_s3_alone(files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    (files / "secret").unlink()
    open_remote(url)
