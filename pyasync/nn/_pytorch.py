"""Import this before anything that needs PyTorch: if that is missing, it says what to install."""

from pyasync._optional import needed

needed("torch", "pyasync.nn needs it")
