"""Imports the package before pytest does, which would make a second one of a module of doctests."""

import pyasync as pyasync
