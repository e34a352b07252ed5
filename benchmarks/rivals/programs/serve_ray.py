"""Ray Serve, one replica each with and without batching: `serve_ray.py MODEL PORT`."""

import signal
import sys
from typing import Any

import joblib
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=100)
class Plain:
    def __init__(self, model: str) -> None:
        self.pipeline: Any = joblib.load(model)

    async def __call__(self, request: Request) -> dict[str, float]:
        row = (await request.json())["features"]
        return {"prediction": self.pipeline.predict([row])[0]}


@serve.deployment(max_ongoing_requests=100)
class Batched:
    def __init__(self, model: str) -> None:
        self.pipeline: Any = joblib.load(model)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, rows: list[list[float]]) -> list[float]:
        return self.pipeline.predict(rows).tolist()

    async def __call__(self, request: Request) -> dict[str, float]:
        return {"prediction": await self.predict((await request.json())["features"])}


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    for name, deployment in {"plain": Plain, "batched": Batched}.items():
        serve.run(deployment.bind(sys.argv[1]), name=name, route_prefix=f"/{name}")
    signal.pause()
