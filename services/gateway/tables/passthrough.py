"""Which columns may pass through a job, so that its results tell the caller's own rows apart."""

from collections import Counter
from collections.abc import Sequence

from services.gateway.tables.block import PassthroughRefused, listable, nameable
from shared.chunks import RESERVED

MAX_COLUMNS = 100


def check_passthrough(names: Sequence[str]) -> None:
    """Check names that a caller asks for, whatever the table. Raises PassthroughRefused."""
    if len(names) > MAX_COLUMNS:
        raise PassthroughRefused("", f"up to {MAX_COLUMNS} columns pass through, not {len(names)}")
    for name, count in Counter(names).items():
        if not name:
            raise PassthroughRefused(name, "a column without a name cannot pass through")
        if count > 1:
            raise PassthroughRefused(name, f"column {listable(name)!r} is to pass through more than once")
        if not nameable(name):
            shown = listable(name)
            raise PassthroughRefused(name, f"column {shown!r} cannot pass through: quotes and the like are in its name")
        if name in RESERVED:
            raise PassthroughRefused(name, f"column {name!r} cannot pass through: results have one of that name")


def check_found(wanted: Sequence[str], found: Sequence[str]) -> None:
    """Check that a table has the columns that are to pass through. Raises PassthroughRefused."""
    missing = next((name for name in wanted if name not in found), None)
    if missing is not None:
        shown = ", ".join(repr(listable(name)[:50]) for name in found[:20]) + (", …" if len(found) > 20 else "")
        detail = f"the table has no column {listable(missing)!r} to pass through; it has {shown or 'none'}"
        raise PassthroughRefused(missing, detail)
