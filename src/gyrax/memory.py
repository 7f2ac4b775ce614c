"""Rows of its own that a noise, or what comes to be like it, adds to the state: what remembers, beside the model."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class AbstractMemory(eqx.Module):
    """A part of a network with rows of its own below the model's states: a noise with a memory.

    A run carries them, `run.final` keeps them, and gradients pass through them. The solver does not step them: `advance`
    does, beside it. Within the solver's step they add to the derivatives of `states`, or to the `inputs` named, and are
    interpolated linearly between the step's two ends. There is one row for each of those names.

    Attributes:
        states: names of the states whose derivatives the rows add to.
        inputs: names of inputs that they add to instead; None for states.
    """

    states: eqx.AbstractVar[tuple[str, ...] | None]
    inputs: eqx.AbstractVar[tuple[str, ...] | None]

    @abc.abstractmethod
    def begin(self, normals: Float[Array, "row node"]) -> Float[Array, "row node"]:
        """The rows before the first step of a run, from standard normal numbers."""

    @abc.abstractmethod
    def advance(
        self, rows: Float[Array, "row node"], increments: Float[Array, "row node"], dt: Any
    ) -> Float[Array, "row node"]:
        """The rows dt ms later, from Wiener increments of that time."""
