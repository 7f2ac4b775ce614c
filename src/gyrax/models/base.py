"""What every neural mass is: names of its states and inputs, and a drift."""

import abc
import inspect
from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Sources, State
from ..parameters.declaring import Parametric


class AbstractModel(Parametric):
    """A neural mass, written for all regions at once. Subclass it with the equations and nothing else.

    Attributes:
        states: names of the state variables, the rows of `y`.
        inputs: names of the inputs that couplings and stimuli feed, the rows of `u`.
        outputs: names of methods `name(self, y)` that return one row, such as a potential `y1 - y2`. Couplings and
            monitors read them as if they were states.
        reference: the paper that defines it.
        peers: what other packages call it, by package.
        limits: for some states, the `(lowest, highest)` value after each step; None for no limit on a side.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> class Decay(gx.AbstractModel):
        ...     states = ("x",)
        ...     inputs = ("c",)
        ...     tau: gx.Array = gx.parameter(10.0, domain=gx.Positive(), unit="ms")
        ...     def drift(self, t, y, u):
        ...         return (-y + u) / self.tau
        >>> Decay()
        Decay(tau=10 ms)
    """

    states: ClassVar[tuple[str, ...]]
    inputs: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[dict[str, tuple[float | None, float | None]]] = {}
    reference: ClassVar[str] = ""
    peers: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls) or isinstance(getattr(cls, "states", property()), property):
            return  # names that depend on the instance are checked where they are used
        for kind in ("states", "inputs", "outputs"):
            names = getattr(cls, kind)
            if isinstance(names, str) or not all(isinstance(name, str) for name in names):
                raise TypeError(f"{cls.__name__}.{kind} is a tuple of names, such as ('x',); got {names!r}")
        rows = (*cls.states, *cls.outputs)
        if not cls.states or len(set(rows)) < len(rows) or len(set(cls.inputs)) < len(cls.inputs):
            raise TypeError(
                f"{cls.__name__} needs at least one state, and names that differ: states {cls.states}, "
                f"outputs {cls.outputs}, inputs {cls.inputs}"
            )
        for name in cls.outputs:
            if not callable(getattr(cls, name, None)):
                raise TypeError(f"{cls.__name__}.outputs names '{name}': define a method {name}(self, y)")
        for name in cls.limits:
            if name not in cls.states:
                raise TypeError(f"{cls.__name__}.limits names '{name}', which is no state of {cls.states}")

    @abc.abstractmethod
    def drift(self, t, y: State, u: Inputs) -> State:
        """Time derivative of the state, per ms.

        Args:
            t: time in ms.
            y: `(state, node)`.
            u: `(input, node)`, the sum of what couplings and stimuli feed each input.
        """

    def start(self, n: int) -> State:
        """State `(state, node)` from which a run of `n` regions starts: zeros, unless a model knows better."""
        return jnp.zeros((len(self.states), n))

    def read(self, names: tuple[str, ...], y: State) -> Sources:
        """Rows of the named states and outputs, `(name, node)`."""
        if names == self.states:
            return y
        return jnp.stack([y[self.states.index(n)] if n in self.states else getattr(self, n)(y) for n in names])

    def read_inputs(self, names: tuple[str, ...], u: Inputs) -> Sources:
        """Rows of the named inputs, `(name, node)`."""
        return jnp.stack([u[self.inputs.index(name)] for name in names])

    @property
    def fed(self) -> tuple[str, ...]:
        """The inputs that a coupling feeds which names none."""
        return self.inputs

    def meant(self, name: str) -> tuple[str, ...]:
        """The states or inputs, one a row, that a name stands for."""
        return (name,)

    def nodes(self, names: tuple[str, ...]) -> tuple[int, ...] | None:
        """The nodes that have what the names stand for; None for all."""
        return None

    def limit(self, y: State) -> State:
        """The state held inside `limits`."""
        if not self.limits:
            return y
        ends = [self.limits.get(name, (None, None)) for name in self.states]
        low = jnp.array([-jnp.inf if lo is None else lo for lo, _ in ends], y.dtype)
        high = jnp.array([jnp.inf if hi is None else hi for _, hi in ends], y.dtype)
        return jnp.clip(y, low[:, None], high[:, None])
