"""Events as they were once written to a stream. A file here is never changed: what was published must stay readable."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared import events
from shared.events import Event

EXAMPLES = Path(__file__).parent / "events"
KINDS = {kind.stream: kind for kind in Event.__subclasses__()}
kinds = pytest.mark.parametrize("stream", sorted(KINDS))


def _example(stream: str) -> Any:
    return json.loads((EXAMPLES / f"{stream}.json").read_text(encoding="utf-8"))


def test_every_kind_of_event_has_an_example_and_every_example_a_kind() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(KINDS)
    assert set(events.BROADCASTS) <= set(KINDS.values())


@kinds
def test_what_was_published_can_still_be_read(stream: str) -> None:
    document = _example(stream)
    event = KINDS[stream].of_entry({"__data__": json.dumps(document)})
    said = event.model_dump(mode="json")
    assert {name: said[name] for name in document} == document


@kinds
def test_a_field_that_a_newer_producer_adds_is_ignored(stream: str) -> None:
    document = _example(stream)
    older = KINDS[stream].of_entry({"__data__": json.dumps(document)})
    newer = KINDS[stream].of_entry({"__data__": json.dumps(document | {"added_later": {"by": "a newer release"}})})
    assert newer == older


@kinds
def test_an_event_goes_through_its_entry_unchanged(stream: str) -> None:
    event = KINDS[stream].model_validate(_example(stream))
    assert KINDS[stream].of_entry(event.entry()) == event


@kinds
def test_the_name_of_a_stream_is_in_the_past_tense_with_a_version(stream: str) -> None:
    noun, verb, version = stream.split(".")
    assert noun
    assert verb.endswith("ed")
    assert version.startswith("v")


def test_a_field_that_is_missing_is_refused() -> None:
    document = _example("retrain.requested.v1")
    del document["operation_id"]
    with pytest.raises(ValidationError):
        events.RetrainRequested.of_entry({"__data__": json.dumps(document)})
