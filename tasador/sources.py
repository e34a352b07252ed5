"""Every setting there is, its value, and where the value came from."""

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import SecretStr

from shared.settings import PREFIX, SERVICES, CommonSettings, SettingsInvalid, config_file
from shared.variables import can_be_file, named_file, read_variable, variable, variables
from tasador.settings import StackSettings
from tasador.stack.state import read_state

_PASSWORD = re.compile(r"(://[^:@/?#]*):[^/?#]+@")
_ADDRESSES = ("redis_url",)
"""Secret because of the password that they may hold; the rest of them is shown."""


@dataclass(frozen=True)
class Setting:
    variable: str
    value: str
    """As text; passwords are masked."""
    source: str
    """environment, the file that a variable names, the name of the configuration file, running stack, or default."""
    description: str
    of: str
    """common, stack, or the service that reads it."""


def settings_classes() -> dict[str, type[CommonSettings]]:
    """Return every class of settings by who reads it; what is common to all comes first."""
    found: dict[str, type[CommonSettings]] = {"common": CommonSettings, "stack": StackSettings}
    for service in SERVICES:
        module = import_module(f"services.{service}.settings")
        found[service] = getattr(module, f"{service.capitalize()}Settings")
    return found


def unknown_variables(classes: dict[str, type[CommonSettings]]) -> list[str]:
    """Return the TASADOR_ variables that nobody reads: misspelt, most likely."""
    known = set().union(*(variables(kind) for kind in classes.values()))
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def all_settings() -> Iterator[Setting]:
    """Yield each setting once.

    Raises:
        SettingsInvalid: a value does not fit.
    """
    file, shown = _read_file(), set()
    for of, kind in settings_classes().items():
        loaded = _load(kind)
        running = read_state(loaded.state_dir)
        for name, field in kind.model_fields.items():
            if name in shown:
                continue
            shown.add(name)
            stack = running is not None and name in ("redis_url", "store_url", "mlflow_uri", "model_name")
            source = _source(name, kind, file, stack and not issubclass(kind, StackSettings))
            yield Setting(variable(name), _shown(name, getattr(loaded, name)), source, field.description or "", of)


def masked(value: Any) -> str:
    """Return a value as text: a URL without the password that it may hold, a secret not at all."""
    if isinstance(value, tuple):
        return ", ".join(map(masked, value))
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return _PASSWORD.sub(r"\1:***@", str(value))


def _shown(name: str, value: Any) -> str:
    return masked(value.get_secret_value() if name in _ADDRESSES else value)


def _load(kind: type[CommonSettings]) -> CommonSettings:
    try:
        return kind.load()
    except SettingsInvalid:
        return kind.load(model_name="unknown")  # params.yaml is missing: the other settings can be shown all the same


def _source(name: str, kind: type[CommonSettings], file: dict[str, Any], stack: bool) -> str:
    if os.environ.get(variable(name)):
        return "environment"
    if can_be_file(name, kind) and named_file(variable(name)) and read_variable(variable(name)):
        return named_file(variable(name))
    if name in file:
        return config_file().name
    return "running stack" if stack else "default"


def _read_file() -> dict[str, Any]:
    try:
        return tomllib.loads(config_file().read_text())
    except OSError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{config_file()}: {error}") from None
