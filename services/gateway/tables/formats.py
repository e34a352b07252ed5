"""Which formats are read, by media type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from enum import Enum
from typing import BinaryIO

from services.gateway.tables.block import Table
from services.gateway.tables.passthrough import check_passthrough
from shared.signature import Signature


class Format(Enum):
    JSON = "JSON"
    LINES = "JSON lines"
    CSV = "CSV"
    PARQUET = "Parquet"
    ARROW = "Arrow stream"
    ARROW_FILE = "Arrow file"


FORMATS: Mapping[str, Format] = {
    "application/json": Format.JSON,
    "application/x-ndjson": Format.LINES,
    "application/jsonl": Format.LINES,
    "text/csv": Format.CSV,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/vnd.apache.arrow.stream": Format.ARROW,
    "application/vnd.apache.arrow.file": Format.ARROW_FILE,
}
ALIASES: Mapping[str, str] = {
    "application/ndjson": "application/x-ndjson",
    "application/jsonlines": "application/x-ndjson",
    "application/x-jsonlines": "application/x-ndjson",
    "application/csv": "text/csv",
    "application/parquet": "application/vnd.apache.parquet",
    "application/x-parquet": "application/vnd.apache.parquet",
}
"""Names that clients use although nobody registered them: taken alike, and never sent."""


def format_of(content_type: str) -> Format | None:
    """Return the format of a Content-Type; None if it is not read here, in this encoding or at all."""
    message = Message()
    message["Content-Type"] = content_type
    if str(message.get_param("charset", "utf-8")).lower() not in ("utf-8", "utf8", "us-ascii"):
        return None
    # get_content_type() would answer text/plain for what it cannot read
    name = content_type.split(";", 1)[0].strip().lower()
    return FORMATS.get(ALIASES.get(name, name))


@dataclass(frozen=True)
class TableLimits:
    """Bytes that a format may need in memory at once, and what may pass through in all."""

    document: int
    record_batch: int
    carried: int = 1 << 32
    """Apart from the size of the file: Parquet and Arrow say a text once that many rows share."""


def open_table(
    kind: Format,
    file: BinaryIO,
    signature: Signature,
    limits: TableLimits,
    passthrough: Sequence[str] = (),
    *,
    by_rows: bool = False,
) -> Table:
    """Open a table and check what its header tells.

    Args:
        file: the body, seekable, at its start; it must stay open until the blocks are read.
        passthrough: columns that the blocks are to carry, in this order.

    Raises:
        TableRefused
    """
    check_passthrough(passthrough)
    # pyarrow takes a third of a second to import: a gateway without jobs need not spend it.
    if kind is Format.JSON or kind is Format.LINES:
        from services.gateway.tables.json_tables import DocumentTable, LinesTable  # noqa: PLC0415

        if kind is Format.JSON:
            return DocumentTable(file, signature, passthrough, max_bytes=limits.document, by_rows=by_rows)
        return LinesTable(file, signature, passthrough, by_rows=by_rows)
    if kind is Format.CSV:
        from services.gateway.tables.delimited import CsvTable  # noqa: PLC0415

        return CsvTable(file, signature, passthrough, by_rows=by_rows)
    from services.gateway.tables.arrow_tables import ArrowTable, ParquetTable  # noqa: PLC0415

    if kind is Format.PARQUET:
        return ParquetTable(file, signature, passthrough, limits.record_batch, limits.carried, by_rows=by_rows)
    return ArrowTable(file, signature, passthrough, limits.record_batch, limits.carried, by_rows=by_rows)
