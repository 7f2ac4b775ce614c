"""What every coupling is: encode at the source, weighted (delayed) sum, decode at the target."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from .._kinds import expect
from .._types import Features, Matrix, Sources
from ..anatomy.connectome import Connectome
from ..anatomy.sparse import Sparse
from ..delays import AbstractDelay
from ..parameters.declaring import Parametric, array_of, name_of, names_of

_weights = array_of("weights")


class AbstractCoupling(Parametric):
    """Input to a region from all others. `encode` runs once a step on N values, `decode` on N sums.

    Attributes:
        source: the states or outputs of the model that are sent.
        target: the model inputs that are fed; left out, all the model has. Couplings of one input add up.
        weights: this coupling's own, `(target, source)`; left out, the connectome's. Another `gx.Connectome` of the same
            regions brings its tract lengths too. Between two groups of regions, an array as large as they are.
            `gx.Sparse` weights act at once, from node to node: also between the vertices of a surface.
        delay: this coupling's own; left out, the network's. `gx.NoDelay()` acts at once.
    """

    source: tuple[str, ...] = eqx.field(converter=name_of("source"), static=True, kw_only=True)
    target: tuple[str, ...] | None = eqx.field(default=None, converter=names_of("target"), static=True, kw_only=True)
    weights: Matrix | Float[Array, "target source"] | Sparse | Connectome | None = eqx.field(
        default=None,
        converter=lambda w: w if isinstance(w, Sparse | Connectome) else _weights(w),
        kw_only=True,
    )
    delay: AbstractDelay | None = eqx.field(default=None, kw_only=True)

    def __check_init__(self):
        expect("delay", self.delay, (AbstractDelay, None), "conduction delays", "gx.Delay(speed=3.0), in mm/ms")

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
