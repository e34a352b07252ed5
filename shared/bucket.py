"""`python -m shared.bucket`: make the bucket of TASADOR_STORE_URL where it is missing, and end.

For a server that starts empty, as MinIO in a compose file does. Exit codes: 0 it is there, 1 it is not, 2 settings.

obstore cannot make buckets, but it signs any request; so no other S3 library is needed.
"""

import re
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPException
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import obstore
from obstore.exceptions import BaseError

from shared.remote import first_line, open_remote
from shared.settings import CommonSettings, SettingsInvalid

PATIENCE = 60.0
"""Seconds that the server may take to answer."""
PAUSE = 0.5
_TIMEOUT = 10.0
_DEFAULT_REGION = "us-east-1"  # the one that must not be named

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Method = Literal["HEAD", "PUT"]


class BucketMissing(Exception):
    """It is not there, and could not be made; the message says why."""


class _NotNow(Exception):
    """The server is starting, or away."""


def ensure_bucket(url: str, patience: float = PATIENCE) -> bool:
    """Return whether the bucket of a store's URL had to be made.

    Raises:
        SettingsInvalid: it is no URL of a bucket, or files of credentials cannot be used.
        BucketMissing
    """
    parts = urlsplit(url)
    if parts.scheme not in ("s3", "s3a") or not parts.netloc:
        raise SettingsInvalid(f"TASADOR_STORE_URL: {url} names no bucket that could be made, as s3://… does")
    client = open_remote(f"s3://{parts.netloc}")
    return _insist(lambda: _make_if_missing(client, parts.netloc), patience)


def _insist(work: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            return work()
        except _NotNow as reason:
            if time.monotonic() > deadline:
                raise BucketMissing(f"the store did not answer within {patience:g} s: {reason}") from None
        time.sleep(PAUSE)


def _make_if_missing(client: Any, bucket: str) -> bool:
    status, _ = _request(client, "HEAD")
    if status == 404:
        status, said = _request(client, "PUT")
        if status != 200 and "BucketAlreadyOwnedByYou" not in said:  # then somebody else of ours was faster
            raise BucketMissing(f"bucket {bucket} could not be made ({status} {_reason(said)})")
        return status == 200
    if status == 403:
        raise BucketMissing(f"bucket {bucket}: the store refuses these credentials, or it is somebody else's (403)")
    if status != 200:
        raise BucketMissing(f"bucket {bucket}: the store answers {status}; is AWS_REGION that of the bucket?")
    return False


def _request(client: Any, method: Method) -> tuple[int, str]:
    """Return status and text of what the server answers."""
    try:
        url = obstore.sign(client, method, "", timedelta(minutes=5))
        body = _place(url) if method == "PUT" else None
        request = Request(url, data=body, headers={"Content-Type": "application/xml"} if body else {}, method=method)
        with urlopen(request, timeout=_TIMEOUT) as answer:
            return answer.status, ""
    except HTTPError as error:
        with error:
            if error.code >= 500:
                raise _NotNow(f"{error.code} {error.reason}") from None
            return error.code, error.read().decode(errors="replace")
    except BaseError as error:  # no credentials
        raise BucketMissing(first_line(error)) from None
    except (OSError, HTTPException) as error:
        raise _NotNow(getattr(error, "reason", error)) from None


def _place(url: str) -> bytes | None:
    """Return what says where a bucket shall be: in the region that the request is signed for."""
    signed_for = parse_qs(urlsplit(url).query)["X-Amz-Credential"][0]  # …/date/region/s3/aws4_request
    region = signed_for.split("/")[-3]
    if region == _DEFAULT_REGION:
        return None
    place = f"<LocationConstraint>{region}</LocationConstraint>"
    return f'<CreateBucketConfiguration xmlns="{_NAMESPACE}">{place}</CreateBucketConfiguration>'.encode()


def _reason(said: str) -> str:
    return ": ".join(re.findall(r"<(?:Code|Message)>(.*?)</", said)) or "without a reason"


def main() -> int:
    try:
        url = CommonSettings.load(model_name="none").store_url
        made = ensure_bucket(url)
    except SettingsInvalid as refused:
        sys.stderr.write(f"bucket: {refused}\n")
        return 2
    except BucketMissing as missing:
        sys.stderr.write(f"bucket: {missing}\n")
        return 1
    sys.stderr.write(f"bucket: {url} {'was made' if made else 'is there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
