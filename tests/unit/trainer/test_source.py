import gzip
import importlib.util
from pathlib import Path

import fsspec
import pytest

from services.trainer.source import SourceUnavailable, read_source


def test_a_relative_path_starts_at_the_params_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")

    assert read_source("a.csv", tmp_path) == b"x\n1\n"


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")

    assert read_source(str(tmp_path / "a.csv"), Path("elsewhere")) == b"x\n1\n"


def test_a_url_is_read_with_fsspec(tmp_path: Path) -> None:
    with fsspec.open("memory://tables/a.csv", "wb") as file:
        file.write(b"x\n1\n")

    assert read_source("memory://tables/a.csv", tmp_path) == b"x\n1\n"


def test_a_compressed_file_is_decompressed(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x\n1\n"))

    assert read_source("a.csv.gz", tmp_path) == b"x\n1\n"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"nowhere\.csv does not exist"):
        read_source("nowhere.csv", tmp_path)


def test_an_unknown_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="gopher"):
        read_source("gopher://host/a.csv", tmp_path)


def kaggle(directory: Path, source: str, *files: str) -> bytes:
    for name in files:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    asked = []

    def download(dataset: str) -> Path:
        asked.append(dataset)
        return directory

    found = read_source(source, Path("unused"), download)
    assert asked == ["owner/set"]
    return found


def test_the_only_csv_of_a_kaggle_set_is_taken(tmp_path: Path) -> None:
    assert kaggle(tmp_path, "kaggle://owner/set", "sub/a.csv", "readme.md") == b"sub/a.csv"


def test_several_csv_files_of_a_kaggle_set_ask_for_one(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"holds 2 CSV files: append one .* /a\.csv \(a\.csv, b\.csv\)"):
        kaggle(tmp_path, "kaggle://owner/set", "a.csv", "b.csv")


def test_the_named_file_of_a_kaggle_set_is_taken(tmp_path: Path) -> None:
    assert kaggle(tmp_path, "kaggle://owner/set/sub/b.csv", "a.csv", "sub/b.csv") == b"sub/b.csv"


def test_a_file_that_a_kaggle_set_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"has no file c\.csv"):
        kaggle(tmp_path, "kaggle://owner/set/c.csv", "a.csv")


def test_a_kaggle_set_without_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="no CSV file"):
        kaggle(tmp_path, "kaggle://owner/set", "a.parquet")


def test_a_malformed_kaggle_source_is_explained() -> None:
    with pytest.raises(SourceUnavailable, match="kaggle://owner/dataset"):
        read_source("kaggle://owner", Path("unused"))


@pytest.mark.skipif(importlib.util.find_spec("kagglehub") is not None, reason="kagglehub is installed")
def test_without_kagglehub_the_extra_is_named() -> None:
    with pytest.raises(SourceUnavailable, match=r"tasador\[kaggle\]"):
        read_source("kaggle://owner/set", Path("unused"))
