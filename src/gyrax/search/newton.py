"""Solvers of optimistix as methods of a search: one step of theirs a move."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from .._devices import mapped
from ..fitting.objective import AbstractObjective, Outcome, keys_of, length
from .slopes import guarded, jacobian
from .walking import AbstractMethod, Moved

#: What the scale of a function is called among what it gives beside.
_SCALE = "scale of the function"
#: On the real line, where one is about the size of a parameter.
_FIRST_STEP = 0.1
#: How many times larger the numbers are that a quasi-Newton solver has.
STRETCH = 1000.0


class AbstractNewton(AbstractMethod):
    """Steps of a solver that models the loss around where it stands, on one noise.

    Its trial of a move lies one move ahead: the first looks at the start, and each later one at what the last proposed.
    """

    solver: eqx.AbstractVar[Any]
    #: Moves in a row that lead nowhere after which it begins anew where it stands.
    forgets: eqx.AbstractVar[int]
    #: How many times larger the numbers are that the solver has.
    stretch: eqx.AbstractVar[float]

    def keys(self) -> Array:
        """The noise, the same in all moves: a solver that compares losses cannot hear another each time."""
        return keys_of(self.key, self.realisations)

    @abc.abstractmethod
    def function(self, free: PyTree, scale: Float[Array, ""]) -> Any:
        """What the solver is given: times a scale, which is the function's own where it is NaN, and is named in what it gives beside."""

    def described(self) -> dict[str, str]:
        return {"the method": repr(self.solver)}

    def begin(self, free: PyTree) -> PyTree:
        scale = jnp.full((), jnp.nan, jnp.result_type(float))
        return eqx.filter(self._first(free, scale), eqx.is_array), scale

    def _first(self, free: PyTree, scale: Any) -> PyTree:
        """The solver's state before its first step."""
        flat, _ = self._stretched(free)
        function = self.function(free, scale)
        value, rest = jax.eval_shape(lambda: function(flat, None))
        return self.solver.init(function, flat, None, {}, value, rest, frozenset())

    def _stretched(self, free: PyTree) -> tuple[Float[Array, " number"], Callable[[Array], PyTree]]:
        """The free numbers as the solver has them, and the way back."""
        flat, whole = ravel_pytree(free)
        return flat * self.stretch, lambda x: whole(x / self.stretch)

    def move(self, free: PyTree, state: PyTree, step: Int[Array, ""], stalled: Int[Array, ""]) -> Moved:
        flat, whole = self._stretched(free)
        # Curvature learnt along a wall may point into it for ever: once, whatever was learnt is forgotten.
        anew = stalled == self.forgets
        arrays, scale = jax.tree.map(lambda a, b: jnp.where(anew, a, b), self.begin(free), state)
        # What of a state is no array is the same in all moves, and cannot be carried through a compiled loop.
        rest = eqx.filter(eqx.filter_eval_shape(self._first, free, scale), _is_shape, inverse=True)
        function, made = self.function(free, scale), eqx.combine(arrays, rest)
        later, made, _ = self.solver.step(function, flat, None, {}, made, frozenset())
        ended, _ = self.solver.terminate(function, later, None, {}, made, frozenset())
        new = dict(made.aux)
        scale = new.pop(_SCALE)
        free, moved = whole(later), (later != flat).any() | (step == 0)
        state = (eqx.filter(made, eqx.is_array), scale)
        return Moved(free, state, new, free, new["loss"], jnp.where(moved, 0, stalled + 1), ended & (step > 0))


def _is_shape(x: Any) -> bool:
    return isinstance(x, jax.ShapeDtypeStruct)


def _scaled(scale: Float[Array, ""], wanted: float, size: Float[Array, ""], values: Array) -> Float[Array, ""]:
    """The scale of the first move, by which what has this size gets the wanted one; later the same.

    It leaves room above the values: a scale that makes them infinite where a slope is next to nothing would be a step into nonsense.
    """
    most = float(jnp.finfo(size.dtype).max)
    room = jnp.minimum(most / 10, 1e-6 * most / jnp.abs(values).max(initial=jnp.finfo(size.dtype).tiny))
    own = jnp.minimum(wanted / jnp.where(size > 0, size, 1.0), room)
    return jnp.where(jnp.isnan(scale), jnp.where(size > 0, own, 1.0), scale)


class Squares(AbstractNewton):
    """Least squares of the residuals that a loss names."""

    objective: AbstractObjective
    key: Any
    solver: Any
    realisations: int = eqx.field(static=True)
    forward: bool = eqx.field(static=True)
    #: A damping that grows four times each: the step is a billionth then.
    hopeless: int = eqx.field(static=True, default=16)
    forgets: int = eqx.field(static=True, default=-1)
    stretch: float = eqx.field(static=True, default=1.0)

    def residuals(self, free: PyTree) -> Any:
        """Of a vector: the residuals on all noise, so scaled that their squares are a mean over it; and loss and terms."""
        _, whole = ravel_pytree(free)
        keys = self.keys()

        def one(x: Array, key: Any) -> Outcome:
            return self.objective.at(whole(x), key)

        def function(x: Array) -> tuple[Float[Array, " residual"], dict[str, Array]]:
            found = mapped(lambda key: one(x, key), keys)
            rest = {"loss": found.value, **found.terms}
            flat = jnp.concatenate([r.reshape(-1) for r in jax.tree.leaves(found.residuals)])
            flat = flat.astype(x.dtype) / np.sqrt(len(keys))
            return flat, jax.tree.map(lambda v: v.mean(0), rest) | {"squares": (flat**2).sum()}

        return function

    def function(self, free: PyTree, scale: Float[Array, ""]) -> Any:
        residuals = self.residuals(free)

        def both(x: Array):
            value, slope, rest = jacobian(residuals, x, self.forward)
            # A damping of one, with which the solver begins, is then a middling one.
            own = _scaled(scale, np.sqrt(x.size), length(slope), value)
            # scaled before they meet: their product may be less than the precision tells
            gradient = 2 * length((slope * own).T @ value) / own
            return value * own, slope * own, rest | {"gradient": gradient, _SCALE: own}

        return guarded(both)

    def described(self) -> dict[str, str]:
        return super().described() | {"the Jacobian": "forward" if self.forward else "backward"}


class Values(AbstractNewton):
    """Any loss, by its gradient.

    optimistix learns nothing from a step along which the product of the changes of numbers and gradient is below the precision, as
    for all steps on a flat slope in float32. Numbers that are so much larger, of a function that is larger by their
    square, take the same steps, with products by that square larger.
    """

    objective: AbstractObjective
    key: Any
    solver: Any
    realisations: int = eqx.field(static=True)
    #: A step that is halved each.
    hopeless: int = eqx.field(static=True, default=26)
    forgets: int = eqx.field(static=True, default=8)
    stretch: float = eqx.field(static=True, default=STRETCH)

    def function(self, free: PyTree, scale: Float[Array, ""]) -> Any:
        _, whole = self._stretched(free)
        keys = self.keys()

        def both(x: Array):
            def value(x: Array):
                value, terms = self.objective.mean(whole(x), keys)
                return value, {"loss": value, **terms}

            (value_, rest), slope = jax.value_and_grad(value, has_aux=True)(x)
            norm = length(slope) * self.stretch
            own = _scaled(scale, _FIRST_STEP * self.stretch**2, norm, value_)
            return value_ * own, slope * own, rest | {"gradient": norm, _SCALE: own}

        return guarded(both)
