"""Distributed delays: a chain of linear stages behind a state."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._kinds import expect, whole
from .._types import Inputs, Parameter, Sources, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel


class GammaChain(AbstractModel):
    r"""A model of which one row is also heard late, by delays that are gamma distributed (the linear chain trick).

    $$\dot x_k = \frac{n}{\tau} (x_{k-1} - x_k), \quad k = 1, \dots, n$$

    with $x_0$ the row. The last stage is $x_0$ weighted with the gamma density of shape n and mean $\tau$ (MacDonald 1978,
    "Time lags in biological models"): the larger n, the sharper the delay. Couplings and monitors read it as `late`;
    conduction delays come on top. One distribution for all that a region sends; `mean` may be one value a region.

    Args:
        model: the neural mass.
        row: the state or output that is heard late.
        stages: n.
        mean: mean delay in ms.

    Raises:
        ValueError: if the model has no such row, or stages is less than 1.

    Example:
        >>> import gyrax as gx
        >>> slow = gx.models.GammaChain(gx.models.WongWang(), "S", stages=2, mean=8.0)
        >>> slow.states
        ('S', 'late_1', 'late')
        >>> gx.couplings.Linear(source="late").source
        ('late',)
    """

    reference: ClassVar = "MacDonald (1978), Time lags in biological models"

    model: AbstractModel
    row: str = eqx.field(static=True)
    stages: int = eqx.field(static=True, default=3)
    mean: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="mean delay")

    def __check_init__(self):
        expect("model", self.model, AbstractModel, "a model", "gx.models.WongWang()")
        expect("row", self.row, str, "the name of a state or an output", repr(self.model.states[0]))
        whole("stages", self.stages)
        if self.row not in self.model.states + self.model.outputs:
            raise ValueError(
                f"{type(self.model).__name__} has the states {self.model.states} and the outputs {self.model.outputs}, "
                f"no '{self.row}' for row="
            )

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.model.states, *(f"late_{k}" for k in range(1, self.stages)), "late")

    @property
    def inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.model.inputs

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.model.outputs

    @property
    def limits(self) -> dict[str, tuple[float | None, float | None]]:  # type: ignore[override]
        return self.model.limits

    def start(self, n: int) -> State:
        """The model's own start, as if it had always been there."""
        y = self.model.start(n)
        return jnp.concatenate([y, jnp.tile(self.model.read((self.row,), y), (self.stages, 1))])

    def drift(self, t, y: State, u: Inputs) -> State:
        own, late = jnp.split(y, [len(self.model.states)])
        before = jnp.concatenate([self.model.read((self.row,), own), late[:-1]])
        return jnp.concatenate([self.model.drift(t, own, u), self.stages / self.mean * (before - late)])

    def read(self, names: tuple[str, ...], y: State) -> Sources:
        own = y[: len(self.model.states)]
        late = dict(zip(self.states, y, strict=True))
        return jnp.stack([self.model.read((n,), own)[0] if n in self.outputs else late[n] for n in names])
