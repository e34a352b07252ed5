"""The exposition is valid, whatever is known."""

from prometheus_client.parser import text_string_to_metric_families

from services.monitor.flow import Memory
from services.monitor.metrics import Metrics, Snapshot


def test_without_redis_there_is_still_an_exposition() -> None:
    metrics = Metrics()
    metrics.count_events("predictions.logged.v1", "applied", 3)
    metrics.count_log("rows_written", 5)
    body, content_type = metrics.expose(Snapshot(redis_up=False, consuming=False), "text/plain")
    samples = {s.name: s.value for f in text_string_to_metric_families(body.decode()) for s in f.samples}
    assert content_type.startswith("text/plain")
    assert samples["tasador_monitor_redis_up"] == 0
    assert samples["tasador_monitor_events_total"] == 3
    assert samples["tasador_monitor_log_total"] == 5


def test_the_histogram_counts_every_prediction_once_and_its_buckets_grow() -> None:
    totals = {"t:single:0": 2, "t:single:100": 3, "t:single:216": 1, "ns:single": 4_000_000_000}
    body, _ = Metrics().expose(Snapshot(redis_up=True, consuming=True, totals=totals), "text/plain")
    family = next(f for f in text_string_to_metric_families(body.decode()) if f.name.endswith("inference_seconds"))
    single = [s for s in family.samples if s.labels["mode"] == "single"]
    buckets = [s.value for s in single if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 6
    assert next(s.value for s in single if s.name.endswith("_sum")) == 4.0


def test_memory_without_a_limit_has_none_to_divide_by() -> None:
    bounded, unbounded = (
        Metrics().expose(Snapshot(redis_up=True, consuming=True, memory=memory), "text/plain")[0].decode()
        for memory in (Memory(10, 40), Memory(10, None))
    )
    assert "\ntasador_monitor_redis_memory_used_bytes 10.0\n" in unbounded
    assert "\ntasador_monitor_redis_memory_max_bytes 40.0\n" in bounded
    assert "\ntasador_monitor_redis_memory_max_bytes " not in unbounded


def test_a_webhook_that_is_given_up_is_seen_the_first_time() -> None:
    """A counter that appears with its first increase has none that `increase` could see."""
    for outcome in ("failed", "disabled"):
        assert Metrics().registry.get_sample_value("tasador_monitor_webhooks_total", {"outcome": outcome}) == 0
