"""The uvicorn that is installed, and uvicorns with which what we do beyond it does not work."""

from collections.abc import Awaitable, Callable

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.gateway.trial import trial_of_exchanges, trial_of_immediate

Trial = Callable[[], Awaitable[str]]
TRIALS = pytest.mark.parametrize("trial", [trial_of_exchanges, trial_of_immediate])


@TRIALS
async def test_it_finds_the_uvicorn_that_is_installed_good(trial: Trial) -> None:
    assert await trial() == ""


def _nothing(*_: object, **__: object) -> None: ...


@TRIALS
@pytest.mark.parametrize(
    ("owner", "name", "instead"),
    [
        (HttpToolsProtocol, "on_headers_complete", _nothing),
        (HttpToolsProtocol, "on_body", _nothing),
        (HttpToolsProtocol, "on_message_complete", _nothing),
        (HttpToolsProtocol, "_start_asgi_task", _nothing),
        (HttpToolsProtocol, "on_url", _nothing),
        (RequestResponseCycle, "__init__", _nothing),
        (FlowControl, "__init__", _nothing),
    ],
)
async def test_it_finds_what_has_changed(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, instead: object, trial: Trial
) -> None:
    monkeypatch.setattr(owner, name, instead)
    assert await trial()
