"""The monitor's process: settings → parts → HTTP server. Nothing real is built anywhere else."""

import signal
import sys
from datetime import timedelta

import uvicorn
from faststream.redis.prometheus import RedisPrometheusMiddleware

from services.monitor.buckets import Buckets
from services.monitor.consumers import Consumers, Subscription
from services.monitor.evaluator import AlertPolicy, Evaluator
from services.monitor.feedback.inbox import Inbox
from services.monitor.feedback.joiner import Joiner, Patience
from services.monitor.feedback.labels import Labels
from services.monitor.feedback.matching import Matching
from services.monitor.flow import Streams
from services.monitor.handlers import StatsHandlers
from services.monitor.heartbeats import Heartbeats
from services.monitor.leader import Leader
from services.monitor.live_quality import LiveQuality
from services.monitor.log.compaction import Compactor
from services.monitor.log.deletions import DeletionRecords
from services.monitor.log.files import Files
from services.monitor.log.lookup import LogReader
from services.monitor.log.plan import Target
from services.monitor.log.purge import Purge
from services.monitor.log.shelf import Shelf
from services.monitor.log.tidy import LogKeeper
from services.monitor.log.writer import PredictionLog
from services.monitor.metrics import Metrics
from services.monitor.monitor import Monitor
from services.monitor.report.reporter import Reporter
from services.monitor.routes import create_app
from services.monitor.runtime import Runtime
from services.monitor.scorecard import Scorecard
from services.monitor.settings import MonitorSettings
from services.monitor.versions import Versions
from services.monitor.watch import Watch
from services.monitor.webhooks import Webhooks
from services.monitor.windows import DAY
from shared.broker import connect
from shared.events import ChunkScored, HeartbeatPassed, JobFinished, PredictionsLogged
from shared.keys import LOG_GROUP, STATS_GROUP, Keys
from shared.lease import Lease
from shared.process import AddressInUse, address_of, listen, without_unused
from shared.replica import Replica
from shared.settings import SettingsInvalid
from shared.store import Store
from shared.telemetry import configure_logging, get_logger
from shared.webhooks.addresses import Guard
from shared.webhooks.delivery import Delivery
from shared.webhooks.messages import Messages
from shared.webhooks.schedule import Schedule
from shared.webhooks.signing import key_of

GROUPS = {
    PredictionsLogged.stream: (STATS_GROUP, LOG_GROUP),
    ChunkScored.stream: (STATS_GROUP,),
    JobFinished.stream: (STATS_GROUP,),
    HeartbeatPassed.stream: (STATS_GROUP,),
}


