"""Couplings by what every connection makes of its two ends, for functions that are no product of one of each."""

import abc
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Features, Sources
from ..anatomy.edges import Edges
from ..parameters.declaring import parameters
from .base import AbstractCoupling, check_states, taken_by


class AbstractPairCoupling(AbstractCoupling):
    r"""Input to a region from all others, $\mathrm{decode}\big(\sum_j W_{ij}\, \mathrm{message}(x_j, x_i, p_{ij})\big)$.

    Where a function of both ends is a sum of products, `gx.AbstractCoupling` is many times faster: it encodes N values a step, where
    here N x N messages are made.

    A subclass gives `message`. Parameters that it names after the two ends are the connections' own: one value, or by
    `gx.per_connection` one for each connection, `(target, source)`, with a domain as any other. All other parameters are one value,
    or one a region, and in `message` that of the target.

    With delays, the source's end is what arrives: what it sent as long ago as the connection takes. The target's is as it is now.

    Connections that change while the network runs have `edge_states`, such as a weight that learns: the solver steps them with the model's,
    by `edge_drift`, and `message` is handed them by name. A run goes on from them (`run.final`), and `gx.monitors.Connections` records them.
    See `gx.plasticity`.

    Attributes:
        edge_states: names of states that each connection has. Each is a parameter of the connections too: where it begins.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> class Shunting(gx.AbstractPairCoupling):
        ...     strength: gx.Array = gx.parameter(1.0, domain=gx.Positive())
        ...     steepness: gx.Array = gx.parameter(3.0, domain=gx.Positive())
        ...
        ...     def message(self, x_source, x_target, steepness):
        ...         return jnp.tanh(steepness * (x_source - x_target) - x_source * x_target / 10)
        ...
        ...     def decode(self, total, x, degree):
        ...         return self.strength * total
        >>> net = gx.Network(gx.models.Linear(), Shunting(source="x"), jnp.ones((3, 3)) - jnp.eye(3))
        >>> [f"{x:.3f}" for x in net.input(0.0, jnp.array([[0.0, 1.0, 2.0]]))[0]]
        ['1.995', '-0.002', '-1.997']
    """

    edge_states: ClassVar[tuple[str, ...]] = ()
    #: Names of the parameters that are the connections' own, from the arguments of `message` and `edge_drift`.
    of_connections: ClassVar[tuple[str, ...]] = ()

    edges: Edges | None = eqx.field(default=None, static=True, kw_only=True, repr=False)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not getattr(cls.message, "__isabstractmethod__", False):
            check_states(cls, AbstractPairCoupling, "edge_states", "edge_drift", "x_source, x_target")
            methods = ("message", "edge_drift") if cls.edge_states else ("message",)
            named = [name for method in methods for name in _own(cls, method)]
            cls.of_connections = tuple(dict.fromkeys([*named, *cls.edge_states]))

    @abc.abstractmethod
    def message(self, *ends: Any, **parameters: Any) -> Any:
        """What a connection hands on, element by element.

        Args:
            ends: `x_source`, what the source sent, `(feature, ...)`: by `encode`, its source rows as they are; and `x_target`, the
                target's own rows, `(source, ...)`.
            parameters: the connections' own parameters and states, `(...)`, by the names that a subclass gives them.

        Returns:
            `(message, ...)`, one row a sum.
        """

    def edge_drift(self, *ends: Any, **parameters: Any) -> dict[str, Any]:
        """Time derivatives of the `edge_states` by name, per ms, element by element; arguments as those of `message`."""
        raise NotImplementedError

    def encode(self, x: Sources) -> Features:
        """What a region sends to all its targets, `(source, node)` to `(feature, node)`: its rows as they are."""
        return x

    def decode(self, total: Features, x: Sources, degree: Float[Array, " node"]) -> Float[Array, "target node"]:
        """What a region makes of the weighted sums of its messages, `(message, node)`: as they are."""
        return total


def _own(cls: type[AbstractPairCoupling], method: str) -> tuple[str, ...]:
    """What a method takes that is the connections' own.

    Raises:
        TypeError: if it takes no two ends, or what is not declared.
    """
    function = getattr(cls, method)
    taken = taken_by(function, 0)
    if len(taken) < 2:
        raise TypeError(
            f"{cls.__name__}.{method} takes the two ends, {method}(self, x_source, x_target), and after them what "
            f"parameters each connection has of its own; got ({', '.join(('self', *taken))})"
        )
    if unknown := [name for name in taken[2:] if name not in parameters(cls)]:
        raise TypeError(
            f"{cls.__name__}.{method} takes {', '.join(unknown)}, and {cls.__name__} declares no such parameter: give it one, "
            f"{unknown[0]}: gx.Array = gx.parameter(0.0), or read what is not the connections' own from self"
        )
    return taken[2:]
