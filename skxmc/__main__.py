"""The command line: ``python -m skxmc --help``."""

import sys

from skxmc._cli import main

if __name__ == "__main__":
    sys.exit(main())
