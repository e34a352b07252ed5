"""What was done, what was asked meanwhile, and what became of each promise."""

from collections import Counter
from typing import Any

from rich.table import Table
from rich.text import Text

from tasador.torture.checker import Verdict, check, landed
from tasador.torture.history import Accepted, Fault, History, Predicted, Read, Refused


def report(history: History, seed: int) -> dict[str, Any]:
    """Return the whole report as plain values."""
    verdicts = check(history)
    return {
        "held": all(verdict.held for verdict in verdicts),
        "seed": seed,
        "seconds": round(history.now(), 1),
        "faults": _faults(history),
        "jobs": _jobs(history),
        "predictions": _predictions(history),
        "promises": [_as_json(verdict) for verdict in verdicts],
    }


def _faults(history: History) -> dict[str, Any]:
    faults = history.of(Fault)
    return {
        "done": dict(Counter(fault.kind for fault in faults if not fault.skipped)),
        "skipped": dict(Counter(fault.kind for fault in faults if fault.skipped)),
        "while_jobs_ran": len(landed(history)),
    }


def _jobs(history: History) -> dict[str, Any]:
    states = Counter(seen[-1].state if seen else "unseen" for seen in history.sightings().values())
    outcomes = [read.outcome for read in history.of(Read)]
    return {
        "accepted": len(history.of(Accepted)),
        **dict(states),
        "rows": sum(accepted.rows for accepted in history.of(Accepted)),
        "values": sum(outcome.values for outcome in outcomes),
        "errors": sum(outcome.errors for outcome in outcomes),
        "submissions_put_off": len(history.of(Refused)),
    }


def _predictions(history: History) -> dict[str, Any]:
    seconds = sorted(predicted.seconds for predicted in history.of(Predicted))
    if not seconds:
        return {"count": 0}
    p99 = seconds[int(0.99 * (len(seconds) - 1))]
    return {"count": len(seconds), "p99_ms": round(p99 * 1000, 1), "slowest_ms": round(seconds[-1] * 1000, 1)}


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "promise": verdict.promise,
        "held": verdict.held,
        "checked": verdict.checked,
        "broken": verdict.broken,
        "examples": verdict.examples,
    }


def promises_table(found: dict[str, Any]) -> Table:
    """Draw the promises of a report; one that nothing was held against is said to be untested."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("promise")
    table.add_column("")
    table.add_column("checked", justify="right")
    table.add_column("broken", justify="right")
    for promise in found["promises"]:
        table.add_row(promise["promise"], _mark(promise), f"{promise['checked']:,}", f"{promise['broken'] or '–'}")
        for example in promise["examples"]:
            table.add_row(Text(f"  {example}", "red"), "", "", "")
    return table


def _mark(promise: dict[str, Any]) -> Text:
    if not promise["held"]:
        return Text("BROKEN", "bold red")
    return Text("held", "green") if promise["checked"] else Text("untested", "dim")


def lines(found: dict[str, Any]) -> list[str]:
    """Return the figures of a report as sentences."""
    done = ", ".join(f"{kind} {count}" for kind, count in found["faults"]["done"].items()) or "none"
    jobs, predictions = found["jobs"], found["predictions"]
    ended = ", ".join(f"{count} {state}" for state, count in jobs.items() if state in _STATES)
    skipped = ", ".join(f"{kind} {count}" for kind, count in found["faults"]["skipped"].items())
    said = [
        f"{found['seconds']:.0f} s, seed {found['seed']}",
        f"faults       {done}; {found['faults']['while_jobs_ran']} of them while jobs ran",
        f"jobs         {jobs['accepted']:,} accepted ({ended}) of {jobs['rows']:,} rows; {jobs['values']:,} values and "
        f"{jobs['errors']:,} errors read; {jobs['submissions_put_off']} submissions put off",
        f"predictions  {predictions['count']:,}",
    ]
    if predictions["count"]:
        said[-1] += f", p99 {predictions['p99_ms']} ms, slowest {predictions['slowest_ms']} ms"
    return [*said, f"not done     {skipped}"] if skipped else said


_STATES = frozenset(("completed", "cancelled", "expired", "failed", "queued", "running", "finalizing", "unseen"))
