"""How regions hear each other: encode at the source, weighted (delayed) sum, decode at the target."""

import abc
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ._types import Features, Matrix, Parameter, Sources
from .domains import Parametric, Positive, Real, as_parameter, parameter
from .sparse import Sparse


def as_names(names: Any) -> Any:
    """One name or several, as a tuple; None stays None.

    Example:
        >>> as_names("S")
        ('S',)
    """
    if names is None:
        return None
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TypeError(f"expected a name or several that differ, such as 'S' or ('y1', 'y2'); got {names!r}")
    return names


class AbstractCoupling(Parametric):
    """Input to a region from all others. `encode` runs once a step on N values, `decode` on N sums.

    Attributes:
        source: the states or outputs of the model that are sent.
        target: the model inputs that are fed; left out, all the model has. Couplings of one input add up.
        weights: `(target, source)` weights of this coupling's own; left out, the connectome's. `gx.Sparse` weights act at
            once, from node to node: also between the vertices of a surface, and beside couplings with delays.
    """

    source: tuple[str, ...] = eqx.field(converter=as_names, static=True, kw_only=True)
    target: tuple[str, ...] | None = eqx.field(default=None, converter=as_names, static=True, kw_only=True)
    weights: Matrix | Sparse | None = eqx.field(
        default=None, converter=lambda w: w if isinstance(w, Sparse) else as_parameter(w), kw_only=True
    )

    @abc.abstractmethod
    def encode(self, x: Sources) -> Features:
        """What a region sends: `(source, node)` to `(feature, node)`."""

    @abc.abstractmethod
    def decode(self, total: Features, x: Sources, degree: Float[Array, " node"]) -> Float[Array, "target node"]:
        """What a region makes of what it hears.

        Args:
            total: weighted sums of what was sent, `(feature, node)`.
            x: the region's own source values now, `(source, node)`.
            degree: sum of the weights that lead to each region, `(node,)`.
        """


class Linear(AbstractCoupling):
    r"""Weighted sum: $G \sum_j W_{ij} x_j$, one target row for each source row.

    Example:
        >>> Linear(source="S", strength=0.5)
        Linear(source=('S',), strength=0.5)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        return self.strength * total


class Difference(AbstractCoupling):
    r"""Diffusive: $G \sum_j W_{ij} (x_j - x_i)$, one target row for each source row. With delays, x_j is the delayed one.

    Example:
        >>> Difference(source="x", strength=0.1)
        Difference(source=('x',), strength=0.1)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        return self.strength * (total - degree * x)


class SigmoidalJansenRit(AbstractCoupling):
    r"""Firing rates of distant pyramidal cells, Jansen & Rit (1995) as in The Virtual Brain:

    $$G \sum_j W_{ij} \Big( c_{min} + \frac{c_{max} - c_{min}}{1 + e^{r (v_0 - (x_1 - x_2)_j)}} \Big)$$

    Reads two rows (y1 and y2) or their difference as one (an output such as `psp`); feeds one input.

    Example:
        >>> SigmoidalJansenRit(strength=15.0).source
        ('y1', 'y2')
    """

    source: tuple[str, ...] = eqx.field(default=("y1", "y2"), converter=as_names, static=True, kw_only=True)
    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    c_min: Parameter = parameter(0.0, domain=Real(), unit="1/ms", doc="lowest rate")
    c_max: Parameter = parameter(0.005, domain=Real(), unit="1/ms", doc="highest rate")
    v0: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="potential at half of the range")
    r: Parameter = parameter(0.56, domain=Positive(), unit="1/mV", doc="steepness")

    def __check_init__(self):
        if len(self.source) > 2:
            raise ValueError(f"SigmoidalJansenRit reads two rows or their difference, got source={self.source}")

    def encode(self, x: Sources) -> Features:
        v = x[:1] - x[1:2] if x.shape[0] == 2 else x
        return self.c_min + (self.c_max - self.c_min) * jax.nn.sigmoid(self.r * (v - self.v0))

    def decode(self, total, x, degree):
        return self.strength * total
