"""LitServe, one worker each with and without batching: `serve_litserve.py MODEL PORT`."""

import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Plain(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.pipeline: Any = joblib.load(sys.argv[1])

    def decode_request(self, request: dict) -> Any:  # what FastAPI is told, too
        return request["features"]

    def predict(self, x: Any) -> Any:
        return self.pipeline.predict([x])[0]

    def encode_response(self, output: Any) -> Any:
        return {"prediction": float(output)}


class Batched(Plain):
    def batch(self, inputs: Any) -> Any:
        return np.array(inputs)

    def predict(self, x: Any) -> Any:
        return self.pipeline.predict(x)

    def unbatch(self, output: Any) -> Any:
        return output.tolist()


if __name__ == "__main__":
    served = [Plain(api_path="/plain"), Batched(api_path="/batched", max_batch_size=64, batch_timeout=0.005)]
    server = litserve.LitServer(served, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    options = {"generate_client_file": False, "log_level": "warning", "access_log": False}
    server.run(host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, **options)
