from io import StringIO

from rich.console import Console

from tasador.stack.state import ProcessInfo, StackState
from tasador.stack.view import View


def a_state(mlflow: str) -> StackState:
    return StackState(
        pid=1,
        started_at="2026-01-01T00:00:00+00:00",
        ready=True,
        redis_url="redis://127.0.0.1:6379/0",
        store_url="file:///s",
        mlflow_uri="sqlite:///m",
        model_name="m",
        gateway_url="http://127.0.0.1:8000",
        monitor_url="http://127.0.0.1:8001",
        mlflow_url="http://127.0.0.1:5000",
        processes=[
            ProcessInfo(name="gateway", service="gateway", state="ready", pid=7),
            ProcessInfo(name="mlflow", service="mlflow", state=mlflow, pid=8),
        ],
    )


def test_it_is_ready_before_mlflows_pages_which_are_told_when_they_come() -> None:
    said = StringIO()
    view = View(Console(file=said, width=200))
    view.ready(a_state("waiting"), None)
    assert "Ready after" in said.getvalue()
    assert "MLflow    http://127.0.0.1:5000 (in a moment)" in said.getvalue()
    before = len(said.getvalue())
    for state in ("starting", "ready", "ready"):
        view.show(a_state(state))
    assert said.getvalue()[before:].splitlines() == ["mlflow     ready"]
