"""Says what to install where PyTorch is missing; imported before all that needs it."""

from pyasync.errors import MissingDependencyError

try:
    import torch as torch
except ImportError as error:
    needed = "PyTorch is not installed; pyasync.nn needs it: pip install torch"
    raise MissingDependencyError(needed) from error
