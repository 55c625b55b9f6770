"""The same work done by other means, for comparison: see the README one folder up."""
