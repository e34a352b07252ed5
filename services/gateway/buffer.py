"""Answered predictions that wait to be sent: numbers in blocks that are there before they are needed.

A row costs one call that packs it. It is counted for `/metrics` when somebody looks, or when its block is sent. At
every moment answered = sent + dropped + waiting, and what is being sent still waits.
"""

import time
from collections import deque
from collections.abc import Sequence

import numpy as np

from services.gateway.blocks import FEATURES, IS_BATCH, LATENCY, PREDICTION, Block, ScoredRows
from services.gateway.logged import Event, event_of
from services.gateway.tally import Mode, Predictions
from services.gateway.untold import Untold, Version
from shared.engine import Model

_SPARES = 2  # one is filled while another is sent


class Buffer:
    """Rows that wait, oldest first; beyond `capacity` new ones are dropped. Only the event loop's thread touches it.

    Args:
        rows: of a block, which becomes an event.
    """

    def __init__(self, replica: str, capacity: int, rows: int) -> None:
        self.sent = 0
        self.dropped = 0
        self._dropped_at = float("-inf")
        self._replica = replica
        self._capacity = capacity
        self._block_rows = rows
        self._none = Block(0, 0)
        self._block = self._none  # the one that is filled
        self._full: deque[Block] = deque()
        self._rows_in_full = 0
        self._spares: list[Block] = []
        self._answered_before = 0
        self._sequence = 0
        self._predictions = Predictions()
        self._untold = Untold()

    def __len__(self) -> int:
        return self._rows_in_full + self._block.n

    @property
    def has_full(self) -> bool:
        """Whether rows wait to which none will be added."""
        return bool(self._full) or 0 < self._block.n == self._block.room

    @property
    def has_untold(self) -> bool:
        """Whether there is something to tell besides the rows that wait."""
        return bool(self._untold)

    @property
    def answered(self) -> int:
        return self._answered_before + self._block.n

    def add(self, model: Model, request_id: str, row: Sequence[float], prediction: float, seconds: float) -> bool:
        """Take a single prediction; return whether that makes a block full."""
        block = self._block
        n = block.n
        if block.model is not model or n == block.room:
            block = self._next_block(model)
            n = 0
            if not block.room:
                self._predictions.add("single", model.version, seconds, prediction)
                self._drop_answered(model, 1)
                return False
        block.pack(block.memory, n * block.row_bytes, time.time(), seconds, prediction, 0.0, 0.0, *row)
        block.request_ids[n] = request_id
        block.n = n = n + 1
        return n == block.room

    def add_batch(self, model: Model, request_id: str, scored: ScoredRows) -> bool:
        """Take the rows of a batch; return whether that makes a block full."""
        start, filled = 0, False
        while start < len(scored.rows):
            block = self._block
            if block.model is not model or block.n == block.room:
                block = self._next_block(model)
            if not block.room:
                left = scored.predictions[start:]
                self._predictions.add_rows("batch", model.version, np.full(len(left), scored.seconds), left)
                self._drop_answered(model, len(left))
                break
            some = slice(start, start + block.room - block.n)
            start += block.extend(request_id, scored, some)
            filled = filled or block.n == block.room
        return filled

    def fail(self, model: Model, mode: Mode, rows: int) -> None:
        """Take rows that got no prediction."""
        self._untold.failed((model.name, model.version), {mode: rows})

    def sent_is(self, event: Event) -> None:
        self.sent += event.rows
        self._untold.told(event.answered)

    def refused(self, event: Event) -> None:
        """There was no room for an event: its rows will not be sent, and the rest is told later."""
        self.drop(event.rows)
        self._untold.failed(event.version, event.failed)
        self._untold.dropped(event.version, event.answered)

    def drop(self, rows: int) -> None:
        """Count rows that will not be sent."""
        if rows:
            self.dropped += rows
            self._dropped_at = time.monotonic()

    def dropping(self, seconds: float) -> bool:
        """Whether rows were dropped during the last `seconds`."""
        return time.monotonic() - self._dropped_at < seconds

    def counted(self) -> Predictions:
        """Return what was answered so far, in figures."""
        for block in (*self._full, self._block):
            self._count(block)
        return self._predictions

    def take(self) -> Event | None:
        """Remove the oldest rows of one version, and return them as an event; None if there is nothing to tell.

        An event without rows tells what these would not.
        """
        if not self._full:
            self._put_aside()
        coming = self._full[0] if self._full else None
        alone = self._untold.waits_behind(coming.version if coming else None)
        if alone is not None:
            return self._event(alone, self._none, coming.answered_before if coming else self._answered_before)
        if coming is None:
            return None
        block = self._full.popleft()
        self._rows_in_full -= block.n
        self._count(block)
        event = self._event(block.version, block, block.answered_before)
        block.model = None  # it may be out of service by now, and is large
        if len(self._spares) < _SPARES:
            self._spares.append(block)
        return event

    def _event(self, version: Version, block: Block, answered_before: int) -> Event:
        self._sequence += 1
        failed = self._untold.take_failed(version)
        return event_of(self._replica, self._sequence, version, block, answered_before=answered_before, failed=failed)

    def _next_block(self, model: Model) -> Block:
        """Begin a block for the model; one without room if there is none."""
        self._put_aside()
        room = min(self._block_rows, self._capacity - self._rows_in_full)
        if room > 0:
            self._block = block = self._spare(len(model.signature.features))
            block.model, block.room, block.n, block.counted = model, room, 0, 0
            block.answered_before = self._answered_before
        return self._block

    def _put_aside(self) -> None:
        """Let the rows that were added so far wait to be taken."""
        if self._block.n:
            self._full.append(self._block)
            self._rows_in_full += self._block.n
            self._answered_before += self._block.n
        self._block = self._none

    def _spare(self, features: int) -> Block:
        while self._spares:
            block = self._spares.pop()
            if block.columns == FEATURES + features:  # else it is of a version that was
                return block
        return Block(self._block_rows, features)

    def _drop_answered(self, model: Model, rows: int) -> None:
        self._answered_before += rows
        self.drop(rows)
        self._untold.dropped((model.name, model.version), self._answered_before)

    def _count(self, block: Block) -> None:
        if block.model is not None and block.n > block.counted:
            rows = block.values[block.counted : block.n]
            of_batch = rows[:, IS_BATCH] > 0
            self._predictions.add_rows("single", block.model.version, *rows[~of_batch, LATENCY : PREDICTION + 1].T)
            self._predictions.add_rows("batch", block.model.version, *rows[of_batch, LATENCY : PREDICTION + 1].T)
            block.counted = block.n
