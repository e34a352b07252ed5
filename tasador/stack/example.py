"""A request that works when pasted, made of the champion's own examples."""

import json
import shlex

import httpx


async def curl_line(gateway_url: str) -> str | None:
    """Return a curl command, or None if the gateway does not tell what its model expects."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            response = await client.get(f"{gateway_url}/model/info")
            response.raise_for_status()
            features = response.json()["signature"]["features"]
            row = {feature["name"]: feature["example"] for feature in features}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    header = shlex.quote("content-type: application/json")
    return f"curl -s {gateway_url}/predict -H {header} -d {shlex.quote(json.dumps(row))}"
