"""Fills the documents that quote results: `python -m benchmarks.page`. Figures are never typed.

What stands between two comments is replaced: `<!-- results: SECTION -->`, or `<!-- table: SECTION/TABLE -->`, and
`<!-- end -->`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.results import Result, read_results
from benchmarks.tables import in_markdown
from shared.settings import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
QUOTING = (PAGE, ROOT / "README.md")
_MARKER = re.compile(r"<!-- (results|table): (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(text: str, results: Mapping[str, Result]) -> str:
    """Return the text with the figures of these results.

    Raises:
        KeyError: it asks for a table that its section does not have.
    """

    def filled(found: re.Match[str]) -> str:
        kind, name = found.groups()
        section, _, table = name.partition("/")
        result = results.get(section)
        if result is None:
            body = f'Not measured yet: `make bench ARGS="{section}"`.'
        elif kind == "results":
            body = "\n\n".join([*map(in_markdown, result.tables), _provenance(result)])
        else:
            body = in_markdown({one.name: one for one in result.tables}[table])
        return f"<!-- {kind}: {name} -->\n\n{body}\n\n<!-- end -->"

    return _MARKER.sub(filled, text)


def quoted(text: str) -> list[str]:
    """Return the sections that a text shows whole."""
    return [name for kind, name in _MARKER.findall(text) if kind == "results"]


def fill_documents(paths: Iterable[Path] = QUOTING) -> None:
    results = read_results()
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = fill(before, results)
        if after != before:
            path.write_text(after, encoding="utf-8")


def _provenance(result: Result) -> str:
    load = ["/".join(f"{value:g}" for value in values) for values in (result.load_before, result.load_after)]
    lines = [
        f"{result.date}, commit {result.commit}, {result.seconds / 60:.0f} minutes: `{result.command}`",
        str(result.machine),
        f"load average before and after: {load[0]}, {load[1]}",
    ]
    if result.versions:
        lines.append(", ".join(f"{name} {version}" for name, version in sorted(result.versions.items())))
    if result.quick:
        lines.append("**one short round, which shows that it works, and no more**")
    return "Measured: " + "; ".join(lines) + "."


if __name__ == "__main__":
    fill_documents()
