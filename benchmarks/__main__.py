"""`make bench`, or `python -m benchmarks [SECTION …]`: measure, print, keep the results, fill the page."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.children import adopt_orphans, end_children, end_on_sigterm, within
from benchmarks.page import fill_documents
from benchmarks.results import DIRECTORY, Result, load_average, this_commit, this_machine, write_result
from benchmarks.section import Run, Section
from benchmarks.sections import SECTIONS
from benchmarks.tables import Table, in_terminal
from shared.settings import ROOT

ROWS = 1_000_000
ALL = "all"
WIDTH = 140  # of tables in a file


def main() -> int:
    chosen = _arguments()
    names = _named(chosen.sections)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    estimate = sum(SECTIONS[name].estimate(chosen.quick) for name in names)
    limit = sum(SECTIONS[name].limit(chosen.quick) for name in names) / 60
    console.print(f"{', '.join(names)}: about {estimate:.0f} minutes, never more than {limit:.0f}.\n{this_machine()}")
    end_on_sigterm()
    adopt_orphans()
    failed = [name for name in names if not _measure(console, name, SECTIONS[name], chosen)]
    if not chosen.quick and chosen.results == DIRECTORY:
        fill_documents()
    if failed:
        console.print(f"[red]No result of: {', '.join(failed)}. What was said above tells why.")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.epilog = "sections:\n" + "\n".join(
        f"  {name:<12}{section.says} ({section.minutes:g} minutes{', when none is named' * section.short})"
        for name, section in SECTIONS.items()
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"one or more of the below, or {ALL}")
    parser.add_argument("--quick", action="store_true", help="one short round each: see that it works; keeps no result")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the long jobs (%(default)s)")
    parser.add_argument("--directory", type=Path, help="disk for files and stacks; a temporary one by default")
    parser.add_argument("--cache", type=Path, default=ROOT / ".tasador" / "bench", help="for the rivals' environments")
    parser.add_argument("--results", type=Path, help="keep results here; benchmarks/results by default")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.sections) - {*SECTIONS, ALL})
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: choose from {', '.join((*SECTIONS, ALL))}")
    chosen.results = chosen.results or (None if chosen.quick else DIRECTORY)
    return chosen


def _named(sections: Sequence[str]) -> list[str]:
    if ALL in sections:
        return list(SECTIONS)
    return list(dict.fromkeys(sections)) or [name for name, section in SECTIONS.items() if section.short]


def _measure(console: Console, name: str, section: Section, chosen: argparse.Namespace) -> bool:
    """Run one section; whatever becomes of it, nothing that it started goes on."""
    console.print(f"\n[bold]{name}[/]: {section.says}. Load average {load_average()[0]:.1f}")
    before, started = load_average(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="tasador-bench-", dir=chosen.directory) as directory:
            run = Run(Path(directory), chosen.cache.resolve(), chosen.quick, chosen.rows, console.print)
            with within(section.limit(chosen.quick)):
                tables = list(_printed(console, section.measure(run)))
    except Exception:
        traceback.print_exc()
        return False
    finally:
        end_children()
    result = Result(
        section=name,
        date=datetime.now(UTC).date().isoformat(),
        commit=this_commit(),
        command=_command(name, chosen),
        quick=chosen.quick,
        seconds=round(time.monotonic() - started),
        machine=this_machine(),
        load_before=before,
        load_after=load_average(),
        versions=run.versions,
        tables=tables,
    )
    if chosen.results:
        write_result(result, chosen.results)
    return True


def _printed(console: Console, tables: Iterator[Table]) -> Iterator[Table]:
    for table in tables:
        console.print(in_terminal(table))
        yield table


def _command(name: str, chosen: argparse.Namespace) -> str:
    """Return what measures the same again; where files lay is left out."""
    flags = ["--quick"] * chosen.quick + [f"--rows {chosen.rows}"] * (chosen.rows != ROWS)
    return f'make bench ARGS="{" ".join([name, *flags])}"'


if __name__ == "__main__":
    sys.exit(main())
