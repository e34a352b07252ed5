"""The monitor's process: settings → parts → HTTP server. Nothing real is built anywhere else."""

import signal
import socket
import sys
from datetime import timedelta

import uvicorn
from faststream.redis.prometheus import RedisPrometheusMiddleware

from services.monitor.buckets import Buckets
from services.monitor.consumers import Consumers, Subscription
from services.monitor.flow import Streams
from services.monitor.handlers import StatsHandlers
from services.monitor.log import PredictionLog
from services.monitor.metrics import Metrics
from services.monitor.monitor import Monitor
from services.monitor.routes import create_app
from services.monitor.runtime import Runtime
from services.monitor.settings import MonitorSettings
from services.monitor.versions import Versions
from shared.broker import connect
from shared.events import ChunkScored, JobFinished, PredictionsLogged
from shared.keys import LOG_GROUP, STATS_GROUP, Keys
from shared.replica import Replica
from shared.settings import SettingsInvalid
from shared.store import Store
from shared.telemetry import configure_logging, get_logger

GROUPS = {
    PredictionsLogged.stream: (STATS_GROUP, LOG_GROUP),
    ChunkScored.stream: (STATS_GROUP,),
    JobFinished.stream: (STATS_GROUP,),
}


def build(settings: MonitorSettings) -> Runtime:
    """Build the parts; nothing connects yet."""
    redis, keys, store, metrics = connect(settings), Keys(settings.tenant), Store.open(settings.store_url), Metrics()
    versions = Versions(store, settings.monitor_unknown_seconds)
    buckets = Buckets(redis, keys, STATS_GROUP, settings.replica_id, settings.monitor_keep_days)
    streams = Streams(redis, keys, GROUPS)
    stats = StatsHandlers(buckets, versions, keys, settings.monitor_keep_days, metrics.count_events)
    log = PredictionLog(
        redis,
        store,
        versions,
        stream=keys.stream(PredictionsLogged.stream),
        group=LOG_GROUP,
        replica=settings.replica_id,
        flush_seconds=settings.monitor_log_seconds,
        flush_rows=settings.monitor_log_rows,
        buffer_rows=settings.monitor_log_buffer_rows,
        counted=metrics.count_log,
    )
    subscriptions = [
        Subscription(keys.stream(PredictionsLogged.stream), STATS_GROUP, stats.on_predictions_logged),
        Subscription(keys.stream(ChunkScored.stream), STATS_GROUP, stats.on_chunk_scored),
        Subscription(keys.stream(JobFinished.stream), STATS_GROUP, stats.on_job_finished),
        Subscription(keys.stream(PredictionsLogged.stream), LOG_GROUP, log.on_predictions_logged),
    ]
    return Runtime(
        redis=redis,
        replica=Replica("monitor", settings, redis),
        monitor=Monitor(
            model=settings.model_name,
            store=store,
            buckets=buckets,
            versions=versions,
            streams=streams,
            keys=keys,
            keep_days=settings.monitor_keep_days,
        ),
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
        log=log,
        metrics=metrics,
        evaluate_seconds=settings.monitor_evaluate_seconds,
        drain=timedelta(seconds=settings.monitor_drain_seconds),
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything else, so that a port in use is said at once, and a free one is known. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen()  # else a second process could still take the same port
    return listening


def main() -> int:
    try:
        settings = MonitorSettings.load()
    except SettingsInvalid as invalid:
        sys.stderr.write(f"monitor: {invalid}\n")
        return 2
    configure_logging("monitor", settings)
    log = get_logger("services.monitor")
    try:
        listening = listen(settings.monitor_host, settings.monitor_port)
    except OSError as error:
        log.error("cannot listen; set TASADOR_MONITOR_PORT", port=settings.monitor_port, error=str(error))
        return 1
    runtime = build(settings)
    port = listening.getsockname()[1]
    runtime.replica.address = settings.monitor_address or f"http://{settings.monitor_host}:{port}"
    log.info("listening", address=runtime.replica.address)
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
