"""`python -m pyasync.cli` is the command `pyasync`."""

import sys

from pyasync.cli import main

sys.exit(main())
