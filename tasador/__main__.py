"""`python -m tasador`: the command line, without depending on where the console script was installed."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said before an import fails with something obscure
    sys.exit(f"Tasador needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable}).")

from tasador.cli import main

if __name__ == "__main__":
    main()
