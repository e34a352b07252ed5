"""Stores that are reached over the network: how long they are waited for, and what the environment says of them."""

import os
from datetime import timedelta
from typing import Any

from obstore import parse_scheme
from obstore.exceptions import BaseError
from obstore.store import from_url

from shared.credentials import file_credentials
from shared.settings import PREFIX, SettingsInvalid

# A store that does not answer is an error within some ten seconds: whoever can wait longer tries again himself.
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}
_CLIENT = {
    "connect_timeout": timedelta(seconds=2),
    "read_timeout": timedelta(seconds=10),  # of silence, the sending of a piece included
    "timeout": timedelta(seconds=60),
    "allow_http": True,  # for an endpoint that says http://; all others are https
}
_VARIABLES = ("ALLOW_INVALID_CERTIFICATES", "PROXY_URL", "PROXY_CA_CERTIFICATE", "PROXY_EXCLUDES")

PIECE_BYTES = 8 << 20
"""A larger object is sent in pieces of this size, and"""
PIECES = 3
"""so many of them at once: more would take memory and, on a slow line, each other's time."""


def open_remote(url: str) -> Any:
    """Return obstore's client. Region, endpoint and credentials come from the environment (`AWS_REGION`, …).

    Raises:
        SettingsInvalid: it is no URL that obstore knows, or a file of credentials cannot be used. Whether the store can
            be reached shows when it is used.
    """
    # obstore forgets those of the environment when it is given any.
    chosen = {name.lower(): os.environ[f"AWS_{name}"] for name in _VARIABLES if f"AWS_{name}" in os.environ}
    options: Any = _CLIENT | chosen
    retries: Any = _RETRIES
    try:
        credentials = file_credentials() if parse_scheme(url) == "s3" else None
        given: Any = {"credential_provider": credentials} if credentials else {}
        return from_url(url, client_options=options, retry_config=retries, **given)
    except SettingsInvalid:
        raise
    except (BaseError, ValueError) as error:
        raise SettingsInvalid(f"{PREFIX}STORE_URL: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """Return what obstore says, without its debugging output."""
    return str(error).split("\n", 1)[0]
