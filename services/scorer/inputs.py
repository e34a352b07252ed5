"""Reading what a job is made of: its spec, its input, its model."""

from collections import OrderedDict

from services.scorer.patience import insist
from shared import artifact
from shared.artifact import Artifact
from shared.engine import Model
from shared.follower import Models
from shared.jobs import JobSpec
from shared.records import read_spec
from shared.store import Store

SPECS_IN_MEMORY = 8  # the offsets of a spec with 100,000 chunks take some 4 MB


class Inputs:
    """Specs, models and chunks of jobs; specs and models are kept for the next chunk.

    Every method raises JobImpossible or StoreAway.
    """

    def __init__(self, store: Store, served: Models, model_name: str) -> None:
        self._store = store
        self._models = {model_name: served}
        self._specs: OrderedDict[str, JobSpec] = OrderedDict()

    async def spec(self, job_id: str) -> JobSpec:
        if job_id not in self._specs:
            self._specs[job_id] = await insist("the job's record", lambda: read_spec(self._store, job_id))
        self._specs.move_to_end(job_id)
        spec = self._specs[job_id]
        while len(self._specs) > SPECS_IN_MEMORY:
            self._specs.popitem(last=False)
        return spec

    async def model(self, spec: JobSpec) -> Model:
        """Return the version that was resolved at submission, whatever serves now."""
        name = spec.model_name
        models = self._models.setdefault(name, Models(self._store, name, capacity=1, errors=True))
        return await insist("the model", lambda: models.get(spec.model_version, spec.model_digest))

    async def artifact(self, spec: JobSpec) -> Artifact:
        """Return the files of that version, which are not kept."""
        name, version, digest = spec.model_name, spec.model_version, spec.model_digest
        return await insist("the model", lambda: artifact.fetch(self._store, name, version, digest))

    async def chunk(self, spec: JobSpec, chunk: int) -> bytes:
        first, end = spec.input_offsets[chunk], spec.input_offsets[chunk + 1]
        return await insist("the job's input", lambda: self._store.get_range(spec.input_key, first, end))
