"""The gateway's routes over real artifacts and a real Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from services.gateway.models import Catalogue, Desired
from shared import artifact
from shared.artifact import HistoryEntry
from shared.clock import utc_now
from shared.events import Event, Operation, PromotionRequested, ReloadRequested, RetrainRequested, RollbackRequested
from shared.keys import Keys
from shared.replica import Replica
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.integration.gateway import MODEL, a_gateway, a_scorer, desire, some_settings
from tests.redis_server import RedisServer
from tests.unit.gateway.fakes import Follower
from tests.waiting import eventually

ROW = {"place": "west", "length": 9.7, "weight": 0.95, "grade": "a", "count": 9}
E = TypeVar("E", bound=Event)
AWAY = "redis://127.0.0.1:1/0"


async def the_command(redis: Redis, keys: Keys, kind: type[E]) -> E:
    """Return the one command of a kind that waits for the trainer."""
    entries: Any = await redis.xrange(keys.stream(kind.stream))
    assert len(entries) == 1
    return kind.of_entry(entries[0][1])


async def test_predictions_are_scikit_learns_bit_for_bit(redis_url: str, store: Store) -> None:
    await a_champion(store)
    golden = (await artifact.fetch(store, MODEL, "1")).golden.rows
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        single = [(await gateway.client.post("/predict", json=g.row)).json()["prediction"] for g in golden]
        batch = await gateway.client.post("/predict/batch", json={"instances": [g.row for g in golden]})
    assert single == [g.prediction for g in golden]
    assert batch.json()["predictions"] == single


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("/predict", b"{}", {"Content-Type": "text/csv"}), (415, "unsupported-media-type")),
        (("/predict", b"{}", {"Content-Encoding": "gzip"}), (415, "unsupported-media-type")),
        (("/predict", b"{", {"Content-Type": "application/json"}), (400, "malformed-body")),
        (("/predict", b"{}", {"Content-Type": "application/vnd.row+json; charset=utf-8"}), (422, "invalid-row")),
        (("/predict", b"{}", {}), (422, "invalid-row")),
        (("/predict", b'{"a": "%s"}' % (b"x" * 2000), {}), (413, "payload-too-large")),
        (("/predict/batch", b'{"instances": ["%s"]}' % (b"x" * 3000), {}), (413, "payload-too-large")),
        (("/predict/batch", b'{"instances": [1,2,3,4]}', {}), (413, "too-many-rows")),
        (("/nowhere", b"", {}), (404, "not-found")),
        (("/health", b"", {}), (405, "method-not-allowed")),
        (("/admin/retrain?wait=long", b"", {}), (422, "invalid-parameter")),
        (("/admin/retrain?wait=301", b"", {}), (422, "invalid-parameter")),
        (("/admin/retrain", b'{"why": 1}', {}), (422, "invalid-body")),
        (("/admin/retrain", b'{"version": "1"}', {}), (422, "invalid-body")),
        (("/admin/retrain", b"[", {}), (400, "malformed-body")),
        (("/admin/promote", b"", {}), (422, "invalid-body")),
        (("/admin/promote", b'{"version": "7"}', {}), (404, "version-not-found")),
        (("/admin/promote", b'{"version": "../1"}', {}), (404, "version-not-found")),
        (("/admin/rollback", b"", {}), (409, "conflict")),
    ],
)
async def test_what_cannot_be_done_is_a_problem(
    redis_url: str, store: Store, given: tuple[str, bytes, dict[str, str]], expected: tuple[int, str]
) -> None:
    path, content, headers = given
    await a_champion(store)
    limits = {"gateway_max_row_bytes": 1000, "gateway_max_batch_bytes": 2000, "gateway_max_batch_rows": 3}
    async with a_gateway(redis_url, store, **limits) as gateway:
        await gateway.serves("1")
        answer = await gateway.client.post(path, content=content, headers=headers | {"X-Request-Id": "mine"})
        page = await gateway.client.get(answer.json()["type"])
    assert (answer.status_code, answer.json()["type"].removeprefix("/problems/")) == expected
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "mine"
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


async def test_a_streamed_body_is_refused_when_it_passes_the_limit(redis_url: str, store: Store) -> None:
    sent = 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal sent
        for sent in range(1000):  # noqa: B007 - read outside
            yield b"x" * 100

    async with a_gateway(redis_url, store, gateway_max_row_bytes=1000) as gateway:
        answer = await gateway.client.post("/predict", content=long())
    assert answer.status_code == 413
    assert sent < 20


async def test_a_body_that_does_not_arrive_is_given_up(redis_url: str, store: Store) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b'{"count"'
        await asyncio.sleep(3600)

    async with a_gateway(redis_url, store, gateway_body_seconds=0.05) as gateway:
        answer = await gateway.client.post("/predict/batch", content=stuck())
    assert (answer.status_code, answer.json()["type"]) == (408, "/problems/body-timeout")


async def test_without_a_champion_it_runs_and_says_so(redis_url: str, store: Store) -> None:
    async with a_gateway(redis_url, store) as gateway:
        predict = await gateway.client.post("/predict", json=ROW)
        ready = await gateway.client.get("/health/ready")
        health = (await gateway.client.get("/health")).json()
        docs = (await gateway.client.get("/openapi.json")).json()
        models = (await gateway.client.get("/models")).json()
        assert (await gateway.client.get("/model/info")).status_code == 503
        assert (await gateway.client.get("/metrics")).status_code == 200
    assert (predict.status_code, predict.json()["type"]) == (503, "/problems/no-model")
    assert "Retry-After" in predict.headers
    assert (ready.status_code, "no model is loaded" in ready.json()["detail"]) == (503, True)
    assert (health["status"], health["model_loaded"]) == ("degraded", False)
    assert "No version is in service" in docs["components"]["schemas"]["Row"]["description"]
    assert (models["champion"], models["versions"]) == (None, [])


async def test_without_redis_predictions_go_on_and_the_rest_is_503(store: Store) -> None:
    await a_champion(store)
    async with a_gateway(AWAY, store) as gateway:
        await gateway.serves("1")
        assert (await gateway.client.post("/predict", json=ROW)).status_code == 200
        assert (await gateway.client.get("/model/info")).status_code == 200
        for path in ("/admin/retrain", "/admin/reload"):
            refused = await gateway.client.post(path)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/redis-unavailable")
            assert "Retry-After" in refused.headers
        assert (await gateway.client.get("/replicas")).status_code == 503
        codes = [w["code"] for w in (await gateway.client.get("/health")).json()["warnings"]]
    assert codes == ["redis_unavailable"]


async def test_ready_needs_a_scorer_once_and_the_model_always(redis_url: str, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store, presence_seconds=1) as gateway:

        async def ready() -> bool:
            return (await gateway.client.get("/health/ready")).status_code == 200

        async def degraded() -> bool:
            return "no_scorer" in (await gateway.client.get("/health")).text

        await gateway.serves("1")
        await eventually(degraded)
        assert not await ready()
        async with a_scorer(redis_url, store):
            await eventually(ready)
        await eventually(degraded)
        await eventually(ready)
        gateway.parts.watch.stopping = True
        assert not await ready()


async def test_the_documentation_follows_the_model_in_service(
    redis_url: str, redis: Redis, keys: Keys, store: Store
) -> None:
    await a_champion(store)
    second = await an_artifact(store, version="2", seed=1)
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        before = (await gateway.client.get("/openapi.json")).json()
        await desire(redis, keys.model(MODEL), "2", 2, second)
        await gateway.serves("2")
        after = (await gateway.client.get("/openapi.json")).json()
    assert "version 1 of" in before["info"]["description"]
    assert "version 2 of" in after["info"]["description"]
    row = after["components"]["schemas"]["Row"]
    assert set(row["properties"]) == set(ROW)
    body = after["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Row"}}
    assert "HTTPValidationError" not in json.dumps(after)


async def test_every_reference_in_the_documentation_leads_somewhere(redis_url: str, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        document = (await gateway.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert references <= {f"#/components/schemas/{name}" for name in schemas}


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [reference for inner in value.values() for reference in _references(inner)]
    return [reference for inner in value for reference in _references(inner)] if isinstance(value, list) else []


async def test_the_pages_need_no_other_server(redis_url: str, store: Store) -> None:
    async with a_gateway(redis_url, store) as gateway:
        for page in ("/docs", "/redoc"):
            answer = await gateway.client.get(page)
            assert "http://" not in answer.text
            assert "https://" not in answer.text
            assert "img-src 'self'" in answer.headers["Content-Security-Policy"]  # Redoc's bundle would fetch a logo
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
            answer = await gateway.client.get(f"/static-offline-docs/{asset}")
            assert (answer.status_code, len(answer.content) > 100_000) == (200, True)
        root = await gateway.client.get("/")
    assert (root.status_code, root.headers["Location"]) == (307, "/docs")


async def test_the_versions_are_listed_with_what_became_of_them(redis_url: str, store: Store) -> None:
    await a_champion(store, version="2")
    for version in ("1", "10"):
        await an_artifact(store, version=version)
    for epoch, (version, previous) in enumerate((("1", None), ("2", "1")), start=1):
        await artifact.append_history(
            store,
            MODEL,
            HistoryEntry(
                at=utc_now(),
                action="promoted",
                version=version,
                previous=previous,
                epoch=epoch,
                reason="better",
                promotion_id=version,
            ),
        )
    async with a_gateway(redis_url, store) as gateway:
        found = (await gateway.client.get("/models")).json()
        few = (await gateway.client.get("/models?limit=1")).json()
    assert [(v["version"], v["state"]) for v in found["versions"]] == [
        ("10", "available"),
        ("2", "champion"),
        ("1", "previous"),
    ]
    assert [(e["version"], e["reason"]) for e in found["history"]] == [("2", "better"), ("1", "better")]
    assert found["versions"][0]["metrics"]["test"]["rmse"] > 0
    assert [v["version"] for v in few["versions"]] == ["10"]


async def test_the_manifest_of_the_version_in_service_is_told(redis_url: str, store: Store) -> None:
    champion = await a_champion(store)
    manifest, digest = await artifact.fetch_manifest(store, MODEL, "1")
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        found = (await gateway.client.get("/model/info")).json()
    assert found == manifest.model_dump(mode="json") | {
        "epoch": champion.epoch,
        "digest": digest,
        "serving_engine": "onnxruntime",
        "engine_instead": None,
        "signature": found["signature"],
    }
    assert found["signature"]["features"]


async def test_replicas_are_shown_with_what_they_serve(redis_url: str, redis: Redis, keys: Keys, store: Store) -> None:
    champion = await a_champion(store)
    settings = some_settings(redis_url, store)
    async with (
        a_gateway(redis_url, store) as gateway,
        a_scorer(redis_url, store),
        Replica("monitor", settings, redis),  # serves no version, and is not asked
    ):

        async def converged() -> dict[str, object]:
            answer: dict[str, object] = (await gateway.client.get("/replicas")).json()
            return answer if answer["converged"] and len(answer["replicas"]) == 2 else {}  # type: ignore[arg-type]

        found = await eventually(converged)
        await desire(redis, keys.model(MODEL), "9", 2, champion.digest)  # there is no such version
        await gateway.serves("1")
        behind = (await gateway.client.get("/replicas")).json()
    assert found["desired"] == {"version": "1", "epoch": 1}
    assert found["candidate"] is None
    seen = [(r["service"], r["version"], r["epoch"], r["engine"]) for r in found["replicas"]]  # type: ignore[attr-defined]
    assert seen == [("gateway", "1", 1, "onnxruntime"), ("scorer", "1", 1, "onnxruntime")]
    assert (behind["desired"]["version"], behind["converged"]) == ("9", False)


async def test_nothing_has_converged_where_no_replica_is_seen(redis: Redis, keys: Keys, store: Store) -> None:
    champion = await a_champion(store)
    found = await Catalogue(Follower(), store, redis, keys, MODEL).replicas()
    assert found.desired == Desired(version=champion.version, epoch=champion.epoch)
    assert (found.replicas, found.converged) == ([], False)


async def test_a_command_is_recorded_and_handed_over(redis_url: str, redis: Redis, keys: Keys, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        order = {"version": "1", "reason": "it is better"}
        answer = await gateway.client.post("/admin/promote", json=order)
        found = await gateway.client.get(answer.headers["Location"])
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/admin/operations/{answer.json()['id']}"
    assert found.json() == answer.json()
    assert (found.json()["kind"], found.json()["state"]) == ("promote", "queued")
    command = await the_command(redis, keys, PromotionRequested)
    assert (command.operation_id, command.version, command.reason) == (answer.json()["id"], "1", "it is better")
    assert 0 < await redis.ttl(keys.operation(command.operation_id)) <= 7 * 24 * 3600


async def test_a_version_may_be_given_as_a_number(redis_url: str, redis: Redis, keys: Keys, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        assert (await gateway.client.post("/admin/promote", json={"version": 1})).status_code == 202
        assert (await gateway.client.post("/admin/promote", json={"version": True})).status_code == 422
    assert (await the_command(redis, keys, PromotionRequested)).version == "1"


async def test_a_rollback_may_name_its_version(redis_url: str, redis: Redis, keys: Keys, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        assert (await gateway.client.post("/admin/rollback", json={"version": "1"})).status_code == 202
    assert (await the_command(redis, keys, RollbackRequested)).version == "1"


async def test_waiting_for_a_command_answers_when_it_has_ended(
    redis_url: str, redis: Redis, keys: Keys, store: Store
) -> None:
    async def carry_out() -> None:
        async def given() -> ReloadRequested:
            return await the_command(redis, keys, ReloadRequested)

        key = keys.operation((await eventually(given)).operation_id)
        operation = Operation.model_validate_json(await redis.get(key) or "")
        ended = operation.model_copy(update={"state": "succeeded", "finished_at": utc_now()})
        await redis.set(key, ended.to_json())

    async with a_gateway(redis_url, store) as gateway:
        trainer = asyncio.create_task(carry_out())
        answer = await gateway.client.post("/admin/reload?wait=60")
        await trainer
        unfinished = await gateway.client.post("/admin/retrain?wait=0.1")
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert (unfinished.status_code, unfinished.json()["state"]) == (202, "queued")
    assert unfinished.headers["Retry-After"] == "1"


async def test_commands_do_not_pile_up_while_there_is_no_trainer(redis_url: str, store: Store) -> None:
    async with a_gateway(redis_url, store) as gateway:
        answers = [(await gateway.client.post("/admin/retrain")).status_code for _ in range(101)]
    assert answers == [202] * 100 + [503]


async def test_an_operation_that_is_not_known_is_404(redis_url: str, store: Store) -> None:
    async with a_gateway(redis_url, store) as gateway:
        for operation_id in ("0" * 32, "nonsense", "%2e%2e"):
            answer = await gateway.client.get(f"/admin/operations/{operation_id}")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/operation-not-found")


async def test_metrics_come_in_two_forms(redis_url: str, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        await gateway.client.post("/predict", json=ROW)
        await gateway.client.post("/predict/batch", json={"instances": [ROW, {}]})
        text = (await gateway.client.get("/metrics")).text
        summary = (await gateway.client.get("/metrics", headers={"Accept": "application/json"})).json()
    for line in (
        'tasador_gateway_requests_total{code="200",method="POST",route="/predict"} 1.0',
        'tasador_gateway_predictions_total{mode="batch",version="1"} 1.0',
        'tasador_gateway_predict_duration_seconds_count{mode="single"} 1.0',
        'tasador_gateway_model_info{candidate="random_forest",engine="onnxruntime",model="model",version="1"} 1.0',
        "tasador_gateway_telemetry_answered_rows_total 2.0",
        "tasador_gateway_model_epoch 1.0",
    ):
        assert line in text
    assert summary["total_predictions"] == 2
    assert summary["p50_inference_time"] > 0
    assert summary["std_prediction"] == 0


async def test_losing_redis_while_waiting_does_not_take_the_acceptance_back(
    redis_server: RedisServer, store: Store
) -> None:
    async with a_gateway(redis_server.url, store) as gateway:
        waiting = asyncio.create_task(gateway.client.post("/admin/retrain?wait=60"))

        async def accepted() -> bool:
            async with Redis.from_url(redis_server.url) as redis:
                return await redis.exists(Keys().stream(RetrainRequested.stream)) == 1

        await eventually(accepted)
        redis_server.kill()
        answer = await waiting
    assert (answer.status_code, "Location" in answer.headers) == (202, True)
