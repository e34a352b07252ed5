"""The registry hears who the champion is, sooner or later."""

from collections.abc import Sequence

import pytest

from services.trainer.mirror import Mirror, VersionUnknown
from shared.artifact import Champion
from tests.waiting import eventually


class Registry:
    """Fails as it is told, and then takes what it is given."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.told: list[str] = []

    async def set_champion(self, name: str, version: str) -> None:
        self.told.append(version)
        if self.failures:
            raise self.failures.pop(0)


def a_mirror(registry: Registry, champions: Sequence[str]) -> Mirror:
    """The champion is each of them in turn."""
    versions = list(champions)

    async def champion() -> Champion:
        return Champion(version=versions.pop(0), epoch=1, digest="")

    return Mirror(registry, "model", champion, pauses=(0.0, 0.01))


async def test_it_is_tried_again_with_whoever_is_champion_then() -> None:
    registry = Registry(ConnectionError("away"), TimeoutError("still away"))
    mirror = a_mirror(registry, ["1", "1", "2"])
    mirror.tell()
    await mirror.tried()
    assert registry.told == ["1"], "whoever waits for an attempt waits for one"

    async def heard() -> bool:
        return registry.told == ["1", "1", "2"]

    await eventually(heard)


@pytest.mark.parametrize("settled", [[], [VersionUnknown("no such version")]])
async def test_what_is_settled_is_not_tried_again(settled: list[Exception]) -> None:
    registry = Registry(*settled)
    mirror = a_mirror(registry, ["1"])
    mirror.tell()
    assert mirror._telling is not None
    await mirror._telling
    assert registry.told == ["1"]


async def test_a_new_champion_does_not_wait_for_the_registry_to_have_heard_of_the_last() -> None:
    registry = Registry()
    mirror = a_mirror(registry, ["2"])
    mirror.tell(after=3600)
    mirror.tell()
    await mirror.tried()
    assert registry.told == ["2"]


async def test_nothing_was_tried_when_there_is_nothing_to_tell() -> None:
    await a_mirror(Registry(), []).tried()
