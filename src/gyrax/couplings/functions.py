"""A coupling from plain functions, for those who do not want to write a class."""

import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from .._types import Features, Parameter, Sources
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractCoupling


def as_sent(x: Sources) -> Features:
    """Regions send what they are."""
    return x


def as_heard(total: Features, x: Sources, degree: Any) -> Any:
    """A region takes the sum as it is."""
    return total


def as_function(function: Any) -> Callable[..., Any]:
    """A function that can stand in the program of a run: it may hold no arrays, which would be constants there."""
    if not callable(function):
        raise TypeError(f"pre= and post= take functions, got {function!r}")
    if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(function)):
        raise TypeError(
            f"{type(function).__name__} holds arrays, which could not be trained here: subclass gx.AbstractCoupling instead"
        )
    return function


class Coupling(AbstractCoupling):
    r"""Two plain functions: $G\,\mathrm{post}\big(\sum_j W_{ij}\,\mathrm{pre}(x_j),\ x_i,\ \sum_j W_{ij}\big)$.

    What is trained is `strength`; for parameters of the functions, subclass `gx.AbstractCoupling`, whose methods `encode`
    and `decode` are these two. Define the functions once: a network with another function is compiled anew, even if it
    computes the same.

    Attributes:
        pre: what a region sends, `(source, node)` to `(feature, node)`; left out, the sources themselves.
        post: what a region makes of the sums `(feature, node)`, of its own sources and of its degree `(node,)`: one row a
            target; left out, the sums themselves.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> squared = Coupling(source="x", pre=lambda x: x**2, post=lambda total, x, degree: total - x, strength=0.5)
        >>> net = gx.Network(gx.models.Linear(), squared, gx.datasets.load("dk84").connectome)
        >>> net.input(0.0, jnp.ones((1, 84))).shape
        (1, 84)
    """

    pre: Callable[[Any], Any] = eqx.field(default=as_sent, converter=as_function, static=True, kw_only=True)
    post: Callable[..., Any] = eqx.field(default=as_heard, converter=as_function, static=True, kw_only=True)
    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return self.pre(x)

    def decode(self, total, x, degree):
        return self.strength * self.post(total, x, degree)

    def __repr__(self):
        return re.sub(r" at 0x[0-9a-f]+", "", super().__repr__())  # an address tells nobody anything
