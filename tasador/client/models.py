"""The client's methods for versions of the model, and commands."""

from collections.abc import Callable

from tasador.client.answers import ModelInfo, ModelList, Operation, Replicas
from tasador.client.base import Connected, as_json, given, waiting
from tasador.client.errors import TasadorError
from tasador.client.waiting import wait_for_end


class Models(Connected):
    def model_info(self) -> ModelInfo:
        """Return the version that answers now."""
        return self._http.read(ModelInfo, "GET", "/model/info")

    def models(self) -> ModelList:
        return self._http.read(ModelList, "GET", "/models")

    def replicas(self) -> Replicas:
        return self._http.read(Replicas, "GET", "/replicas")

    def promote(self, version: str, *, reason: str | None = None) -> Operation:
        """Ask for a version to be put into service; see `wait_operation`."""
        return self._command("promote", version=version, reason=reason)

    def rollback(self, version: str | None = None, *, reason: str | None = None) -> Operation:
        """Ask for the version that served before, or an earlier one."""
        return self._command("rollback", version=version, reason=reason)

    def retrain(self, *, reason: str | None = None) -> Operation:
        return self._command("retrain", reason=reason)

    def reload(self, *, reason: str | None = None) -> Operation:
        """Ask every replica to look at the desired version now."""
        return self._command("reload", reason=reason)

    def operation(self, operation_id: str, *, wait: float = 0) -> Operation:
        return self._http.read(
            Operation,
            "GET",
            f"/admin/operations/{operation_id}",
            params=waiting(wait),
            timeout=self._longer(wait),
        )

    def wait_operation(
        self,
        operation_id: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Operation], None] | None = None,
        on_outage: Callable[[TasadorError], None] | None = None,
    ) -> Operation:
        """Return the operation when it has ended, well or not; as `wait`. Raises TimedOut."""
        poll = 0.5 if on_progress else 10.0
        return wait_for_end(
            lambda seconds: self.operation(operation_id, wait=seconds), timeout, on_progress, poll, on_outage
        )

    def _command(self, name: str, **body: str | None) -> Operation:
        return self._http.read(Operation, "POST", f"/admin/{name}", **as_json(given(**body)))
