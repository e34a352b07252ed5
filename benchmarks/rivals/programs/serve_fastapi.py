"""What most start with: FastAPI, a pydantic model of the row, joblib: `serve_fastapi.py MODEL PORT COLUMN …`."""

import sys
from typing import Any

import joblib
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

app = FastAPI()
pipeline: Any = joblib.load(sys.argv[1])
Row: Any = create_model("Row", **dict.fromkeys(sys.argv[3:], (float, ...)))


class Answer(BaseModel):
    prediction: float


@app.post("/predict")
def predict(row: Row) -> Answer:
    return Answer(prediction=pipeline.predict([list(row.model_dump().values())])[0])


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
