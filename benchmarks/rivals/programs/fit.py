"""`python fit.py TRAINING DIRECTORY` fits the pipeline in a rival's environment, so that no pickle crosses versions.

It writes what servers load: `model.joblib`, and where MLflow is installed `mlflow/`.
"""

import importlib.util
import json
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn import ensemble, linear_model
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if __name__ == "__main__":
    training, directory = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    kind = getattr(ensemble, training["estimator"], None) or getattr(linear_model, training["estimator"])
    pipeline = make_pipeline(StandardScaler(), kind(**training["arguments"]))
    pipeline.fit(np.array(training["x"]), np.array(training["y"]))
    directory.mkdir(parents=True)
    joblib.dump(pipeline, directory / "model.joblib")
    if importlib.util.find_spec("mlflow"):
        import mlflow.sklearn

        mlflow.sklearn.save_model(pipeline, directory / "mlflow", serialization_format="cloudpickle")
