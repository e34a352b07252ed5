"""JSON lines, and one JSON document `{"instances": [...]}`."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from services.gateway.tables.block import Block, NotInstances, TableTooLarge, listable
from services.gateway.tables.json_rows import JsonRows
from services.gateway.tables.json_text import UNREADABLE, parse
from services.gateway.tables.lines import BOM, blocks, end_of_lines
from shared.signature import Signature

_ROWS = 5000  # of a block, where the format has no blocks of its own
_EXPECTED = 'expected {"instances": [row, …]}'


class LinesTable:
    """One JSON object per line; blank lines are no rows."""

    def __init__(
        self, file: BinaryIO, signature: Signature, passthrough: Sequence[str] = (), *, by_rows: bool = False
    ) -> None:
        self.rows = None
        self._file = file
        self._rows = JsonRows(signature, passthrough, by_rows=by_rows)

    @property
    def ignored_columns(self) -> list[str]:
        return self._rows.ignored_columns

    def blocks(self) -> Iterator[Block]:
        first = 1
        for data in blocks(self._file, end_of_lines):
            lines = data.split(b"\n")
            numbers = [number for number, line in enumerate(lines, first) if line.strip()]
            if numbers:
                yield self._rows.encode([lines[number - first] for number in numbers], numbers.__getitem__)
            first += len(lines) - 1
        self._rows.finish()


class _Instances(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[msgspec.Raw]


class DocumentTable:
    """`{"instances": [row, …]}`, held in memory: this one format cannot be read in pieces."""

    def __init__(
        self,
        file: BinaryIO,
        signature: Signature,
        passthrough: Sequence[str] = (),
        *,
        max_bytes: int,
        by_rows: bool = False,
    ) -> None:
        data = file.read(max_bytes + 1).removeprefix(BOM)
        if len(data) > max_bytes:
            raise TableTooLarge(f"a JSON document may have up to {max_bytes} bytes; send JSON lines, CSV or Parquet")
        self._rows = JsonRows(signature, passthrough, by_rows=by_rows)
        try:
            data.decode()
            texts: Sequence[Any] = msgspec.json.decode(data, type=_Instances).instances
            self._encode: Callable[[list[Any]], Block] = self._encode_raw
        except UNREADABLE:
            texts = _instances(parse(data))
            self._encode = self._rows.encode_objects
        self.rows, self._texts = len(texts), iter(texts)

    @property
    def ignored_columns(self) -> list[str]:
        return self._rows.ignored_columns

    def _encode_raw(self, texts: list[Any]) -> Block:
        return self._rows.encode([bytes(text) for text in texts], lambda _: 1)

    def blocks(self) -> Iterator[Block]:
        while some := list(islice(self._texts, _ROWS)):
            yield self._encode(some)
        self._rows.finish()


def _instances(document: object) -> list[object]:
    if not isinstance(document, dict):
        raise NotInstances(_EXPECTED, "wrong_type")
    if not isinstance(document.get("instances"), list):
        raise NotInstances(_EXPECTED, "wrong_type" if "instances" in document else "missing", "instances")
    unknown = sorted(document.keys() - {"instances"})
    if unknown:
        raise NotInstances(
            f'unknown member {unknown[0][:50]!r} beside "instances"', "unknown_field", listable(unknown[0])
        )
    rows: list[object] = document["instances"]
    return rows
