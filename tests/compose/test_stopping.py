"""`docker compose stop` in the middle of work, and `up` again: nobody has to be killed, and nothing is lost."""

from pathlib import Path

import pytest

from tasador.client import Client
from tests.compose.rows import predicted_at_once, some_rows, write_csv
from tests.compose.stack import STOP, ComposeStack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

SIGTERM = 128 + 15
ENDED = {0, SIGTERM}
"""Exit codes. Ours return 0; of others some say which signal they heeded."""
OURS = ("gateway", "scorer", "trainer", "monitor", "proxy")


def test_what_is_stopped_ends_by_itself_and_goes_on_where_it_was(
    stack: ComposeStack, client: Client, tmp_path: Path
) -> None:
    rows = some_rows(15_000, seed=6)
    before = predicted_at_once(client, rows)
    history = client.models().history
    done = client.wait(client.submit(rows[:100]).id, timeout=60).id
    job_id = client.submit(write_csv(tmp_path / "rows.csv", rows)).id
    stack.wait(lambda: client.job(job_id).rows.done)
    running = [container.id for container in stack.ps()]

    stack.compose("stop", within=STOP)
    assert not stack.events("scorer", event="job finished", job_id=job_id), "it was to be stopped in the middle"

    ended = {container.name: container for container in stack.ps()}
    assert [container.id for container in ended.values()] == running
    assert {container.state for container in ended.values()} == {"exited"}
    codes = {name: container.exit_code for name, container in ended.items()}
    assert {name: code for name, code in codes.items() if code not in ENDED} == {}
    assert {code for name, code in codes.items() if ended[name].service in OURS} == {0}

    stack.up()
    job = client.wait(job_id, timeout=120)
    assert (job.state, job.rows.done, job.rows.failed) == ("completed", len(rows), 0)
    assert [result.prediction for result in client.results(job_id)] == before
    assert len(list(client.results(done))) == 100
    assert client.models().history == history, "the model in service is the one that was, and not a new one"
    assert predicted_at_once(client, rows[:100]) == before[:100]
