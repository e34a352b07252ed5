"""A variable may name a file that holds its value; what cannot be meant is refused by name, and never quoted."""

from pathlib import Path

import pytest

from shared.variables import SettingsInvalid, read_variable

NAME = "THE_KEY"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "key"
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    return file


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", " s3cret \r\n\r\n", "\ufeffs3cret"])
def test_white_space_around_the_value_is_none_of_it(file: Path, content: str) -> None:
    file.write_bytes(content.encode())
    assert read_variable(NAME) == "s3cret"


def test_white_space_within_is_kept(file: Path) -> None:
    file.write_text("three little words\n")
    assert read_variable(NAME) == "three little words"


@pytest.mark.parametrize("content", ["", "\n", " \r\n"])
def test_an_empty_file_says_nothing(file: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    file.write_text(content)
    assert read_variable(NAME) == ""
    monkeypatch.setenv(NAME, "said")
    assert read_variable(NAME) == "said"


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv(f"{NAME}_FILE", "")
    assert read_variable(NAME) == ""
    monkeypatch.setenv(NAME, "said")
    assert read_variable(NAME) == "said"


def test_two_values_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("hunter2")
    monkeypatch.setenv(NAME, "")
    assert read_variable(NAME) == "hunter2"
    monkeypatch.setenv(NAME, "hunter3")
    with pytest.raises(SettingsInvalid, match=f"{NAME} and {NAME}_FILE are both set") as refused:
        read_variable(NAME)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot read .*key .No such file"),
        (b"\xff\xfehunter2", "is no text in UTF-8"),
        (b"hunter2" * 10_000, "is larger than 65,536 bytes"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_and_not_quoted(file: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsInvalid, match=f"{NAME}_FILE: .*{why}") as refused:
        read_variable(NAME)
    assert str(file) in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_a_directory_is_no_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(SettingsInvalid, match="Is a directory"):
        read_variable(NAME)
