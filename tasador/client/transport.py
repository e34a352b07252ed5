"""One HTTP connection pool, and the mapping from refusals to exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from tasador.client.errors import TasadorError, Unreachable, problem_of

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

A = TypeVar("A", bound=BaseModel)


class Transport:
    """Sends requests; raises Problem for every status from 400."""

    def __init__(self, base_url: str, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        host = httpx.URL(self.base_url).host
        self._http = httpx.Client(
            base_url=self.base_url,
            timeout=timeout,
            headers={"user-agent": "tasador-client"},
            trust_env=host not in _LOOPBACK,  # a company's proxy cannot reach this machine's own addresses
        )

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with self._reaching():
            response = self._http.request(method, path, **arguments)
        if response.is_error:
            raise problem_of(response)
        return response

    def read(self, answer: type[A], method: str, path: str, **arguments: Any) -> A:
        """Send, and read the answer.

        Raises:
            TasadorError: what came back is not what this client knows, a page of some proxy for instance.
        """
        response = self.send(method, path, **arguments)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as invalid:
            raise TasadorError(f"{method} {path} of {self.base_url} answered something else: {invalid}") from None

    def probe(self, path: str) -> bool:
        """Tell whether the answer is a success; a refusal is an answer too."""
        with self._reaching():
            return self._http.get(path).is_success

    @contextmanager
    def stream(self, path: str, media_type: str, **arguments: Any) -> Iterator[httpx.Response]:
        """Yield an answer that is read as it comes. Raises Unreachable when it breaks off, too."""
        asked = self._http.stream("GET", path, headers={"accept": media_type}, **arguments)
        with self._reaching(), asked as response, self._reaching(answered=True):
            if response.is_error:
                response.read()
                raise problem_of(response)
            yield response

    @contextmanager
    def _reaching(self, *, answered: bool = False) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(self.base_url, str(error) or type(error).__name__, answered=answered) from error
