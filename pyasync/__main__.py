"""`python -m pyasync` runs the command `pyasync`."""

import sys

from pyasync.cli import main

if __name__ == "__main__":
    sys.exit(main())
