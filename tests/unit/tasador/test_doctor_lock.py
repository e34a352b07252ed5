from importlib.metadata import version
from pathlib import Path

from tasador.doctor.lock import out_of_step, pins

LOCK = """\
pytest=={pytest} \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via tasador
colorama==1.0 ; sys_platform == 'no such platform' \\
    --hash=sha256:02
uvicorn[standard]==0.1 ; python_version >= '3.11'
"""


def test_a_lock_is_read_for_this_machine() -> None:
    assert dict(pins(LOCK.format(pytest="9"))) == {"pytest": "9", "uvicorn": "0.1"}


def test_what_differs_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"pytest=={version('pytest')}\nhttpx==0.0.1\nno-such-package==1\n")
    assert out_of_step(lock) == [
        f"httpx {version('httpx')}, the lock says 0.0.1",
        "no-such-package is missing, the lock says 1",
    ]
