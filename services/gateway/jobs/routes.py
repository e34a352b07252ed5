"""The routes under /jobs."""

from fastapi import APIRouter

from services.gateway.jobs.service import Jobs


def jobs_router(jobs: Jobs) -> APIRouter:
    return APIRouter(prefix="/jobs", tags=["jobs"])
