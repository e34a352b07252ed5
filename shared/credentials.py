"""Credentials of S3 from files: `AWS_SECRET_ACCESS_KEY_FILE=/run/secrets/…`, as for settings.

Files are read again every minute, so that what replaces them is used without a restart. Variables alone, and the role
of the machine or container, are obstore's own affair.
"""

from datetime import UTC, datetime, timedelta
from typing import TypedDict

from shared.variables import FROM_FILE, SettingsInvalid, named_file, read_variable

KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
REREAD = timedelta(seconds=60)


class Credential(TypedDict):
    """What obstore wants to be told."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime


class FileCredentials:
    """Called by obstore whenever what it was told has expired."""

    refresh_threshold = timedelta(0)  # five minutes otherwise: it would ask for every request

    def __init__(self, reread: timedelta) -> None:
        self._reread = reread

    def __call__(self) -> Credential:
        """Raises SettingsInvalid: a file cannot be read, or one of the two that belong together says nothing."""
        key, secret, token = map(read_variable, (KEY, SECRET, TOKEN))
        for name, value in ((KEY, key), (SECRET, secret)):
            if not value:
                raise SettingsInvalid(f"{name} is missing: set it or {name}{FROM_FILE}; {KEY} and {SECRET} go together")
        expires_at = datetime.now(UTC) + self._reread
        return Credential(access_key_id=key, secret_access_key=secret, token=token or None, expires_at=expires_at)


def file_credentials() -> FileCredentials | None:
    """Return the credentials if files hold any of them; None leaves them to obstore.

    Raises:
        SettingsInvalid
    """
    if not any(named_file(name) and read_variable(name) for name in (KEY, SECRET, TOKEN)):
        return None
    credentials = FileCredentials(REREAD)
    credentials()  # a start is the time to complain
    return credentials