def build(settings: MonitorSettings) -> Runtime:
    """Build the parts; nothing connects yet."""
    redis, keys, store, metrics = connect(settings), Keys(settings.tenant), Store.open(settings.store_url), Metrics()
    versions = Versions(store, settings.monitor_unknown_seconds)
    buckets = Buckets(redis, keys, STATS_GROUP, settings.replica_id, settings.monitor_keep_days)
    streams = Streams(redis, keys, GROUPS)
    files, records = Files(store), DeletionRecords(store)
    shelf = Shelf(store, files, records)
    purge = Purge(store, files, records, shelf)
    stats = StatsHandlers(
        buckets, versions, keys, settings.monitor_keep_days, count=metrics.count_events, lag=metrics.count_lag
    )
    heartbeats = Heartbeats(redis, keys, settings.monitor_heartbeat_seconds)
    log = PredictionLog(
        redis,
        shelf,
        versions,
        stream=keys.stream(PredictionsLogged.stream),
        group=LOG_GROUP,
        flush_seconds=settings.monitor_log_seconds,
        flush_rows=settings.monitor_log_rows,
        buffer_rows=settings.monitor_log_buffer_rows,
        counted=metrics.count_log,
    )
    subscriptions = [
        Subscription(keys.stream(HeartbeatPassed.stream), STATS_GROUP, heartbeats.on_heartbeat_passed),
        Subscription(keys.stream(PredictionsLogged.stream), STATS_GROUP, stats.on_predictions_logged),
        Subscription(keys.stream(ChunkScored.stream), STATS_GROUP, stats.on_chunk_scored),
        Subscription(keys.stream(JobFinished.stream), STATS_GROUP, stats.on_job_finished),
        Subscription(keys.stream(PredictionsLogged.stream), LOG_GROUP, log.on_predictions_logged),
    ]
    webhooks = _webhooks(settings, Messages(redis, keys), store, metrics)
    metrics.webhooks_waiting.set_function(lambda: webhooks.waiting)
    monitor = Monitor(
        model=settings.model_name,
        store=store,
        buckets=buckets,
        versions=versions,
        streams=streams,
        keys=keys,
        keep_days=settings.monitor_keep_days,
        figures_over=settings.monitor_windows,
    )
    scorecard = Scorecard(redis, keys, settings.monitor_keep_days, settings.monitor_quality_days)
    quality = LiveQuality(
        redis,
        keys,
        monitor=monitor,
        buckets=buckets,
        versions=versions,
        scorecard=scorecard,
        windows=settings.monitor_quality_windows,
    )
    watch = Watch(redis, keys, settings.model_name)
    lease = Lease(redis, keys.lease("monitor"), timedelta(seconds=settings.monitor_lease_seconds))
    leader = Leader(lease, Evaluator(monitor, quality, watch, _alert_policy(settings)).look)
    metrics.leading.set_function(lambda: leader.leading)
    metrics.evaluation_interval.set(settings.monitor_evaluate_seconds)
    return Runtime(
        redis=redis,
        replica=Replica("monitor", settings, redis),
        monitor=monitor,
        quality=quality,
        joiner=Joiner(
            redis,
            keys,
            Inbox(redis, keys),
            matching=Matching(store, LogReader(store, files), versions),
            labels=Labels(shelf, files),
            scorecard=scorecard,
            model=settings.model_name,
            patience=Patience(settings.monitor_feedback_days * DAY, settings.monitor_feedback_waiting),
        ),
        reporter=Reporter(monitor, buckets, watch, quality),
        buckets=buckets,
        streams=streams,
        consumers=Consumers(
            settings.redis_url.get_secret_value(),
            settings.replica_id,
            subscriptions,
            reclaim_after=timedelta(seconds=settings.monitor_reclaim_seconds),
            drain=timedelta(seconds=settings.monitor_drain_seconds),
            middleware=RedisPrometheusMiddleware(
                registry=metrics.registry, metrics_prefix="tasador_monitor_faststream"
            ),
        ),
        heartbeats=heartbeats,
        log=log,
        keeper=LogKeeper(
            redis,
            keys.lease("log"),
            store,
            files,
            keep_days=settings.monitor_log_days,
            records=records,
            purge=purge,
            compactor=Compactor(store, files, shelf, _target(settings), metrics.count_log),
            counted=metrics.count_log,
        ),
        purge=purge,
        webhooks=webhooks,
        metrics=metrics,
        tidy_seconds=settings.monitor_log_tidy_seconds,
        watch=watch,
        leader=leader,
        drain=timedelta(seconds=settings.monitor_drain_seconds),
    )


def _target(settings: MonitorSettings) -> Target:
    return Target(settings.monitor_log_file_rows, settings.monitor_log_file_mb << 20)


def _alert_policy(settings: MonitorSettings) -> AlertPolicy:
    return AlertPolicy(
        every=settings.monitor_evaluate_seconds,
        latency_limit=settings.monitor_latency_p99_seconds,
        webhook=settings.monitor_alert_webhook.get_secret_value(),
    )


def _webhooks(settings: MonitorSettings, messages: Messages, store: Store, metrics: Metrics) -> Webhooks:
    timeout = timedelta(seconds=settings.monitor_webhook_timeout_seconds)
    keys = [key_of(secret.get_secret_value()) for secret in settings.webhook_secrets]
    delivery = Delivery(keys, Guard.of(settings.webhook_allowed_networks), timeout) if keys else None
    schedule = Schedule(
        first=timedelta(seconds=settings.monitor_webhook_retry_seconds),
        give_up=timedelta(hours=settings.monitor_webhook_give_up_hours),
    )
    return Webhooks(messages, store, delivery, schedule, timeout=timeout, counted=metrics.count_webhook)


def main() -> int:
    without_unused()
    try:
        settings = MonitorSettings.load()
        configure_logging("monitor", settings)
        listening = listen(settings.monitor_host, settings.monitor_port, "TASADOR_MONITOR_PORT")
        runtime = build(settings)
    except (SettingsInvalid, AddressInUse) as refused:
        sys.stderr.write(f"monitor: {refused}\n")
        return 2
    runtime.replica.address = settings.monitor_address or address_of(listening)
    get_logger("services.monitor").info("listening", address=runtime.replica.address)
    # uvicorn raises the signal again after its shutdown; that is then a clean end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(runtime), log_config=None, access_log=False, timeout_graceful_shutdown=5, lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
