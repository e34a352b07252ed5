"""`python -m shared.probe URL`: exit code 0 if the address answers with success, for health checks of containers.

Images have no curl, and must not need one. It imports the standard library alone: it is run every few seconds.
"""

import sys
import urllib.error
import urllib.request

SECONDS = 4
_SHOWN = 500
"""Of the answer: what `docker inspect` shows is read by people."""


def probe(url: str) -> tuple[bool, str]:
    """Ask once; return whether the answer is a success, and what it says."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS) as response:
            return True, response.read(_SHOWN).decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return False, f"{refused.code} {refused.read(_SHOWN).decode(errors='replace')}"
    except (OSError, ValueError) as failed:
        return False, str(failed)


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m shared.probe URL\n")
        return 2
    well, said = probe(sys.argv[1])
    sys.stdout.write(f"{said}\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
