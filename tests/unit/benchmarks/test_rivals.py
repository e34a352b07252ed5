import json
from pathlib import Path

import pytest

from benchmarks.rivals.catalogue import RIVALS, Place, Rival
from benchmarks.rivals.environments import LOCKS

ROW = {"area": 68.5, "rooms": 3.0}
rivals = pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.package)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "bin", tmp_path / "model", tmp_path, 4321, list(ROW))


def _rival(package: str) -> Rival:
    return next(rival for rival in RIVALS if rival.package == package)


@rivals
def test_a_rival_is_pinned_with_hashes(rival: Rival) -> None:
    lock = (LOCKS / f"{rival.package}.txt").read_text()
    assert f"\n{rival.package}==" in f"\n{lock}"
    assert lock.count("==") <= lock.count("--hash=sha256:")
    assert "://" not in lock


@rivals
def test_a_rival_runs_a_program_of_its_environment_on_the_port_that_it_is_given(rival: Rival, place: Place) -> None:
    command = rival.command(place)
    assert Path(command[0]).parent == place.bin
    rival.write_files(place)
    written = "".join(path.read_text() for path in place.directory.rglob("*.json"))
    assert str(place.port) in " ".join(command) + written
    assert all(Path(word).exists() for word in command if word.endswith(".py"))


@rivals
def test_a_body_holds_the_values_in_order(rival: Rival) -> None:
    text = json.dumps(rival.body(ROW))
    assert text.index("68.5") < text.index("3.0")


def test_mlserver_speaks_the_inference_protocol(place: Place) -> None:
    mlserver = _rival("mlserver")
    (tensor,) = mlserver.body(ROW)["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([1, 2], [68.5, 3.0])
    assert mlserver.prediction({"outputs": [{"data": [24.5]}]}) == 24.5


def test_batching_is_measured_beside_its_absence(place: Place) -> None:
    mlserver = _rival("mlserver")
    mlserver.write_files(place)
    models = {
        name: json.loads((place.directory / name / "model-settings.json").read_text()) for name in ("plain", "batched")
    }
    assert models["batched"].pop("max_batch_size") > 1
    assert models["batched"].pop("max_batch_time") > 0
    assert models["batched"] | {"name": "plain"} == models["plain"]
