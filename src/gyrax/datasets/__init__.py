"""Connectomes by name: one that comes with the package, with functional connectivity, and those of The Virtual Brain."""

from .connectomes import Dataset, load, names
from .leadfields import lead_field

__all__ = ["Dataset", "lead_field", "load", "names"]
