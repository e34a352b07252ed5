"""What the launcher hands to workers, and what they make of it."""

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.gateway.settings import GatewaySettings
from services.gateway.sockets import open_sockets
from shared.process import AddressInUse
from tasador.settings import StackSettings
from tasador.stack.commands import service_commands
from tasador.stack.ports import PortTaken
from tasador.stack.workers import worker_sockets
from tests.ports import free_port


def some(tmp_path: Path, workers: int, port: int) -> StackSettings:
    return StackSettings(state_dir=tmp_path, gateway_workers=workers, gateway_port=port)


def test_each_worker_has_its_own_sockets_and_knows_the_others(tmp_path: Path) -> None:
    port = free_port()
    with worker_sockets(some(tmp_path, 3, port)) as sockets:
        assert sockets is not None
        commands = list(sockets.hand_to(service_commands({"gateway": 3}, {})))
        inheriting = {command.name: command for command in commands if command.descriptors}
        assert list(inheriting) == ["gateway-1", "gateway-2", "gateway-3"]
        assert len(commands) == 6
        told = inheriting["gateway-2"].env
        assert json.loads(told["TASADOR_GATEWAY_SOCKETS"]) == list(inheriting["gateway-2"].descriptors)
        inherited = tuple(map(os.dup, inheriting["gateway-2"].descriptors))
        found = open_sockets(
            GatewaySettings(gateway_sockets=inherited, gateway_worker=int(told["TASADOR_GATEWAY_WORKER"]))
        )
        with ExitStack() as opened:
            assert found.shared is not None
            shared = [opened.enter_context(each) for each in (found.shared, *found.of_others)]
            own = opened.enter_context(found.own)
            assert os.path.sameopenfile(found.shared.fileno(), sockets.shared[1].fileno())
            assert [each.getsockname()[1] for each in shared] == [port] * 3
            assert own.getsockname() == sockets.own[1].getsockname()
            assert found.others == {1: sockets.own[0].getsockname(), 3: sockets.own[2].getsockname()}
            assert [found.is_asked_for_all(asked) for asked in (port, own.getsockname()[1])] == [True, False]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_told_with_what_to_set(tmp_path: Path, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = some(tmp_path, workers, taken.getsockname()[1])
        with pytest.raises(PortTaken, match="TASADOR_GATEWAY_PORT"), worker_sockets(settings):
            pass


def test_nobody_else_can_listen_beside_the_workers(tmp_path: Path) -> None:
    port = free_port()
    with worker_sockets(some(tmp_path, 2, port)):
        with pytest.raises(AddressInUse):
            open_sockets(GatewaySettings(gateway_port=port))
        with pytest.raises(PortTaken), worker_sockets(some(tmp_path, 2, port)):
            pass


def test_a_gateway_alone_opens_its_port_by_itself(tmp_path: Path) -> None:
    port = free_port()
    with worker_sockets(some(tmp_path, 1, port)) as sockets:
        assert sockets is None
    with open_sockets(GatewaySettings(gateway_port=port)).own as own:
        assert own.getsockname()[1] == port
