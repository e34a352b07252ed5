"""Fetches the training data: a path, a URL (fsspec), or `kaggle://owner/dataset[/file.csv]`."""

import importlib
from collections.abc import Callable
from pathlib import Path

import fsspec

KAGGLE = "kaggle://"


class SourceUnavailable(ValueError):
    """The data cannot be fetched; the message says what to do."""


Download = Callable[[str], Path]
"""Fetches a Kaggle dataset, `owner/dataset`, and returns the directory that holds its files."""


def read_source(source: str, base_dir: Path, download: Download | None = None) -> bytes:
    """Return the bytes of the table, decompressed where the name says so (`.gz`, `.bz2`, `.xz`, `.zip`).

    Args:
        source: as in `data.source`; a relative path starts at `base_dir`.
        download: replaces kagglehub.

    Raises:
        SourceUnavailable: there is no such source, or it cannot be reached.
    """
    if source.startswith(KAGGLE):
        return _read_kaggle(source, download or _kagglehub)
    location = source if "://" in source else str(base_dir / source)
    try:
        with fsspec.open(location, "rb", compression="infer") as file:
            data: bytes = file.read()
            return data
    except Exception as error:  # every fsspec protocol has its own error classes
        raise SourceUnavailable(f"data.source: {location} {_reason(error)}") from error


def _reason(error: Exception) -> str:
    # fsspec also calls it FileNotFoundError when a server refuses or does not answer; the cause tells.
    if isinstance(error, FileNotFoundError) and error.__cause__ is None:
        return "does not exist"
    return f"cannot be read: {error.__cause__ or error}"


def _read_kaggle(source: str, download: Download) -> bytes:
    owner, _, rest = source.removeprefix(KAGGLE).partition("/")
    dataset, _, file = rest.partition("/")
    if not owner or not dataset:
        raise SourceUnavailable(f"data.source: {source} is not of the form kaggle://owner/dataset[/file.csv]")
    directory = download(f"{owner}/{dataset}")
    return _pick(directory, source, file).read_bytes()


def _pick(directory: Path, source: str, file: str) -> Path:
    found = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.csv"))
    if file in found or (not file and len(found) == 1):
        return directory / (file or found[0])
    if not found:
        raise SourceUnavailable(f"data.source: {source} holds no CSV file")
    problem = f"has no file {file}" if file else f"holds {len(found)} CSV files"
    choices = ", ".join(found[:20])
    raise SourceUnavailable(f"data.source: {source} {problem}: append one of them, as in /{found[0]} ({choices})")


def _kagglehub(dataset: str) -> Path:
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as missing:
        raise SourceUnavailable(
            'data.source: kaggle:// needs the package kagglehub: pip install "tasador[kaggle]"'
        ) from missing
    try:
        return Path(kagglehub.dataset_download(dataset))
    except Exception as error:  # kagglehub raises what its HTTP client raises
        raise SourceUnavailable(f"data.source: Kaggle does not give {dataset}: {error}") from error
