"""The client: one method per thing that the gateway can do."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasador.client.answers import BatchPrediction, Health, Metrics, Prediction
from tasador.client.base import as_json, instances
from tasador.client.feedback import Feedback
from tasador.client.formats import JSON
from tasador.client.jobs import Jobs
from tasador.client.letters import DeadLetters
from tasador.client.models import Models


class Client(Jobs, DeadLetters, Feedback, Models):
    """A gateway, from Python.

    >>> with Client("http://127.0.0.1:8000") as tasador:
    ...     job = tasador.wait(tasador.submit("rows.csv").id)
    ...     tasador.save_results(job.id, "predictions.parquet")

    Every method raises a subclass of `TasadorError`. Nothing is retried behind the caller's back, except that the
    `wait`s, the reading of results, and feedback in several requests bear an outage of a minute.
    """

    # --- predictions

    def predict(self, row: Mapping[str, Any]) -> Prediction:
        """Raises Invalid, naming every field that does not fit the model."""
        return self._http.read(Prediction, "POST", "/predict", **as_json(dict(row)))

    def predict_batch(self, rows: Iterable[Mapping[str, Any]]) -> BatchPrediction:
        """Score some rows at once; a bad row is an error of its own. Raises TooLarge: submit those as a job."""
        return self._http.read(BatchPrediction, "POST", "/predict/batch", **as_json(instances(rows)))

    # --- the gateway itself

    def health(self) -> Health:
        return self._http.read(Health, "GET", "/health")

    def is_ready(self) -> bool:
        """Tell whether the gateway can predict. Raises Unreachable."""
        return self._http.probe("/health/ready")

    def metrics(self) -> Metrics:
        return self._http.read(Metrics, "GET", "/metrics", headers={"accept": JSON})
