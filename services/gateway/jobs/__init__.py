"""Batch jobs over HTTP: `Jobs` is the use case, built by `__main__`; `jobs_router` puts it under /jobs."""

from services.gateway.jobs.routes import jobs_router
from services.gateway.jobs.service import Jobs
from services.gateway.jobs.webhook_routes import webhooks_router
from services.gateway.jobs.webhooks import JobWebhooks

__all__ = ["JobWebhooks", "Jobs", "jobs_router", "webhooks_router"]
