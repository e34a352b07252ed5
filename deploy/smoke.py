"""Ask a gateway for one prediction: `python smoke.py http://proxy:8000`. Exit code 0 if it makes sense.

The row is made of the model's own examples. Only the standard library: it is run inside of an image.
"""

import json
import math
import sys
import urllib.error
import urllib.request
from typing import Any

SECONDS = 20


def ask(url: str, body: object = None) -> dict[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with direct.open(request, timeout=SECONDS) as response:
        answer = json.load(response)
    if not isinstance(answer, dict):
        raise TypeError(f"{url} answered {answer!r}")
    return answer


def predict(gateway: str) -> str:
    """Return what to say of a prediction that makes sense; raises if there is none."""
    model = ask(f"{gateway}/model/info")
    row = {feature["name"]: feature.get("example") for feature in model["signature"]["features"]}
    answer = ask(f"{gateway}/predict", row)
    if not math.isfinite(answer["prediction"]):
        raise ValueError(f"predicted {answer['prediction']}")
    return f"{answer['model_name']} version {answer['model_version']} predicts {answer['prediction']:g}"


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python smoke.py URL\n")
        return 2
    try:
        sys.stdout.write(f"{predict(sys.argv[1].rstrip('/'))}\n")
    except urllib.error.HTTPError as refused:
        sys.stderr.write(f"{refused.url}: {refused.code} {refused.read(500).decode(errors='replace')}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError) as failed:
        sys.stderr.write(f"no prediction: {type(failed).__name__}: {failed}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
