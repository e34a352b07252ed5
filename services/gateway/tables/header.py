"""What column names alone can tell."""

from collections import Counter
from collections.abc import Sequence

from services.gateway.tables.block import MAX_IGNORED, ColumnsMissing, NotATable, listable
from services.gateway.tables.passthrough import check_found
from shared.signature import Signature


def check_names(
    names: Sequence[str], signature: Signature, passthrough: Sequence[str], line: int | None = None
) -> list[str]:
    """Match column names with the signature, in any order, and return those that are ignored.

    A column without a name is never an error: spreadsheets leave such behind.

    Raises:
        NotATable: a name occurs twice.
        ColumnsMissing: a feature that may not be null has no column.
        PassthroughRefused: a column that is to pass through is not there.
    """
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise NotATable(f"column {listable(twice[0])!r} occurs more than once", line)
    missing = [f.name for f in signature.features if not f.nullable and f.name not in names]
    if missing or not frozenset(names) & frozenset(signature.names):
        raise ColumnsMissing(missing or list(signature.names), [listable(name) for name in names])
    check_found(passthrough, names)
    known = frozenset((*signature.names, *passthrough))
    return [listable(name) for name in names if name and name not in known][:MAX_IGNORED]
