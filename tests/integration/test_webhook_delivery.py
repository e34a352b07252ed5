"""One attempt over real connections: to the address that was checked, and to nobody who cannot prove the name."""

import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from shared.webhooks.addresses import Guard
from shared.webhooks.delivery import Answer, Delivery
from tests.certificates import a_server
from tests.receiver import Receiver, receiver

NAME = "hooks.example"
TIMEOUT = timedelta(seconds=20)


class Resolver:
    """Answers with each of `answers` in turn, as a name server does that wants to be asked twice."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> list[str]:
        self.asked.append(host)
        return list(next(self._answers))


async def sent(there: Receiver, resolver: Resolver, trusted: Path | None = None, name: str = NAME) -> Answer:
    tls = ssl.create_default_context(cafile=trusted)
    delivery = Delivery([b"k" * 32], Guard.of(["127.0.0.1"]), TIMEOUT, tls=tls, resolve=resolver)
    scheme = "https" if there.tls else "http"
    return await delivery.send("m1", f"{scheme}://{name}:{there.port}/", b"{}")


async def test_it_connects_to_the_address_that_was_checked_and_keeps_the_name(tmp_path: Path) -> None:
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    async with receiver(200, tls=a_server(tmp_path, NAME)) as there:
        assert (await sent(there, resolver, tmp_path / f"{NAME}.pem")).delivered
    assert there.received[0].headers["host"] == f"{NAME}:{there.port}"
    assert resolver.asked == [NAME]


async def test_a_name_that_leads_inside_by_then_is_refused() -> None:
    async with receiver(200) as there:
        assert (await sent(there, Resolver(["127.0.0.1"]))).delivered
        answer = await sent(there, Resolver(["127.0.0.2", "::1", "10.0.0.1"]))
    assert (answer.refused, answer.delivered, len(there.received)) == (True, False, 1)


async def test_the_next_address_is_tried_when_nobody_is_at_the_first() -> None:
    async with receiver(200) as there:
        resolver = Resolver(["127.0.0.3", "127.0.0.1"])
        delivery = Delivery([b"k" * 32], Guard.of(["127.0.0.0/8"]), TIMEOUT, resolve=resolver)
        assert (await delivery.send("m1", f"http://{NAME}:{there.port}/", b"{}")).delivered


@pytest.mark.parametrize(("trusted", "name"), [(False, NAME), (True, "another.example")])
async def test_who_cannot_prove_the_name_gets_nothing(tmp_path: Path, trusted: bool, name: str) -> None:
    context = a_server(tmp_path, NAME)
    async with receiver(200, tls=context) as there:
        answer = await sent(there, Resolver(["127.0.0.1"]), tmp_path / f"{NAME}.pem" if trusted else None, name)
    assert not answer.delivered
    assert "certificate verify failed" in str(answer.error)
    assert there.received == []


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    async with receiver(200) as there:
        assert (await sent(there, Resolver(["127.0.0.1"]))).delivered
