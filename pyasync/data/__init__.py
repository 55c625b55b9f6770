"""Spike data: a simulated event camera, built-in digits, and readers that give a `SpikeBatch`."""

from pyasync.data.digits import digits
from pyasync.data.nmnist import nmnist
from pyasync.data.npz import npz
from pyasync.data.saccade import saccade

__all__ = ["digits", "nmnist", "npz", "saccade"]
