"""What every coupling is: encode at the source, weighted (delayed) sum, decode at the target."""

import abc
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from .._kinds import expect
from .._types import Features, Matrix, Sources
from ..anatomy.connectome import Connectome
from ..anatomy.sparse import Sparse
from ..delays import AbstractDelay
from ..parameters.declaring import Parametric, array_of, name_of, names_of, parameters

_weights = array_of("weights")


class AbstractCoupling(Parametric):
    """Input to a region from all others. `encode` runs once a step on N values, `decode` on N sums.

    What sends may have states of its own, such as the resources of its synapses (`source_states`): the solver steps them with the model's, by
    `source_drift`, and `encode` is handed them by name.

    Attributes:
        source_states: names of states that each source has, one value a region. Each is a parameter too: where it begins.
        limits: for some of its states, the `(lowest, highest)` value after each step; None for no limit on a side.
        source: the states or outputs of the model that are sent.
        target: the model inputs that are fed; left out, all the model has. Couplings of one input add up.
        weights: this coupling's own, `(target, source)`; left out, the connectome's. Another `gx.Connectome` of the same
            regions brings its tract lengths too. Between two groups of regions, an array as large as they are.
            `gx.Sparse` weights act at once, from node to node: also between the vertices of a surface.
        delay: this coupling's own; left out, the network's. `gx.NoDelay()` acts at once.
    """

    source_states: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[dict[str, tuple[float | None, float | None]]] = {}

    source: tuple[str, ...] = eqx.field(converter=name_of("source"), static=True, kw_only=True)
    target: tuple[str, ...] | None = eqx.field(default=None, converter=names_of("target"), static=True, kw_only=True)
    weights: Matrix | Float[Array, "target source"] | Sparse | Connectome | None = eqx.field(
        default=None,
        converter=lambda w: w if isinstance(w, Sparse | Connectome) else _weights(w),
        kw_only=True,
    )
    delay: AbstractDelay | None = eqx.field(default=None, kw_only=True)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        check_states(cls, AbstractCoupling, "source_states", "source_drift", "x")
        if not hasattr(cls, "message") and (own := {"edge_states", "edge_drift"} & set(vars(cls))):
            raise TypeError(
                f"{cls.__name__} has {own.pop()}, which is of connections: subclass gx.AbstractPairCoupling, whose message is handed "
                "their states, or say source_states and source_drift, of what sends"
            )
        for method in ("encode", "source_drift"):
            if unknown := [n for n in taken_by(getattr(cls, method), 1) if n not in cls.source_states]:
                raise TypeError(
                    f"{cls.__name__}.{method} takes {', '.join(unknown)} beside x, and source_states are {cls.source_states}: name it "
                    "there, or read what is no state from self"
                )

    def __check_init__(self):
        expect("delay", self.delay, (AbstractDelay, None), "conduction delays", "gx.Delay(speed=3.0), in mm/ms")

    @abc.abstractmethod
    def encode(self, *x: Any, **states: Any) -> Features:
        """What a region sends: `(source, node)` to `(feature, node)`; after `x` the `source_states`, `(node,)`, by name."""

    def source_drift(self, *x: Any, **states: Any) -> dict[str, Any]:
        """Time derivatives of the `source_states` by name, per ms, each `(node,)`: of the sources `(source, node)`, and the states by name."""
        raise NotImplementedError

    @abc.abstractmethod
    def decode(self, total: Features, x: Sources, degree: Float[Array, " node"]) -> Float[Array, "target node"]:
        """What a region makes of what it hears.

        Args:
            total: weighted sums of what was sent, `(feature, node)`.
            x: the region's own source values now, `(source, node)`.
            degree: sum of the weights that lead to each region, `(node,)`.
        """


def check_states(cls: type[AbstractCoupling], base: type[AbstractCoupling], which: str, drift: str, ends: str) -> None:
    """What a class says of states of its own, as it is made.

    Args:
        cls: the class.
        base: the class that declares what follows.
        which: attribute that names them.
        drift: method that derives them.
        ends: what that method takes before them.

    Raises:
        TypeError: for names that do not fit each other.
    """
    names = getattr(cls, which)
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{cls.__name__}.{which} is a tuple of names, such as ('w',); got {names!r}")
    if undeclared := [name for name in names if name not in parameters(cls)]:
        raise TypeError(
            f"{cls.__name__}.{which} names '{undeclared[0]}', and a state begins somewhere: declare "
            f"{undeclared[0]}: gx.Array = gx.parameter(1.0)"
        )
    moved = any(drift in vars(kind) for kind in cls.__mro__[: cls.__mro__.index(base)])
    if moved and not names:
        raise TypeError(f"{cls.__name__}.{drift} moves states, and {which} names none: {which} = ('w',)")
    for state, ends_of in cls.limits.items():
        if not (isinstance(ends_of, tuple) and len(ends_of) == 2) or not _below(*ends_of):
            raise TypeError(
                f"{cls.__name__}.limits['{state}'] is a pair (lowest, highest), None for no limit on a side; got {ends_of!r}"
            )
    if names and not moved:
        raise TypeError(
            f"{cls.__name__} has {which} {names} and nothing that moves them: define {drift}(self, {ends}, {', '.join(names)}), which "
            "returns their time derivatives by name"
        )


def _below(low: Any, high: Any) -> bool:
    numbers = [x for x in (low, high) if x is not None]
    return all(isinstance(x, float | int) for x in numbers) and (len(numbers) < 2 or numbers[0] < numbers[1])


def taken_by(method: Callable[..., Any], ends: int) -> tuple[str, ...]:
    """Names of what a method takes after itself and so many ends."""
    taken = inspect.signature(method).parameters.values()
    return tuple(p.name for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))[1 + ends :]
