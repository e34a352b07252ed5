"""Which columns Evidently's default preset says have drifted: `evidently_drift.py DIRECTORY CATEGORICAL SIZE...`.

DIRECTORY holds `*.npz` with `reference` and `window`, a column each feature, NaN for null; CATEGORICAL is positions
with commas between; each SIZE is how many of a window's first rows to look at. Prints a list, by file in the order of
their names, by size, by column.

The preset draws pictures of each column, which takes seconds. So its tests are run alone, as the preset chooses them,
and what they say of the first file is compared with its own report.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from evidently.presets import DataDriftPreset


def frame(rows, categorical):
    made = pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])
    for name in categorical:
        made[name] = made[name].map(lambda code: None if np.isnan(code) else f"c{code:g}").astype(object)
    return made


def tested(reference, window, categorical):
    results = {}
    for name in reference.columns:
        kind = ColumnType.Categorical if name in categorical else ColumnType.Numerical
        before, now = reference[name].dropna(), window[name].dropna()
        results[name] = get_stattest(before, now, kind, None)(before, now, kind, None)
    return results


def reported(reference, window, categorical):
    numeric = [name for name in reference.columns if name not in categorical]
    columns = DataDefinition(numerical_columns=numeric, categorical_columns=list(categorical))
    report = Report([DataDriftPreset()], include_tests=False)
    metrics = report.run(Dataset.from_pandas(window, columns), Dataset.from_pandas(reference, columns)).dict()[
        "metrics"
    ]
    scores = {m["config"]["column"]: m["value"] for m in metrics if "column" in m["config"]}
    (count,) = [m["value"]["count"] for m in metrics if m["metric_name"].startswith("DriftedColumnsCount")]
    return scores, count


def check(results, reference, window, categorical):
    scores, count = reported(reference, window, categorical)
    assert scores.keys() == results.keys(), (scores.keys(), results.keys())
    for name, result in results.items():
        assert np.isclose(scores[name], result.drift_score, rtol=1e-9, atol=1e-12), (name, scores[name], result)
    assert count == sum(result.drifted for result in results.values()), (count, results)


def main():
    warnings.simplefilter("ignore")
    directory, positions, *sizes = sys.argv[1:]
    categorical = {f"x{position}" for position in positions.split(",")}
    named = []
    for number, path in enumerate(sorted(Path(directory).glob("*.npz"))):
        with np.load(path) as file:
            reference, rows = frame(file["reference"], categorical), file["window"]
        of_sizes = []
        for size in map(int, sizes):
            window = frame(rows[:size], categorical)
            results = tested(reference, window, categorical)
            if number == 0:
                check(results, reference, window, categorical)
            of_sizes.append([bool(result.drifted) for result in results.values()])
        named.append(of_sizes)
    print(json.dumps(named))


if __name__ == "__main__":
    main()
