"""Bridges to other packages, none of which is needed to import pyasync."""

from pyasync.interop.nir import from_nir
from pyasync.interop.nir_export import to_nir
from pyasync.interop.tonic import from_tonic

__all__ = ["from_nir", "from_tonic", "to_nir"]
