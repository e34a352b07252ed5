"""Blocks as events: the columns that the monitor reads."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from services.gateway.blocks import FEATURES, INDEX, IS_BATCH, Block
from services.gateway.tally import Mode
from services.gateway.untold import Version
from shared.clock import utc_now

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Event:
    """Rows ready to be sent; the same at every attempt, so that a repeated one is recognised by its sequence."""

    rows: int
    fields: dict[str, Any]
    """But the columns of numbers."""
    columns: NDArray[np.float64]
    """Time, latency, prediction, and the features; each contiguous."""
    failed: dict[Mode, int]

    @property
    def version(self) -> Version:
        return self.fields["model_name"], self.fields["model_version"]

    @property
    def answered(self) -> int:
        """Rows that had been answered at its end."""
        return int(self.fields["answered_before"]) + self.rows

    async def text(self) -> bytes:
        """Return it as JSON. The event loop gets a turn after each column: 1,000 rows take 0.5 ms in all.

        orjson reads the numbers where they lie, in half the time that lists of them take.
        """
        encoded = []
        for column in self.columns:
            encoded.append(msgspec.Raw(orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)))  # NaN becomes null
            await asyncio.sleep(0)
        time, latency, prediction, *features = encoded
        numbers = {"time": time, "latency": latency, "prediction": prediction, "features": features}
        return _encode(self.fields | numbers)


def event_of(
    replica: str, sequence: int, version: Version, block: Block, *, answered_before: int, failed: dict[Mode, int]
) -> Event:
    """Return the rows of a block, which may hold none."""
    columns = block.values[: block.n].T
    # Encoded by hand: PredictionsLogged would validate each number. A test holds that it reads what is written here.
    fields = {
        "event_id": uuid4(),
        "occurred_at": utc_now(),
        "replica": replica,
        "sequence": sequence,
        "answered_before": answered_before,
        "rows": block.n,
        "model_name": version[0],
        "model_version": version[1],
        "request_id": block.request_ids[: block.n],
        "index": columns[INDEX].astype(np.int64).tolist(),
        "mode": ["batch" if of_batch else "single" for of_batch in columns[IS_BATCH].tolist()],
    }
    if failed:
        fields["failed"] = failed
    numbers = np.ascontiguousarray(np.concatenate((columns[:INDEX], columns[FEATURES:])))
    return Event(block.n, fields, numbers, failed)
