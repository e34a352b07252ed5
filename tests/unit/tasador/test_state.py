import os
from pathlib import Path

import psutil
import pytest

from tasador.stack.refused import Refused
from tasador.stack.state import (
    AlreadyRunning,
    ProcessInfo,
    StackState,
    StateFile,
    holder,
    is_same_process,
    locked,
    read_state,
    remove_state,
    write_state,
)


def a_state(pid: int = 1) -> StackState:
    return StackState(
        pid=pid,
        started_at="2026-01-01T00:00:00+00:00",
        redis_url="redis://127.0.0.1:6379/0",
        store_url="file:///s",
        mlflow_uri="sqlite:///m",
        model_name="m",
        gateway_url="http://127.0.0.1:8000",
        monitor_url="http://127.0.0.1:8001",
        processes=[ProcessInfo(name="scorer-1", service="scorer", state="ready", pid=7)],
    )


def test_a_disk_that_takes_nothing_is_told_once_and_the_next_write_is_tried(tmp_path: Path) -> None:
    in_the_way = tmp_path / "stack.json.new"  # where it is written before it is renamed
    in_the_way.mkdir()
    told: list[str] = []
    file = StateFile(tmp_path, told.append)
    assert [file.write(a_state()), file.write(a_state())] == [False, False]
    assert len(told) == 1
    assert "stack.json" in told[0]
    in_the_way.rmdir()
    assert file.write(a_state())
    assert read_state(tmp_path) == a_state()


def test_what_was_written_is_read_until_it_is_removed(tmp_path: Path) -> None:
    write_state(tmp_path, a_state())
    assert read_state(tmp_path) == a_state()
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    write_state(tmp_path, a_state())
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


def test_half_a_file_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"pid": 1')
    assert read_state(tmp_path) is None


def test_a_reused_pid_is_another_process() -> None:
    me = psutil.Process()
    assert is_same_process(me.pid, me.create_time())
    assert not is_same_process(me.pid, me.create_time() - 100)


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with locked(tmp_path):
        assert holder(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"), locked(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="TASADOR_STATE_DIR"), locked(tmp_path / "file" / "state"):
        pass
