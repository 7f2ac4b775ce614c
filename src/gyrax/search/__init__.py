"""Fits by other ways than gradient descent, of the same model, loss and spec: least squares, quasi-Newton, populations, fronts."""

from .fronts import Front, front
from .populations import evolve
from .quasi_newton import minimise
from .squares import least_squares

__all__ = ["Front", "evolve", "front", "least_squares", "minimise"]
