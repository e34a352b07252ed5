"""Reading tables that callers send: every format becomes the same blocks of encoded rows.

A table is read block by block with bounded memory. Columns are encoded as columns; a row that does not fit is encoded
again by `shared.signature.RowEncoder`, whose word is final: it either accepts the row after all or says what is wrong.
Nothing here imports pyarrow before a table is opened.
"""

from services.gateway.tables.block import (
    Block,
    ColumnsMissing,
    ColumnWrongType,
    EmptyTable,
    NotATable,
    NotInstances,
    PassthroughRefused,
    Table,
    TableRefused,
    TableTooLarge,
)
from services.gateway.tables.formats import FORMATS, Format, TableLimits, format_of, open_table

__all__ = [
    "FORMATS",
    "Block",
    "ColumnWrongType",
    "ColumnsMissing",
    "EmptyTable",
    "Format",
    "NotATable",
    "NotInstances",
    "PassthroughRefused",
    "Table",
    "TableLimits",
    "TableRefused",
    "TableTooLarge",
    "format_of",
    "open_table",
]
