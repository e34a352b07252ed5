"""Whether a history is one that the stack promised.

One function per promise: it gets the history and yields, for everything that it held against the promise, what is wrong
with it, or None. A promise that nothing was held against is reported as not put to the test.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tasador.torture.history import (
    Accepted,
    Converged,
    Fault,
    History,
    Letters,
    Manifest,
    Predicted,
    Promoted,
    Read,
    Refused,
    Replica,
    Seen,
    Stranger,
    Unread,
)

EXAMPLES = 5
AWAY = frozenset({0, 503, 504})
"""What an answer may be while Redis is away: none, or one that says to come again."""

REFUSALS = frozenset({409, 429, 503})
"""409: of a request that was broken off nobody knows yet what became of it; the same key must wait."""

Check = Callable[[History], Iterator[str | None]]


@dataclass
class Verdict:
    """What became of one promise."""

    name: str
    promise: str
    checked: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return self.broken == 0

    def note(self, wrong: str | None) -> None:
        self.checked += 1
        if wrong is not None:
            self.broken += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(wrong)


def check(history: History) -> list[Verdict]:
    """Hold a history against every promise."""
    verdicts = []
    for name, (promise, of) in PROMISES.items():
        verdict = Verdict(name, promise)
        for wrong in of(history):
            verdict.note(wrong)
        verdicts.append(verdict)
    return verdicts


def _ends(history: History) -> Iterator[str | None]:
    last = _last(history)
    for accepted in history.of(Accepted):
        seen = last.get(accepted.job)
        state = seen.state if seen else "never seen"
        yield None if seen and seen.ended else f"job {accepted.job} was last {state}"


def _completes(history: History) -> Iterator[str | None]:
    for job, seen in history.sightings().items():
        yield next((f"job {job} failed" for each in seen if each.state == "failed"), None)


def _known(history: History) -> Iterator[str | None]:
    for job, seen in history.sightings().items():
        for each in seen:
            fine = each.known or each.status in AWAY
            yield None if fine else f"job {job} was answered with {each.status} at {each.at:.1f} s"


def _readable(history: History) -> Iterator[str | None]:
    yield from (None for _ in history.of(Read))
    yield from (f"job {unread.job}: {unread.why}" for unread in history.of(Unread))


def _rows(history: History) -> Iterator[str | None]:
    last = _last(history)
    for read in history.of(Read):
        if read.job in last and last[read.job].state == "completed":
            yield None if read.outcome.complete else f"job {read.job}: {_places(read)}"


def _prefix(history: History) -> Iterator[str | None]:
    last = _last(history)
    for read in history.of(Read):
        seen = last.get(read.job)
        if seen is None or not seen.ended or seen.state == "completed":
            continue
        got = read.outcome
        if got.missing or got.doubled or got.moved:
            yield f"{seen.state} job {read.job}: {_places(read)}"
        else:
            yield None if got.records == seen.done else f"job {read.job}: {got.records} records, but {seen.done} done"


def _places(read: Read) -> str:
    got = read.outcome
    counts = f"{got.records} records for {got.total} rows, {got.missing} missing, {got.doubled} doubled"
    return "; ".join([f"{counts}, {got.moved} moved", *got.examples])


def _values(history: History) -> Iterator[str | None]:
    for read in history.of(Read):
        if read.outcome.compared:
            wrong = f"job {read.job}: {read.outcome.wrong} wrong; " + "; ".join(read.outcome.examples)
            yield wrong if read.outcome.wrong else None


def _letters(history: History) -> Iterator[str | None]:
    poison = {read.job: read.outcome.poison for read in history.of(Read)}
    for letters in history.of(Letters):
        rows = poison.get(letters.job, letters.rows)
        yield None if letters.rows == rows else f"job {letters.job}: {rows} rows given up, {letters.rows} in letters"


def _one_version(history: History) -> Iterator[str | None]:
    manifests: dict[str, list[Manifest]] = {}
    for manifest in history.of(Manifest):
        manifests.setdefault(manifest.job, []).append(manifest)
    digests: dict[str, set[str]] = {}
    for manifest in history.of(Manifest):
        digests.setdefault(manifest.version, set()).add(manifest.digest)
    for job, seen in history.sightings().items():
        versions = {each.version for each in seen if each.known} | {each.version for each in manifests.get(job, [])}
        yield None if len(versions) <= 1 else f"job {job} names the versions {sorted(versions)}"
    for version, named in digests.items():
        yield None if len(named) == 1 else f"version {version} has the digests {sorted(named)}"


def _counts(history: History) -> Iterator[str | None]:
    last = _last(history)
    for read in history.of(Read):
        seen = last.get(read.job)
        if seen is None or seen.state != "completed":
            continue
        records = (read.outcome.records, read.outcome.errors)
        told = (seen.done, seen.failed)
        yield None if told == records and seen.done == seen.total else f"job {read.job}: {told} told, {records} read"
    for manifest in history.of(Manifest):
        seen = last.get(manifest.job)
        if seen is not None:
            same = (manifest.rows, manifest.failed) == (seen.done, seen.failed)
            yield None if same else f"job {manifest.job}: its parts have {manifest.rows} rows, its status {seen.done}"


def _progress(history: History) -> Iterator[str | None]:
    """Early ends are left out: their counts are those of the parts that stay readable."""
    for job, seen in history.sightings().items():
        known = [each for each in seen if each.known and (not each.ended or each.state == "completed")]
        for before, after in pairwise(known):
            back = after.done < before.done and not _flushed(history, before.asked, after.at)
            yield f"job {job} went from {before.done} to {after.done} at {after.at:.1f} s" if back else None


def _flushed(history: History, since: float, until: float) -> bool:
    """Whether Redis may have been lost between two moments."""
    flushes = [fault for fault in history.of(Fault) if fault.kind == "flush" and not fault.skipped]
    return any(since <= flush.at and flush.began <= until for flush in flushes)


def _final(history: History) -> Iterator[str | None]:
    for job, seen in history.sightings().items():
        known = [each for each in seen if each.known]
        first = next((place for place, each in enumerate(known) if each.ended), len(known))
        for end, after in pairwise(known[first:]):
            same = (end.state, end.done, end.failed) == (after.state, after.done, after.failed)
            yield None if same else f"job {job} ended as {_told(end)}, and was {_told(after)} later"


def _told(seen: Seen) -> str:
    return f"{seen.state} {seen.done}/{seen.failed}"


def _strangers(history: History) -> Iterator[str | None]:
    for stranger in history.of(Stranger):
        fine = stranger.status in AWAY | {404}
        yield None if fine else f"an id that was never given out was answered with {stranger.status}"


def _refusals(history: History) -> Iterator[str | None]:
    for refused in history.of(Refused):
        polite = refused.status in REFUSALS and refused.retry_after is not None
        yield None if polite else f"a submission at {refused.at:.1f} s was answered with {refused.status or 'nothing'}"


def _answers(history: History) -> Iterator[str | None]:
    for predicted in history.of(Predicted):
        told = predicted.status or "nothing"
        yield None if predicted.status == 200 else f"/predict answered {told} at {predicted.at:.1f} s"


def _right(history: History) -> Iterator[str | None]:
    for predicted in history.of(Predicted):
        if predicted.right is not None:
            wrong = f"a number that is not that of version {predicted.version} at {predicted.at:.1f} s"
            yield None if predicted.right else wrong


def _promotions(history: History) -> Iterator[str | None]:
    """A fault may call a promotion off."""
    for promoted in history.of(Promoted):
        fine = promoted.state in ("succeeded", "failed") or _flushed(history, promoted.asked, promoted.at)
        yield None if fine else f"the promotion of version {promoted.version} was {promoted.state}"
    for converged in history.of(Converged):
        yield None if converged.state else "in the end not all replicas serve the desired version"


def _epochs(history: History) -> Iterator[str | None]:
    newest: dict[str, int] = {}
    for replica in history.of(Replica):
        before = newest.get(replica.id, replica.epoch)
        newest[replica.id] = max(before, replica.epoch)
        back = replica.epoch < before
        yield f"{replica.id} went from epoch {before} to {replica.epoch} at {replica.at:.1f} s" if back else None


def _last(history: History) -> dict[str, Seen]:
    """Return the last that was known of each job that was seen."""
    sightings = history.sightings().items()
    return {job: known[-1] for job, seen in sightings if (known := [each for each in seen if each.known])}


PROMISES: dict[str, tuple[str, Check]] = {
    "ends": ("an accepted job ends", _ends),
    "not failed": ("no job fails for want of a process", _completes),
    "known": ("an accepted job is never unknown", _known),
    "readable": ("the results of an ended job can be read", _readable),
    "rows": ("each row of a completed job has one record, in input order", _rows),
    "values": ("each record is its row's value, bit by bit, or its typed error", _values),
    "dead letters": ("the rows that were given up are those that have a dead letter", _letters),
    "one version": ("all rows of a job are scored by one version", _one_version),
    "counts": ("what a job says of its rows is what its results hold", _counts),
    "prefix": ("a job that was ended early keeps its rows up to a first gap", _prefix),
    "progress": ("progress is never lost, save by losing Redis", _progress),
    "final": ("an end is final", _final),
    "unknown": ("an id that was never given out is unknown, not pending", _strangers),
    "refusals": ("a submission is accepted, or told when to come again", _refusals),
    "answers": ("every /predict is answered", _answers),
    "predictions": ("every /predict is right for the version it names", _right),
    "promotions": ("a promotion ends, and all replicas serve one version then", _promotions),
    "epochs": ("no replica goes back to an earlier epoch", _epochs),
}


def landed(history: History) -> Sequence[Fault]:
    """Return the faults that met a job at work: it had been accepted, and was seen unfinished afterwards."""
    spans = []
    sightings = history.sightings()
    for accepted in history.of(Accepted):
        unfinished = [each.asked for each in sightings[accepted.job] if each.known and not each.ended]
        spans.append((accepted.at, max(unfinished, default=accepted.at)))
    done = [fault for fault in history.of(Fault) if not fault.skipped]
    return [fault for fault in done if any(since <= fault.began and fault.at < until for since, until in spans)]
