"""One check: what was looked at, how it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    name: str
    verdict: Verdict
    found: str
    mend: str = ""
    """What to do about it."""


def ok(name: str, found: str) -> Check:
    return Check(name, Verdict.OK, found)


def warning(name: str, found: str, mend: str) -> Check:
    return Check(name, Verdict.WARNING, found, mend)


def bad(name: str, found: str, mend: str) -> Check:
    return Check(name, Verdict.BAD, found, mend)
