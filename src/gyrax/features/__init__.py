"""What is compared between a simulation and data: pure functions of recordings."""

from .connectivity import fc, off_diagonal

__all__ = ["fc", "off_diagonal"]
