"""The two-population Wong-Wang model with a gain of every region's own."""

from typing import ClassVar

from jaxtyping import Array, Float

from .._types import Parameter
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .wong_wang import threshold_linear
from .wong_wang_exc_inh import _AbstractWongWangExcInh


class DecoBalancedExcInh(_AbstractWongWangExcInh):
    r"""The equations of `WongWangExcInh` with a gain that differs between regions, as gene expression or receptor density
    would have it: Deco et al. (2021), "Dynamical consequences of regional heterogeneity in the brain's transcriptional
    landscape", Sci. Adv. 7.

    $$H_p(x) = \frac{M_i (a_p x - b_p)}{1 - e^{-d_p M_i (a_p x - b_p)}}, \quad p \in \{e, i\}$$

    States, inputs and the other parameters are those of `WongWangExcInh`, and with $M_i = 1$ the models are one. `M_i` is
    one value a region, the paper's 1 + B + Z R_i from a map R_i. The balanced `J_i`, at which each region fires
    at 3 Hz (`S_e` about 0.165), is what `gx.FIC(target=0.165)` finds.

    Example:
        >>> import jax.numpy as jnp
        >>> model = DecoBalancedExcInh(M_i=[1.0, 1.5])
        >>> bool(jnp.diff(model.rate_e(jnp.full(2, 0.5))) > 0)
        True
    """

    reference: ClassVar = "Deco et al. (2021), doi:10.1126/sciadv.abf4752"
    peers: ClassVar = {"tvb": "DecoBalancedExcInh"}

    M_i: Parameter = parameter(1.0, domain=Positive(), doc="gain of both populations")

    def rate_e(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_e in Hz of the excitatory population at the input current x in nA."""
        return threshold_linear(self.d_e * self.M_i * (self.a_e * x - self.b_e)) / self.d_e

    def rate_i(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_i in Hz of the inhibitory population at the input current x in nA."""
        return threshold_linear(self.d_i * self.M_i * (self.a_i * x - self.b_i)) / self.d_i
