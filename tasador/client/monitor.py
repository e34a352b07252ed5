"""The client of a monitor."""

from urllib.parse import quote

from tasador.client.answers import DeletedRows, Drift
from tasador.client.base import Connected, given

DEFAULT_MONITOR_URL = "http://127.0.0.1:8001"
_DRAWING_SECONDS = 60.0
"""A report of hundreds of features takes seconds, and is made after those that were asked for before."""
_SEARCH_SECONDS = 600.0
"""The rows of a request may be in any file of the log."""


class Monitor(Connected):
    """A monitor, from Python.

    >>> with Monitor("http://127.0.0.1:8001") as monitor:
    ...     monitor.drift(window="24h").drifted
    """

    def __init__(self, base_url: str = DEFAULT_MONITOR_URL, *, timeout: float = 30.0) -> None:
        super().__init__(base_url, timeout=timeout)

    def drift(self, *, window: str | None = None) -> Drift:
        """Compare live rows with the reference.

        Args:
            window: how far to look back: 5m, 1h, 24h, 7d; by default as many minutes as have enough rows.

        Raises:
            Invalid: that is no window.
            Unavailable: there is no model to compare with, or Redis is away.
        """
        return self._http.read(Drift, "GET", "/drift", params=given(window=window))

    def report(self, *, window: str | None = None) -> str:
        """Return a page, HTML, with everything there is to see; it needs nothing beside itself. Raises as `drift`."""
        asked = self._http.send("GET", "/report", params=given(window=window), timeout=self._longer(_DRAWING_SECONDS))
        return asked.text

    def delete_logged(self, request_id: str) -> DeletedRows:
        """Delete all rows of a request from the prediction log, for good; repeating it does no harm.

        Raises:
            Invalid: there can be no request with this id.
            Unavailable: the store is away: repeat it.
        """
        path = f"/log/{quote(request_id, safe='')}"
        return self._http.read(DeletedRows, "DELETE", path, timeout=self._longer(_SEARCH_SECONDS))
