"""Names of columns in the prediction log and among labelled rows that are ours, and not features', and their version.

A feature that has one of these names is `feature.<name>` there.
"""

from collections.abc import Mapping

SCHEMA_VERSION = 1
"""Written into every file. It rises when the meaning of a column changes, or one goes; not when one is added."""
SCHEMA = b"tasador.schema"
"""Where a file's metadata has it."""
LOGGED = ("time", "request_id", "index", "mode", "model_version", "prediction", "latency")
"""Of the prediction log. Labelled rows have all but `mode` and `latency`."""
LABELLED = ("actual", "labelled_at", "entry")
"""What labelled rows have besides: what really happened, when it was told, and by which entry of feedback."""
UNKNOWN = "<unknown>"
"""Stands for a category that training has not seen: events carry only that it was unknown."""


def schema_version(metadata: Mapping[bytes, bytes] | None) -> int:
    """Return the version of a file's schema; one that does not tell has the present one."""
    return int((metadata or {}).get(SCHEMA, SCHEMA_VERSION))
