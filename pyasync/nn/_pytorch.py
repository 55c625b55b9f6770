"""Says what to install where PyTorch is missing; imported before all that needs it."""

from pyasync._optional import needed

needed("torch", "pyasync.nn needs it")
