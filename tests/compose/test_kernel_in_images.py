"""The kernel is compiled for the image: what is compiled outside never gets in."""

import pytest

from tests.compose.commands import run

pytestmark = pytest.mark.docker


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("service", ["gateway", "scorer", "trainer"])
def test_the_kernel_loads_in_the_image_of_whoever_needs_it(service: str) -> None:
    load = "from shared.kernel.library import load_library; load_library(); print('loaded')"
    said = run("docker", "run", "--rm", "--read-only", f"tasador-{service}:test", "python", "-c", load, within=60)
    assert said.split() == ["loaded"]
