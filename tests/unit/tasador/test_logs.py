from pathlib import Path

import pytest

from tasador.stack import logs


def test_a_small_log_is_kept_and_a_large_one_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "x.log"
    log.write_text("small")
    logs.rotate(log)
    assert log.read_text() == "small"
    monkeypatch.setattr(logs, "ROTATE_AT", 4)
    logs.rotate(log)
    assert not log.exists()
    assert (tmp_path / "x.log.1").read_text() == "small"


def test_the_oldest_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT", 1)
    log = tmp_path / "x.log"
    for number in range(logs.KEPT + 2):
        log.write_text(f"run {number}")
        logs.rotate(log)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"x.log.1": "run 4", "x.log.2": "run 3", "x.log.3": "run 2"}


def test_the_tail_begins_where_the_process_began(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("an earlier life\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("one\ntwo\nthree\n")
    assert logs.tail(log, 2, offset) == ["two", "three"]
    assert logs.tail(log, 9, offset) == ["one", "two", "three"]
    assert logs.tail(tmp_path / "none.log", 9) == []
