"""scikit-learn's predict on rows in memory: `python -m benchmarks.jobs.scikit PIPELINE ARRAY ROWS` prints seconds."""

import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

if __name__ == "__main__":
    pipeline = pickle.loads(Path(sys.argv[1]).read_bytes())
    x = np.load(sys.argv[2], mmap_mode="r")[: int(sys.argv[3])].copy()
    frame = pd.DataFrame(x, columns=pipeline.feature_names_in_)
    pipeline.predict(frame[:1000])
    start = time.perf_counter()
    pipeline.predict(frame)
    print(time.perf_counter() - start)
