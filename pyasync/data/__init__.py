"""Spike data: a simulated event camera, built-in digits, data set readers and augmentation."""

from pyasync.data.augment import shift
from pyasync.data.digits import digits
from pyasync.data.dvsgesture import dvsgesture
from pyasync.data.nmnist import nmnist
from pyasync.data.npz import npz
from pyasync.data.saccade import saccade
from pyasync.data.shd import shd

__all__ = ["digits", "dvsgesture", "nmnist", "npz", "saccade", "shd", "shift"]
