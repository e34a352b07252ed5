"""What every part of the client needs: the connection, and how it is opened and closed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from tasador.client.answers import Row
from tasador.client.formats import JSON
from tasador.client.transport import Transport

DEFAULT_URL = "http://127.0.0.1:8000"


class Connected:
    """A gateway."""

    def __init__(self, base_url: str = DEFAULT_URL, *, timeout: float = 30.0) -> None:
        self._http = Transport(base_url, timeout)
        self._timeout = timeout

    @property
    def base_url(self) -> str:
        return self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _longer(self, seconds: float) -> float:
        """Return the timeout of a request that the gateway may keep for so long."""
        return self._timeout + max(0.0, seconds)


def instances(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Row]]:
    return {"instances": [dict(row) for row in rows]}


def as_json(value: object) -> dict[str, Any]:
    """Return the arguments of a request with a JSON body."""
    return {"content": encode(value), "headers": {"content-type": JSON}}


def encode(value: object) -> bytes:
    """Encode; NumPy's numbers are taken for what they hold. Raises ValueError for NaN: a missing value is None."""
    return json.dumps(value, allow_nan=False, default=_item).encode()


def blocks(file: Any, size: int = 1 << 16) -> Iterator[bytes]:
    while block := file.read(size):
        yield block


def given(**parameters: Any) -> dict[str, Any]:
    """Return the parameters that say something."""
    return {name: value for name, value in parameters.items() if value is not None}


def waiting(seconds: float) -> dict[str, str]:
    return {"wait": f"{seconds:g}"} if seconds > 0 else {}


def _item(value: Any) -> Any:
    if not callable(getattr(value, "item", None)):
        raise TypeError(f"{value!r} cannot be sent as JSON")
    return value.item()
