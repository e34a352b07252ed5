"""Results as text, one part of a job after the other. The other formats are in `columnar.py`."""

import csv
import io
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from shared.chunks import part_schema

SLICE_ROWS = 8_192  # of text at once: what is made of them stays in the cache, and requests get a turn in between

_SEAM = b"\xff"  # in no UTF-8
_REST = msgspec.Raw(b",,\n" + _SEAM)  # of a line without an error
_EMPTY = msgspec.Raw(b"")


class Renderer(Protocol):
    """Turns record batches of parts into one document, in order."""

    def start(self) -> bytes: ...
    def batch(self, batch: Any) -> bytes: ...
    def end(self) -> bytes: ...


class _Error(msgspec.Struct):
    field: str
    code: str
    detail: str


class _Records:
    """Rows of a part as records for JSON: `{index, prediction}` or `{index, error}`, and what passed through."""

    def __init__(self, schema: Any) -> None:
        carried = schema.names[len(part_schema()) :]
        own: list[Any] = [("index", int), ("prediction", Any, msgspec.UNSET), ("error", Any, msgspec.UNSET)]
        fields = [*own, *((f"carried_{i}", Any, msgspec.UNSET) for i in range(len(carried)))]
        rename = {f"carried_{i}": name for i, name in enumerate(carried)}
        self._record = msgspec.defstruct("Record", fields, omit_defaults=True, rename=rename, gc=False)

    def of(self, batch: Any) -> list[Any]:
        from services.gateway.values import for_json  # noqa: PLC0415 - it loads pyarrow

        predictions = _numbers(batch.column(1))
        errors: list[Any] = [msgspec.UNSET] * batch.num_rows
        for row, error in _errors(batch):
            predictions[row], errors[row] = msgspec.UNSET, error
        own = len(part_schema())
        carried = (for_json(f, c) for f, c in zip(list(batch.schema)[own:], batch.columns[own:], strict=True))
        return list(map(self._record, _numbers(batch.column(0)), predictions, errors, *carried))


def _numbers(column: Any) -> list[Any]:
    """Return numbers of our own, NaN in place of nulls: twice as fast as `to_pylist`."""
    numbers: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return numbers


def _slices(batch: Any) -> Iterator[Any]:
    return (batch.slice(start, SLICE_ROWS) for start in range(0, batch.num_rows, SLICE_ROWS))


def _errors(batch: Any) -> Iterator[tuple[int, _Error]]:
    field, code, detail = (batch.column(name) for name in ("error_field", "error_code", "error_detail"))
    if code.null_count == batch.num_rows:
        return
    for row, values in enumerate(zip(field.to_pylist(), code.to_pylist(), detail.to_pylist(), strict=True)):
        if values[1] is not None:
            yield row, _Error(*values)


class LinesRenderer:
    def __init__(self, schema: Any) -> None:
        self._records = _Records(schema)
        self._encode = msgspec.json.Encoder().encode_lines

    def start(self) -> bytes:
        return b""

    def batch(self, batch: Any) -> bytes:
        return b"".join(self._encode(self._records.of(some)) for some in _slices(batch))

    def end(self) -> bytes:
        return b""


class DocumentRenderer:
    """One JSON array."""

    def __init__(self, schema: Any) -> None:
        self._records = _Records(schema)
        self._encode = msgspec.json.Encoder().encode
        self._opening = b""

    def start(self) -> bytes:
        return b"["

    def batch(self, batch: Any) -> bytes:
        if not batch.num_rows:
            return b""
        opening, self._opening = self._opening, b",\n"
        return opening + b",".join(self._encode(self._records.of(some))[1:-1] for some in _slices(batch))

    def end(self) -> bytes:
        return b"]\n"


class CsvRenderer:
    """Our numbers are written by msgspec, as one list with the rest of each line among them: that takes half of what
    it takes Arrow to make texts and join them, which errors and columns that pass through need.
    """

    def __init__(self, schema: Any, *, header: bool = True) -> None:
        self._names = schema.names if header else []
        self._carries = len(schema) > len(part_schema())
        self._encode = msgspec.json.Encoder().encode

    def start(self) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self._names] if self._names else [])
        return text.getvalue().encode()

    def batch(self, batch: Any) -> bytes:
        return b"".join(map(self._lines, _slices(batch)))

    def _lines(self, batch: Any) -> bytes:
        cells: list[Any] = [_REST] * (3 * batch.num_rows)
        cells[::3], cells[1::3] = _numbers(batch.column(0)), _numbers(batch.column(1))
        wrong = _rows_in_error(batch)
        for row in wrong:
            cells[3 * row + 1] = _EMPTY
        if self._carries:
            cells[2::3] = _rests(batch)
        elif wrong:
            for row, rest in zip(wrong, _rests(batch.take(wrong)), strict=True):
                cells[3 * row + 2] = rest
        return self._encode(cells)[1:-2].replace(_SEAM + b",", b"")

    def end(self) -> bytes:
        return b""


def _rows_in_error(batch: Any) -> list[int]:
    import pyarrow.compute as pc  # noqa: PLC0415

    rows: list[int] = pc.indices_nonzero(batch.column("error_code").is_valid()).to_pylist()
    return rows


def _rests(batch: Any) -> list[msgspec.Raw]:
    """Return what follows the prediction in each line."""
    import pyarrow.compute as pc  # noqa: PLC0415

    from services.gateway.values import for_csv  # noqa: PLC0415 - it loads pyarrow

    columns = [for_csv(field, column) for field, column in list(zip(batch.schema, batch.columns, strict=True))[2:]]
    texts = pc.binary_join_element_wise(*columns, ",")
    return [msgspec.Raw(text.encode() + b"\n" + _SEAM) for text in texts.to_pylist()]
