"""Batch jobs over HTTP: `Jobs` is the use case, built by `__main__`; `jobs_router` puts it under /jobs."""

from services.gateway.jobs.routes import jobs_router
from services.gateway.jobs.service import Jobs

__all__ = ["Jobs", "jobs_router"]
