"""How tests and the processes that they start use the processors, which they share with other tests.

Here, and not in a fixture: the libraries read it when they are loaded.
"""

import os

# With it, every process that is started would compile what it imports, which takes seconds each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Threads that have nothing to do make room for others. By default they try again, as fast as they can.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"}
