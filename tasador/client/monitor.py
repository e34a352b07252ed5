"""The client of a monitor."""

from urllib.parse import quote

from tasador.client.answers import DeletedRows
from tasador.client.base import Connected

DEFAULT_MONITOR_URL = "http://127.0.0.1:8001"
_SEARCH_SECONDS = 600.0
"""The rows of a request may be in any file of the log."""


class Monitor(Connected):
    """A monitor, from Python.

    >>> with Monitor("http://127.0.0.1:8001") as monitor:
    ...     monitor.delete_logged("order-4711").rows
    """

    def __init__(self, base_url: str = DEFAULT_MONITOR_URL, *, timeout: float = 30.0) -> None:
        super().__init__(base_url, timeout=timeout)

    def delete_logged(self, request_id: str) -> DeletedRows:
        """Delete all rows of a request from the prediction log, for good; repeating it does no harm.

        Raises:
            Invalid: there can be no request with this id.
            Unavailable: the store is away: repeat it.
        """
        path = f"/log/{quote(request_id, safe='')}"
        return self._http.read(DeletedRows, "DELETE", path, timeout=self._longer(_SEARCH_SECONDS))
