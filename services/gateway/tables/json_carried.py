"""What passes through rows of JSON: the text of each value, as it was written."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from services.gateway.tables.block import NotATable
from services.gateway.tables.json_text import UNREADABLE, parse

Texts = tuple[bytes | None, ...]


class JsonCarrier:
    """Takes the named members out of rows, and remembers which of them occurred. Without names it does nothing."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.found: set[str] = set()
        self._nothing: Texts = (None,) * len(names)
        fields: list[Any] = [(f"member_{i}", msgspec.Raw, msgspec.Raw()) for i in range(len(names))]
        rename = {f"member_{i}": name for i, name in enumerate(names)}
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Row", fields, rename=rename, gc=False)).decode

    def of_texts(self, texts: Iterable[bytes], malformed: Iterable[int]) -> Any:
        """Return the RecordBatch of rows that come as JSON texts; those that are no JSON objects carry nulls."""
        skip = frozenset(malformed)
        return self._batch(self._nothing if i in skip else self._of_text(text) for i, text in enumerate(texts))

    def of_objects(self, values: Iterable[object]) -> Any:
        """As `of_texts`, of rows that are decoded already: what floats looked like is lost."""
        return self._batch(map(self._of_object, values))

    def _batch(self, rows: Iterator[Texts]) -> Any:
        if not self.names:
            return None
        from services.gateway.tables.carried import of_json  # noqa: PLC0415 - pyarrow takes a third of a second

        columns = list(zip(*rows, strict=True))
        self.found |= {name for name, column in zip(self.names, columns, strict=True) if any(column)}
        return of_json(self.names, [[_as_line(text) for text in column] for column in columns])

    def _of_text(self, text: bytes) -> Texts:
        try:
            if not text.isascii():
                text.decode()  # the decoder does not look into what it skips
            return tuple(bytes(raw) for raw in msgspec.structs.astuple(self._decode(text)))
        except UNREADABLE:
            pass
        try:
            return self._of_object(parse(text))
        except NotATable:
            return self._nothing

    def _of_object(self, value: object) -> Texts:
        if not isinstance(value, dict):
            return self._nothing
        return tuple(_text(value[name]) if name in value else None for name in self.names)


def _text(value: object) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError):  # NaN, an infinity, or nested too deeply: no JSON that others could read
        return b"null"


def _as_line(text: bytes | None) -> bytes | None:
    if not text or text == b"null":
        return None
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text
