"""Reaching MLflow: its client library, quiet, offline, and no more patient than whoever waits for a training.

It is imported late: that takes two seconds, and it would report its use over the network if it were not told not to.
"""

import getpass
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
# Half a minute for a server that starts again, a minute and a half for one that hangs. MLflow's own defaults are four
# minutes and twenty. Whoever sets these variables has the last word.
_PATIENCE = {_RETRIES: "4", "MLFLOW_HTTP_REQUEST_TIMEOUT": "12"}
_UPLOAD_SECONDS = "120"  # the server may have to pass a large model on before it answers
_LOUD = {"mlflow": logging.WARNING, "alembic": logging.WARNING, "urllib3": logging.ERROR}
_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # read when it is imported
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class RegistryUnusable(RuntimeError):
    """MLflow's server cannot be used; the message says why and what to do.

    `away`: it did not answer, and may do so later. Otherwise it refuses us, and will do so again.
    """

    def __init__(self, message: str, *, away: bool) -> None:
        super().__init__(message)
        self.away = away


@contextmanager
def tracking(uri: str, *, uploads: bool = False) -> Iterator[Any]:
    """Import MLflow and point it at `uri` for the length of the block.

    Args:
        uploads: files are sent in the block, so that an answer may take longer.

    Raises:
        RegistryUnusable: `uri` is a server's, and it did not do what the block asked for.
    """
    patience = _PATIENCE | ({"MLFLOW_HTTP_REQUEST_TIMEOUT": _UPLOAD_SECONDS} if uploads else {})
    with _environment(patience), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, and glyphs that a plot's font lacks
        import mlflow  # noqa: PLC0415  (see the module)
        import mlflow.sklearn  # noqa: PLC0415

        for name, level in _LOUD.items():
            logging.getLogger(name).setLevel(level)
        module: Any = mlflow  # typed in part only
        before = module.get_tracking_uri() if module.tracking.is_tracking_uri_set() else None
        module.set_tracking_uri(uri)
        began = time.monotonic()
        try:
            yield module
        except Exception as error:
            unreachable = _network_error(error)
            if not _is_server(uri) or not (unreachable or isinstance(error, mlflow.exceptions.MlflowException)):
                raise
            raise _explained(error, unreachable, uri, time.monotonic() - began) from error
        finally:
            module.set_tracking_uri(before)


@contextmanager
def a_run(mlflow: Any, **named: Any) -> Iterator[Any]:
    """Log to a run. It ends with the block, but is left as it is when the server has gone: it cannot be told."""
    with mlflow.start_run(**named) as run:
        try:
            yield run
        except Exception as error:
            if _network_error(error) is not None:
                os.environ[_RETRIES] = "0"  # to end the run MLflow would try as long again
            raise


def check_registry(uri: str) -> None:
    """See that a server answers, before hours are spent on what it shall keep.

    Raises:
        RegistryUnusable: it does not.
    """
    if _is_server(uri):
        with tracking(uri) as mlflow:
            mlflow.MlflowClient().search_experiments(max_results=1)


@contextmanager
def _environment(patience: Mapping[str, str]) -> Iterator[None]:
    given = {"GIT_PYTHON_REFRESH": "quiet", **patience, **_user()}  # a machine without git is no error
    wanted = {name: value for name, value in given.items() if name not in os.environ} | _ALWAYS
    before = {name: os.environ.get(name) for name in (*wanted, *patience)}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _user() -> dict[str, str]:
    """Name a user where the system has no name for it, as in a container: MLflow notes who ran a training."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return {"LOGNAME": "tasador"}
    return {}


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _explained(error: Exception, unreachable: Exception | None, uri: str, seconds: float) -> RegistryUnusable:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]  # without a password
    server = f"MLflow at {parts.scheme}://{host}{parts.path}"
    if unreachable is not None:
        advice = "see that its server runs, or correct TASADOR_MLFLOW_URI; then train again"
        return RegistryUnusable(
            f"{server} did not answer within {seconds:.0f} s ({_cause(unreachable)}): {advice}", away=True
        )
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    advice = f"; start its server with --allowed-hosts {host}" if "Host header" in said else ""
    return RegistryUnusable(f"{server} refuses: {said}{advice}", away=False)


def _network_error(error: BaseException | None) -> Exception | None:
    """Return what the network said, from behind MLflow's own exceptions; None when the server has answered."""
    from requests import HTTPError, RequestException  # noqa: PLC0415 - as MLflow

    while error is not None:
        if isinstance(error, RequestException):
            answered = isinstance(error, HTTPError) and error.response is not None and error.response.status_code < 500
            return None if answered else error
        error = error.__cause__ or error.__context__
    return None


def _cause(error: Exception) -> str:
    """Return e.g. `Connection refused`, without the names of pools and the addresses of objects."""
    tried = error.args[0] if error.args else error
    text = str(getattr(tried, "reason", None) or error)
    return text.rpartition("): ")[2].strip()[:200]
