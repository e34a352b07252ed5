"""`tasador doctor`: what is wrong with this installation, and how to mend it."""

from tasador.doctor.checks import Check, Verdict
from tasador.doctor.examine import examine

__all__ = ["Check", "Verdict", "examine"]
