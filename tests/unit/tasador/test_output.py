from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from tasador.cli.output import Exit, print_fields
from tasador.cli.score import _check_target


def test_values_are_written_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
    print_fields({"yes": True, "no": False, "none": None, "nobody": [], "at": at})
    shown = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["yes", "no", "–", "–", "2026-01-02 03:04:05 UTC"]


@pytest.mark.parametrize(("out", "code"), [("json", Exit.USAGE), ("nowhere/scored.csv", Exit.FAILED)])
def test_results_that_could_not_be_written_are_refused_before_the_work(tmp_path: Path, out: str, code: Exit) -> None:
    _check_target(tmp_path / "scored.csv")
    with pytest.raises(typer.Exit) as refused:
        _check_target(tmp_path / out)
    assert refused.value.exit_code == code
