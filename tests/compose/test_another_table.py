"""Another table on another store: nothing but params.yaml and .env says so. S3 stands in for the volume."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasador.client import Client, Invalid
from tests.compose.conftest import a_secret, running
from tests.compose.stack import ComposeStack
from tests.tables import PARCEL_TARGET, parcels

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

PARAMS = f"""\
model: {{name: parcels}}
data: {{source: data/sent/parcels.csv, target: {PARCEL_TARGET}, unit: EUR}}
model_building:
  random_forest: {{n_estimators: 10, max_depth: 6}}
selection: {{cv: 2, only: random_forest}}
"""
LIST = """\
import obstore, os
from shared.remote import open_remote

found = obstore.list(open_remote(os.environ["TASADOR_STORE_URL"])).collect()
print(*(object["path"] for object in found))
"""
ROW = {"weight": 4.5, "distance": 800, "carrier": "Übersee", "zone": None, "insured": 1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, images: None) -> Iterator[ComposeStack]:
    directory = tmp_path_factory.mktemp("parcels")
    (directory / "params.yaml").write_text(PARAMS)
    data = directory / "data"
    (data / "sent").mkdir(parents=True)
    (data / "sent" / "parcels.csv").write_bytes(parcels())
    for path in (data, data / "sent"):
        path.chmod(0o755)
    stack = ComposeStack(
        directory,
        "s3",
        COMPOSE_PROFILES="s3",
        TASADOR_PARAMS_PATH=directory / "params.yaml",
        DATA_DIR=data,
        S3_ACCESS_KEY_FILE=a_secret(directory / "s3_access_key", "parcels"),
        S3_SECRET_KEY_FILE=a_secret(directory / "s3_secret_key", "0123456789abcdef"),
        TASADOR_STORE_URL="s3://appraisals/tasador",
        AWS_ENDPOINT="http://minio:9000",
        AWS_REGION="us-east-1",
        TASADOR_SCORERS=1,
    )
    # With all that these depend on, and not with Prometheus.
    with running(stack, "proxy", "scorer", "trainer"):
        yield stack


@pytest.fixture
def client(stack: ComposeStack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


def test_it_is_trained_and_predicted(client: Client) -> None:
    assert client.model_info().name == "parcels"
    signature = {feature["name"]: feature["kind"] for feature in client.model_info().signature["features"]}
    assert signature.items() >= {"weight": "numeric", "carrier": "categorical"}.items()
    assert client.predict(ROW).prediction == client.predict_batch([ROW]).predictions[0]
    warned = client.predict({**ROW, "carrier": "swan"})
    assert [(warning.field, warning.code) for warning in warned.warnings] == [("carrier", "unknown_category")]
    with pytest.raises(Invalid, match="insured"):
        client.predict({**ROW, "insured": None})


def test_a_job_is_scored_from_the_bucket(stack: ComposeStack, client: Client, tmp_path: Path) -> None:
    table = tmp_path / "parcels.csv"
    table.write_bytes(parcels(2_000, seed=8))
    job = client.wait(client.submit(table).id, timeout=60)
    assert (job.state, job.rows.done, job.rows.failed) == ("completed", 2_000, 0)
    assert set(job.ignored_columns) == {"currency", PARCEL_TARGET}  # the first one never varies
    results = list(client.results(job.id))
    assert [result.index for result in results] == list(range(2_000))
    assert None not in [result.prediction for result in results]
    kept = stack.execute(stack.only("gateway"), "python", "-c", LIST).split()
    assert f"jobs/{job.id}/manifest.json" in kept
    assert "models/parcels/champion.json" in kept
    assert stack.execute(stack.only("gateway"), "find", "/var/lib/tasador/store", "-type", "f") == "", (
        "not in the volume"
    )


def test_a_bucket_that_is_there_is_left_as_it_is(stack: ComposeStack, client: Client) -> None:
    (bucket,) = stack.ps("bucket")
    assert (bucket.state, bucket.exit_code) == ("exited", 0)
    stack.compose("run", "--rm", "--no-deps", "bucket")
    assert client.model_info().name == "parcels"
