"""The gate: no version is registered unless its graph gives scikit-learn's numbers.

Proved on the data's rows, on rows drawn around them, and on rows built from every threshold and the next double, every
category, unknown and null; by the engines that may serve, in bulk and one row at a time.
"""

from services.trainer.parity.acceptance import Acceptance, ask
from services.trainer.parity.check import ParityReport, check_parity
from services.trainer.parity.compare import ParityFailed

__all__ = ["Acceptance", "ParityFailed", "ParityReport", "ask", "check_parity"]
