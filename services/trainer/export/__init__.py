"""Fitted scikit-learn pipelines as ONNX graphs that give the same numbers, to the bit where that is possible.

A pipeline is `ColumnTransformer`, then an estimator. The graph reads one float64 matrix (a number's value, a
category's code, unknown -1, null NaN) and repeats scikit-learn's floating-point operations in scikit-learn's order.
What cannot be repeated exactly is refused by name. `services.trainer.parity` proves the result.
"""

from services.trainer.export.exported import Exported, ExportRefused
from services.trainer.export.frame import decode_rows, encode_frame
from services.trainer.export.pipeline import export_pipeline

__all__ = ["ExportRefused", "Exported", "decode_rows", "encode_frame", "export_pipeline"]
