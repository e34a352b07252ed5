"""The checks, in the order in which one thing needs the other."""

import asyncio
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from secrets import token_hex

from redis.exceptions import RedisError

from shared.broker import check_server, refusal
from shared.kernel.library import KernelMissing, load_library
from shared.settings import ROOT, SettingsInvalid
from shared.store import ObjectExists, Store
from tasador.doctor.checks import Check, bad, ok, warning
from tasador.doctor.lock import out_of_step
from tasador.settings import StackSettings
from tasador.sources import all_settings, settings_classes, unknown_variables
from tasador.stack import ports
from tasador.stack.state import StackState, read_state
from tasador.stack.valkey import ValkeyMissing, impatient_client, valkey_binary

_GIB = 1 << 30
_ENOUGH_DISK = 2 * _GIB
_PARTS = ("tasador", "faststream", "redis", "fastapi", "onnxruntime", "scikit-learn", "mlflow", "pyarrow", "obstore")


def examine() -> Iterator[Check]:
    """Yield every check; those that need settings are left out when the settings do not load."""
    yield _python()
    yield _environment()
    yield _versions()
    yield _kernel()
    yield _valkey()
    try:
        settings = StackSettings.load()
        list(all_settings())
    except SettingsInvalid as invalid:
        yield bad("settings", str(invalid), "correct the variable, tasador.toml or params.yaml")
        return
    yield _settings(settings)
    state = read_state(settings.state_dir)
    yield _disk(settings)
    yield _leftovers(state)
    yield from _ports(settings, state if state and state.is_running() else None)
    yield asyncio.run(_store(settings))
    yield asyncio.run(_redis(settings, state))


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 11):  # noqa: UP036 - that is the question
        return bad("python", found, "install Python 3.11 or newer, then `rm -rf .venv && make up PYTHON=…`")
    return ok("python", found)


def _environment() -> Check:
    lock = ROOT / "requirements" / "stack.txt"
    if not lock.exists():
        return warning("environment", "there is no requirements/stack.txt here", "run it in the repository")
    differences = out_of_step(lock)
    if not differences:
        return ok("environment", "in step with requirements/stack.txt")
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return bad("environment", "; ".join(differences[:3]) + more, "`rm -rf .venv && make up` installs it anew")


def _versions() -> Check:
    found = {name: _version(name) for name in _PARTS}
    text = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    missing = [name for name, number in found.items() if not number]
    if missing:
        return bad("versions", f"{text}; missing: {', '.join(missing)}", "`make up` installs what is missing")
    return ok("versions", text)


def _kernel() -> Check:
    try:
        load_library()
    except KernelMissing as missing:
        install = "have a C compiler (Debian: apt install gcc libc6-dev)"
        found = f"onnxruntime serves trees, several times slower: {missing}"
        return warning("kernel", found, f"{install}, then `{sys.executable} -m shared.kernel.build`")
    return ok("kernel", "compiled from the present sources")


def _valkey() -> Check:
    try:
        binary = valkey_binary()
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (ValkeyMissing, OSError, subprocess.SubprocessError) as error:
        return warning("valkey", str(error), "set TASADOR_REDIS_URL to a Redis or Valkey of your own")
    return ok("valkey", answer.stdout.strip())


def _settings(settings: StackSettings) -> Check:
    unknown = unknown_variables(settings_classes())
    if unknown:
        return bad("settings", f"nobody reads {', '.join(unknown)}", "`tasador config show` lists what there is")
    if not settings.params_path.exists():
        return bad("settings", f"there is no {settings.params_path}", "restore it, or set TASADOR_PARAMS_PATH")
    return ok("settings", f"state in {settings.state_dir}, model {settings.model_name}")


def _disk(settings: StackSettings) -> Check:
    place = settings.state_dir if settings.state_dir.exists() else ROOT
    free = shutil.disk_usage(place).free
    found = f"{free / _GIB:.1f} GiB free"
    return ok("disk", found) if free > _ENOUGH_DISK else warning("disk", found, f"make room under {place}")


def _leftovers(state: StackState | None) -> Check:
    if state is None:
        return ok("stack", "does not run")
    if state.is_running():
        return ok("stack", f"runs (pid {state.pid}), {'ready' if state.ready else 'not ready yet'}")
    alive = [process.name for process in state.processes if process.is_alive()]
    found = f"its launcher (pid {state.pid}) was killed"
    found += f" and left {', '.join(alive)}" if alive else " and left stack.json"
    return warning("stack", found, "`tasador down` clears up; `tasador up` does too")


def _ports(settings: StackSettings, running: StackState | None) -> Iterator[Check]:
    wanted = {"gateway": settings.gateway_port, "monitor": settings.monitor_port, "mlflow": settings.mlflow_port}
    for name, port in {**wanted, "valkey": settings.valkey_port}.items():
        variable = f"TASADOR_{name.upper()}_PORT"
        if ports.is_free(port):
            yield ok(f"port {port}", f"free for {name}")
        elif running:
            yield ok(f"port {port}", f"in use, as the stack runs ({name})")
        elif name == "valkey":
            yield ok(f"port {port}", f"in use by {ports.find_owner(port)}; Valkey takes a free one")
        else:
            yield bad(f"port {port}", str(ports.PortTaken(name, port, variable)), f"set {variable}")


async def _store(settings: StackSettings) -> Check:
    key = f"doctor/{token_hex(8)}"
    try:
        store = Store.open(settings.store_url)
        await store.put_new(key, b"")
        refuses = await _refuses(store, key)
        await store.delete(key)
    except Exception as error:  # whatever a store on somebody's cloud may raise
        return bad("store", f"{settings.store_url}: {error}", "check TASADOR_STORE_URL and its credentials")
    if not refuses:
        return bad("store", f"{settings.store_url} replaces what must be written once", "use one with If-None-Match: *")
    return ok("store", f"{settings.store_url} can be written")


async def _refuses(store: Store, key: str) -> bool:
    """Whether the store keeps an object that another is to be written over."""
    try:
        await store.put_new(key, b"another")
    except ObjectExists:
        return True
    return False


async def _redis(settings: StackSettings, state: StackState | None) -> Check:
    url = settings.external_redis or (state.redis_url if state and state.is_running() else None)
    if url is None:
        return ok("redis", "is started by `tasador up`, with everything on disk before it answers")
    client = impatient_client(url)
    try:
        problems = await check_server(client)
    except (RedisError, OSError) as error:
        if refused := refusal(error):
            return bad("redis", "does not let us in", refused)
        embedded = f"look into {settings.state_dir / 'logs' / 'valkey.log'}"
        what_to_do = "start it, or unset TASADOR_REDIS_URL" if settings.external_redis else embedded
        return bad("redis", f"does not answer: {error}", what_to_do)
    finally:
        await client.aclose()
    return (
        warning("redis", "; ".join(problems), "change its configuration") if problems else ok("redis", "as it must be")
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
