"""`python -m pyasync.cli` runs the command `pyasync`."""

import sys

from pyasync.cli import main

sys.exit(main())
