"""`python -m benchmarks.drift`: the section `drift`, with the options of `python -m benchmarks`."""

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    sys.argv.insert(1, "drift")
    sys.exit(main())
