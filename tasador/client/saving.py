"""Results on their way into a file, begun while the job runs where the rest may be put behind the beginning."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tasador.client.answers import Job
from tasador.client.downloads import Download
from tasador.client.errors import TasadorError

_LEAST_ROWS = 50_000
_SHARE = 16
"""What is finished is fetched that many times at most, beside what a gateway and a client have to do anyway."""


class Saving:
    """The file appears when `end` returns; of one that is left before, nothing stays."""

    def __init__(self, download: Download, path: Path) -> None:
        """Raises OSError."""
        self._download = download
        self._path = path
        self._beside = path.with_name(f".{path.name}.part")
        self._file = self._beside.open("wb")
        self.early = download.resumable
        """Whether anything is to be had before the job has ended."""

    def more(self, job: Job) -> None:
        """Fetch what has been finished since, if it is much. What goes wrong is found again at the end."""
        enough = max(_LEAST_ROWS, job.rows.total // _SHARE)
        if not self.early or job.ended or job.rows.done - self._download.next < enough:
            return
        try:
            self._fetch(patient=False)
        except OSError:
            self._begin_anew()
        except TasadorError:
            pass

    def end(self) -> int:
        """Fetch what is missing, and return the bytes of the file.

        Raises:
            OSError: it cannot be written.
            TasadorError: it cannot be fetched.
        """
        if self._download.resumable:
            self._fetch(patient=True)
        else:
            self._download.whole(self._start)
        written = self._file.tell()
        self._file.close()
        self._beside.replace(self._path)
        return written

    def _fetch(self, *, patient: bool) -> None:
        for block in self._download.records(self._download.next, header=not self._file.tell(), patient=patient):
            self._file.write(block)
        self._file.flush()  # a full disk is found now

    def _begin_anew(self) -> None:
        """Forget what a full disk may have taken half of, and write when the job has ended."""
        with suppress(OSError):
            self._file.close()
        self._file = self._beside.open("wb")
        self._download.next = 0
        self.early = False

    def _start(self) -> Callable[[bytes], int]:
        self._file.seek(0)
        self._file.truncate()
        return self._file.write

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:  # what could not be written before cannot be now
            if error is None:
                raise
        finally:
            self._beside.unlink(missing_ok=True)
