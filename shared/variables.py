"""Variables of the environment, and the files that they leave values to: `TASADOR_REDIS_PASSWORD_FILE=/run/secrets/x`.

That is the convention of the official container images: whoever may ask the engine for a container's environment sees
the path, not the secret.
"""

import os
from pathlib import Path

from pydantic_settings import BaseSettings

PREFIX = "TASADOR_"
FROM_FILE = "_FILE"
ROOT = Path(__file__).resolve().parent.parent
"""The repository: what relative paths in settings are relative to."""

_MOST_BYTES = 65_536  # a key has hundreds, a list of them thousands


class SettingsInvalid(ValueError):
    """A setting is unknown or does not fit; the message says which, and where it came from."""


def variable(name: str) -> str:
    """Return the variable of a setting."""
    return PREFIX + name.upper()


def variables(settings: type[BaseSettings]) -> set[str]:
    """Return every variable that settings are read from."""
    files = {variable(name) + FROM_FILE for name in settings.model_fields if can_be_file(name, settings)}
    return {variable(name) for name in settings.model_fields} | files | {f"{PREFIX}CONFIG"}


def can_be_file(name: str, settings: type[BaseSettings]) -> bool:
    """Whether the variable of a setting with `_FILE` after it is not that of another setting."""
    return (name + FROM_FILE).lower() not in settings.model_fields


def named_file(name: str) -> str:
    """Return the file that a variable leaves its value to, as it was given; empty when it does not."""
    return os.environ.get(name + FROM_FILE, "")


def read_variable(name: str) -> str:
    """Return what a variable says, or the file that it names; empty when neither says anything.

    Raises:
        SettingsInvalid: both do, or the file cannot be read. The message names it and does not quote it.
    """
    said, path = os.environ.get(name, ""), named_file(name)
    text = _read(f"{name}{FROM_FILE}", resolved(path)) if path else ""
    if text and said:
        raise SettingsInvalid(f"{name} and {name}{FROM_FILE} are both set: unset one of them")
    return text or said


def resolved(path: str | Path) -> Path:
    """Return the path that a setting means."""
    return (ROOT / Path(path).expanduser()).resolve()


def _read(name: str, path: Path) -> str:
    """Return the text of a file, without the newline that editors and `echo` put at its end."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsInvalid(f"{name}: cannot read {path} ({error.strerror})") from None
    if len(content) > _MOST_BYTES:
        raise SettingsInvalid(f"{name}: {path} is larger than {_MOST_BYTES:,} bytes; it is to hold the value alone")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise SettingsInvalid(f"{name}: {path} is no text in UTF-8; it is to hold the value alone") from None
