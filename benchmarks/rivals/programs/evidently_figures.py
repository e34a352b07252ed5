"""What Evidently's tests compute: `evidently_figures.py CASES.npz`. Prints JSON, figures by case.

CASES holds `<name>/reference` and `<name>/live`: numbers, or text for categories.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests.registry import get_registered_stattest
from evidently.legacy.core import ColumnType

FIGURES = {ColumnType.Numerical: ("ks", "wasserstein"), ColumnType.Categorical: ("psi",)}


def main():
    warnings.simplefilter("ignore")
    found = {}
    with np.load(sys.argv[1]) as cases:
        for name in sorted({key.rpartition("/")[0] for key in cases}):
            reference, live = (pd.Series(cases[f"{name}/{side}"]) for side in ("reference", "live"))
            kind = ColumnType.Numerical if reference.dtype == np.float64 else ColumnType.Categorical
            found[name] = {
                figure: float(get_registered_stattest(figure, kind)(reference, live, kind, None).drift_score)
                for figure in FIGURES[kind]
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
