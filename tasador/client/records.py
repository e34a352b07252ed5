"""Cutting a text into whole records, so that a broken transfer leaves no half of one behind. Pure."""

import json
from typing import Protocol


class Records(Protocol):
    """One answer, as it arrives."""

    next: int
    """Position in the job of the record after the last whole one."""

    def feed(self, block: bytes) -> bytes:
        """Take what has arrived, and return the records that are whole by now."""
        ...


class LineRecords:
    """JSON lines: a record ends with its line, and names its own position."""

    def __init__(self, first: int) -> None:
        self.next = first
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        end = block.rfind(b"\n") + 1
        if not end:
            self._rest += block
            return b""
        whole, self._rest = self._rest + block[:end], block[end:]
        self.next = int(json.loads(whole[whole.rfind(b"\n", 0, -1) + 1 :])["index"]) + 1
        return whole


class CsvRecords:
    """CSV: a line break within quotes does not end a record. The records follow each other without a gap.

    Args:
        first: position of the first record.
        header: whether a header comes before it.
    """

    def __init__(self, first: int, *, header: bool) -> None:
        self.next = first - header
        self._rest = b""
        self._quoted = False

    def feed(self, block: bytes) -> bytes:
        end = seen = 0
        for number, text in enumerate(block.split(b'"')):
            if number:  # a quote stands before it; one that is doubled changes nothing in the end
                self._quoted = not self._quoted
                seen += 1
            if not self._quoted and (breaks := text.count(b"\n")):
                self.next += breaks
                end = seen + text.rfind(b"\n") + 1
            seen += len(text)
        if not end:
            self._rest += block
            return b""
        whole, self._rest = self._rest + block[:end], block[end:]
        return whole
