import socket

import pytest

from shared.process import address_of, listen


def test_the_address_of_one_interface_is_that_interface() -> None:
    with listen("127.0.0.1", 0, "TASADOR_X_PORT") as bound:
        assert address_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_who_listens_everywhere_is_known_by_an_address_that_others_can_use(everywhere: str) -> None:
    if everywhere == "::" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with listen(everywhere, 0, "TASADOR_X_PORT") as bound:
        assert everywhere not in address_of(bound)
        assert address_of(bound).endswith(f":{bound.getsockname()[1]}")
