"""`tasador up`: from settings to a stack that runs until it is told to stop."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from shared.settings import ROOT
from tasador.settings import StackSettings
from tasador.stack import reload, valkey
from tasador.stack.child import Death
from tasador.stack.commands import layout, mlflow_command, service_commands
from tasador.stack.example import curl_line
from tasador.stack.ports import PortTaken, find_free, require_free
from tasador.stack.spawn import Command
from tasador.stack.stack import Plan, Stack, StartFailed
from tasador.stack.stale import end_leftovers
from tasador.stack.state import StackState, StateFile, locked, read_state, remove_state
from tasador.stack.stopping import Stopping
from tasador.stack.view import View
from tasador.stack.workers import WorkerSockets, worker_sockets

Services = Callable[[Mapping[str, int], Mapping[str, str]], Iterable[Command]]
"""From how many of a service, if not one, and the environment to the commands of the services."""


def up(
    settings: StackSettings,
    console: Console,
    *,
    watch_code: bool = False,
    services: Services = service_commands,
) -> int:
    """Run the stack in the foreground; return the exit code.

    Raises:
        AlreadyRunning, PortTaken, ValkeyMissing: nothing was started.
    """
    view = View(console)
    with locked(settings.state_dir):
        clean_up(settings.state_dir, view)
        with worker_sockets(settings) as sockets:
            plan = make_plan(settings, view, services, sockets)
            try:
                return asyncio.run(serve(plan, view, watch_code=watch_code))
            finally:
                remove_state(settings.state_dir)


def clean_up(state_dir: Path, view: View) -> None:
    """End what a killed launcher left; the caller holds the lock, so nobody else's can it be."""
    left = read_state(state_dir)
    if left:
        view.say(f"The last launcher (pid {left.pid}) was killed; clearing up after it.")
        ended = end_leftovers(left)
        if ended:
            view.say(f"Ended {', '.join(ended)}.")
    remove_state(state_dir)


def make_plan(settings: StackSettings, view: View, services: Services, sockets: WorkerSockets | None) -> Plan:
    """Raises: PortTaken, ValkeyMissing."""
    require_free("the monitor", settings.monitor_port, "TASADOR_MONITOR_PORT")
    for directory in ("logs", "mlflow", "store"):
        (settings.state_dir / directory).mkdir(parents=True, exist_ok=True)
    port = find_free(settings.valkey_port)
    where = layout(settings, settings.external_redis or valkey.valkey_url(port))
    server = None
    if not settings.external_redis:
        data = settings.state_dir / "valkey"
        server = valkey.valkey_command(valkey.valkey_binary(), data, port, settings.valkey_maxmemory)
    counts = {"scorer": settings.scorers, "gateway": settings.gateway_workers}
    replicas = services(counts, where.environment())
    pages = mlflow_command(where) if _mlflow_wanted(settings, view) else None
    return Plan(where, settings.tenant, server, tuple(sockets.hand_to(replicas) if sockets else replicas), pages)


def _mlflow_wanted(settings: StackSettings, view: View) -> bool:
    """MLflow's pages are a comfort: without their port the rest serves all the same."""
    if not settings.mlflow_ui:
        return False
    try:
        require_free("MLflow's pages", settings.mlflow_port, "TASADOR_MLFLOW_PORT")
    except PortTaken as taken:
        view.say(f"Going on without MLflow's pages: {taken}", "yellow")
        return False
    return True


async def serve(plan: Plan, view: View, *, watch_code: bool = False) -> int:
    """Start, wait for the end, and end; return the exit code."""
    file = StateFile(plan.where.state_dir, view.say)

    def on_change(state: StackState) -> bool:
        view.show(state)
        return file.write(state)

    def on_death(death: Death) -> None:
        view.died(death)

    stopping = Stopping()
    stopping.install()
    stack = Stack(plan, on_change, on_death)
    background = [asyncio.create_task(stopping.watch_parent())]
    if watch_code:
        background.append(asyncio.create_task(_reload_on_change(stack, view)))
    try:
        return await _run(stack, plan, view, stopping)
    finally:
        for task in background:
            task.cancel()
        view.stopping()
        await stack.end(stopping.hurry)
        stopping.uninstall()
        view.say("Stopped. Jobs, models and history are kept.")


async def _run(stack: Stack, plan: Plan, view: View, stopping: Stopping) -> int:
    starting = asyncio.create_task(stack.start())
    asked = asyncio.create_task(stopping.asked.wait())
    await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        return 0
    try:
        starting.result()
    except StartFailed as failed:
        view.say(f"Could not start: {failed}", "red")
        return 1
    view.ready(stack.state(), await curl_line(plan.where.gateway_url))
    await asked
    return 0


async def _reload_on_change(stack: Stack, view: View, poll: float = 0.5) -> None:
    before = reload.snapshot(ROOT)
    while True:
        await asyncio.sleep(poll)
        after = reload.snapshot(ROOT)
        concerned = reload.changed_services(ROOT, before, after)
        if concerned:
            view.say(f"Code changed; restarting {', '.join(stack.restart(concerned))}.")
        before = after
