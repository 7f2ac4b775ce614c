"""The adaptive linear-nonlinear cascade: mean field of adaptive exponential integrate-and-fire neurons."""

import functools
from importlib import resources
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..anatomy.connectome import Connectome
from ..couplings import AbstractCoupling, Linear
from ..delays import ConnectionDelays
from ..parameters.declaring import parameter
from ..parameters.domains import Below, Positive, Real
from .base import AbstractModel

#: Membrane capacitance (pF) and time constant (ms) of the neuron that the tables are of.
C, TAU_M = 200.0, 20.0


class ALN(AbstractModel):
    r"""An excitatory (E) and an inhibitory (I) population of adaptive exponential integrate-and-fire neurons, Cakan &
    Obermayer (2020), "Biophysically grounded mean-field models of neural populations under electrical stimulation", PLoS
    Comput. Biol. 16(4); the cascade is Augustin et al. (2017), doi:10.1371/journal.pcbi.1005545.

    $$\tau(\mu_a', \sigma_a)\, \dot\mu_a = J_{aE} s_{aE} + J_{aI} s_{aI} + \mu_a^{ou} + \mu_a^{ext} - \mu_a,
    \quad \mu_E' = \mu_E - I_A / C, \quad \mu_I' = \mu_I$$

    $$\tau_{s,b}\, \dot s_{ab} = (1 - s_{ab})\, z_{ab} - s_{ab}, \quad
    \tau_{s,b}^2\, \dot v_{ab} = (1 - s_{ab})^2 z^{(2)}_{ab} + (z^{(2)}_{ab} - 2 \tau_{s,b} (1 + z_{ab}))\, v_{ab}$$

    $$\sigma_a^2 = \sum_b \frac{2 J_{ab}^2 v_{ab} \tau_{s,b} \tau_m}{(1 + z_{ab}) \tau_m + \tau_{s,b}} + \sigma_{ext,a}^2$$

    $$z_{EE} = c_{EE} K_E r_E^{late} + c_{gl} K_{gl} (\textstyle\sum_j W_j r_{E,j}^{late} + r_{ext}), \quad
    z^{(2)}_{EE} = c_{EE}^2 K_E r_E^{late} + c_{gl}^2 K_{gl} (\sum_j W_j^2 r_{E,j}^{late} + r_{ext})$$

    $$\tau_A \dot I_A = a (V(\mu_E', \sigma_E) - E_A) - I_A + \tau_A b\, r(\mu_E', \sigma_E), \quad
    \tau_r \dot r_a = r(\mu_a', \sigma_a) - r_a$$

    The other z alike, without the long-range term in any but E from E. Each c stands for the parameter times tau_s / |J|.
    The transfer functions r, V and tau come from a table for one neuron (C = 200 pF, g_L = 10 nS, V_T = -50 mV, ...), which
    is why that one's parameters are no parameters here; they are linear between its nodes and constant beyond its edges,
    mu in [-1, 7] mV/ms and sigma in [0.5, 5] mV/sqrt(ms).

    States, with neurolib's names: firing rates `r_exc`, `r_inh` (1/ms); filtered mean inputs `mufe`, `mufi` (mV/ms);
    adaptation current `IA` (pA); mean and variance of the share of open synapses, `seem` and `seev` (E from E), `seim` and
    `seiv` (E from I), `siem`, `siev`, `siim`, `siiv`; external input `mue_ou`, `mui_ou` (mV/ms), which noise on these two
    states makes an Ornstein-Uhlenbeck process, of neurolib's sigma_ou. Outputs `rates_exc` and `rates_inh` are the rates in Hz.

    Inputs: `local_exc`, `local_inh`, what the region's own populations fired `de` and `di` ms ago; `network`, `network_sq`,
    what other regions' excitation fired, weighted with W and with W squared; `ext_exc_rate`, `ext_inh_rate`, external
    rates (all these in 1/ms); `ext_exc_current`, `ext_inh_current` (mV/ms). A region without couplings hears nothing, not
    even itself: `ALN.couplings` wires it. Long-range weights are relative, 1 at most, and W is zero on its diagonal.

    The rates follow the transfer functions within tau_r, as in neurolib's networks of mixed models (1 / lambda): sigma
    depends on what arrives, so the rates are no function of the state alone. neurolib's own model lags by one step instead,
    which is the same if tau_r = dt and the solver is Euler's; steps of more than 0.1 ms want a longer tau_r. Defaults are
    neurolib's, of which neither adaptation nor noise is switched on. Its options `filter_sigma` and
    `distr_delay`, off by default, are not here.

    Example:
        >>> import gyrax as gx
        >>> connectome = gx.datasets.load("dk84").connectome.normalised("max")
        >>> net = gx.Network(ALN(b=20.0), ALN.couplings(connectome), connectome, gx.Delay(20.0))
        >>> net.model.read(("rates_exc",), net.start()).shape
        (1, 84)
    """

    states: ClassVar = (
        *("r_exc", "r_inh", "mufe", "mufi", "IA"),
        *("seem", "seim", "siem", "siim", "seev", "seiv", "siev", "siiv", "mue_ou", "mui_ou"),
    )
    inputs: ClassVar = (
        *("local_exc", "local_inh", "network", "network_sq"),
        *("ext_exc_rate", "ext_inh_rate", "ext_exc_current", "ext_inh_current"),
    )
    outputs: ClassVar = ("rates_exc", "rates_inh")
    limits: ClassVar = {name: (0.0, None) for name in ("seev", "seiv", "siev", "siiv")}
    reference: ClassVar = "Cakan & Obermayer (2020), doi:10.1371/journal.pcbi.1007822"
    peers: ClassVar = {"neurolib": "ALNModel"}

    cee: Parameter = parameter(0.3, domain=Positive(), unit="mV/ms", doc="current of a synapse, E from E")
    cei: Parameter = parameter(0.5, domain=Positive(), unit="mV/ms", doc="current of a synapse, E from I")
    cie: Parameter = parameter(0.3, domain=Positive(), unit="mV/ms", doc="current of a synapse, I from E")
    cii: Parameter = parameter(0.5, domain=Positive(), unit="mV/ms", doc="current of a synapse, I from I")
    Ke: Parameter = parameter(800.0, domain=Positive(), doc="excitatory synapses a neuron")
    Ki: Parameter = parameter(200.0, domain=Positive(), doc="inhibitory synapses a neuron")
    c_gl: Parameter = parameter(0.3, domain=Positive(), unit="mV/ms", doc="current of a synapse from other regions")
    Ke_gl: Parameter = parameter(250.0, domain=Positive(), doc="synapses a neuron from each other region")
    Jee_max: Parameter = parameter(2.43, domain=Positive(), unit="mV/ms", doc="largest synaptic current, E from E")
    Jei_max: Parameter = parameter(-3.3, domain=Below(0.0), unit="mV/ms", doc="largest synaptic current, E from I")
    Jie_max: Parameter = parameter(2.6, domain=Positive(), unit="mV/ms", doc="largest synaptic current, I from E")
    Jii_max: Parameter = parameter(-1.64, domain=Below(0.0), unit="mV/ms", doc="largest synaptic current, I from I")
    tau_se: Parameter = parameter(2.0, domain=Positive(), unit="ms", doc="decay of excitatory synapses")
    tau_si: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="decay of inhibitory synapses")
    sigmae_ext: Parameter = parameter(1.5, domain=Positive(), unit="mV/sqrt(ms)", doc="external fluctuations to E")
    sigmai_ext: Parameter = parameter(1.5, domain=Positive(), unit="mV/sqrt(ms)", doc="external fluctuations to I")
    mue_ext_mean: Parameter = parameter(0.4, domain=Real(), unit="mV/ms", doc="mean external input to E")
    mui_ext_mean: Parameter = parameter(0.3, domain=Real(), unit="mV/ms", doc="mean external input to I")
    tau_ou: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="time constant of the external input")
    a: Parameter = parameter(0.0, domain=Real(scale=15.0), unit="nS", doc="subthreshold adaptation")
    b: Parameter = parameter(0.0, domain=Real(scale=40.0), unit="pA", doc="adaptation a spike")
    EA: Parameter = parameter(-80.0, domain=Real(), unit="mV", doc="reversal potential of adaptation")
    tauA: Parameter = parameter(200.0, domain=Positive(), unit="ms", doc="time constant of adaptation")
    tau_r: Parameter = parameter(0.1, domain=Positive(), unit="ms", doc="time in which the rates follow")

    def drift(self, t, y: State, u: Inputs) -> State:
        r_exc, r_inh, mufe, mufi, IA, seem, seim, siem, siim, seev, seiv, siev, siiv, mue_ou, mui_ou = y
        local_exc, local_inh, network, network_sq, ext_e, ext_i, current_e, current_i = u
        exc, inh, c_gl = self.Ke * local_exc, self.Ki * local_inh, self.c_gl * self.tau_se / self.Jee_max
        to_e = c_gl * self.Ke_gl * (network + ext_e), c_gl**2 * self.Ke_gl * (network_sq + ext_e)
        to_i = c_gl * self.Ke_gl * ext_i, c_gl**2 * self.Ke_gl * ext_i
        dseem, dseev, ee = _synapse(seem, seev, self.Jee_max, self.cee, self.tau_se, exc, *to_e)
        dseim, dseiv, ei = _synapse(seim, seiv, self.Jei_max, self.cei, self.tau_si, inh)
        dsiem, dsiev, ie = _synapse(siem, siev, self.Jie_max, self.cie, self.tau_se, exc, *to_i)
        dsiim, dsiiv, ii = _synapse(siim, siiv, self.Jii_max, self.cii, self.tau_si, inh)
        at_e = mufe - IA / C, jnp.sqrt(ee + ei + self.sigmae_ext**2)
        at_i = mufi, jnp.sqrt(ie + ii + self.sigmai_ext**2)
        mue = self.Jee_max * seem + self.Jei_max * seim + mue_ou + current_e
        mui = self.Jie_max * siem + self.Jii_max * siim + mui_ou + current_i
        (rate_e, V, tau_e), (rate_i, _, tau_i) = transfer(*at_e), transfer(*at_i)
        return jnp.stack(
            [
                (rate_e - r_exc) / self.tau_r,
                (rate_i - r_inh) / self.tau_r,
                (mue - mufe) / tau_e,
                (mui - mufi) / tau_i,
                (self.a * (V - self.EA) - IA) / self.tauA + self.b * rate_e,
                *(dseem, dseim, dsiem, dsiim, dseev, dseiv, dsiev, dsiiv),
                (self.mue_ext_mean - mue_ou) / self.tau_ou,
                (self.mui_ext_mean - mui_ou) / self.tau_ou,
            ]
        )

    def rates_exc(self, y: State) -> Float[Array, " node"]:
        """Firing rate of the excitatory population, Hz."""
        return 1000 * y[0]

    def rates_inh(self, y: State) -> Float[Array, " node"]:
        """Firing rate of the inhibitory population, Hz."""
        return 1000 * y[1]

    def start(self, n: int) -> State:
        """Silence, with the external input at its mean."""
        means = self.mue_ext_mean, self.mui_ext_mean
        rows = [*(jnp.zeros(()) for _ in self.states[:-2]), *means]
        return jnp.stack([jnp.broadcast_to(row, n) for row in rows])

    @staticmethod
    def couplings(connectome: Connectome, de: float = 4.0, di: float = 2.0) -> dict[str, AbstractCoupling]:
        """What a network of this model needs: each region hears itself late, and other regions' excitation.

        `network` takes its weights and delays from the network; `network_sq` has the connectome's squared ones of its own,
        so build it anew after a change of weights.

        Args:
            connectome: relative weights, 1 at most (`connectome.normalised("max")`), with a zero diagonal.
            de: delay in ms of what the region's own excitation sends.
            di: delay in ms of what the region's own inhibition sends.
        """
        n = len(connectome.labels)

        def own(source: str, target: str, ms: float) -> Linear:
            return Linear(source=source, target=target, weights=np.eye(n), delay=ConnectionDelays(np.full((n, n), ms)))

        return {
            "local_exc": own("r_exc", "local_exc", de),
            "local_inh": own("r_inh", "local_inh", di),
            "network": Linear(source="r_exc", target="network"),
            "network_sq": Linear(source="r_exc", target="network_sq", weights=connectome.weights**2),
        }


def transfer(mu: Float[Array, "..."], sigma: Float[Array, "..."]) -> Float[Array, "3 ..."]:
    """Rate (1/ms), mean potential (mV) and time constant (ms) of the neuron at its input's mean and deviation.

    Args:
        mu: mean, mV/ms.
        sigma: standard deviation, mV/sqrt(ms).

    Example:
        >>> rate, V, tau = transfer(jnp.array(2.0), jnp.array(1.5))
        >>> bool(0.04 < rate < 0.06)
        True
    """
    tables, starts, steps = _tables()
    at = [(x - start) / step for x, start, step in zip((mu, sigma), starts, steps, strict=True)]
    # under vmap the three share the places they read: half the cost of three calls
    read = jax.vmap(lambda table: map_coordinates(table, at, order=1, mode="nearest"))
    return read(jnp.asarray(tables, mu.dtype))


@functools.cache
def _tables() -> tuple[np.ndarray, tuple[float, ...], tuple[float, ...]]:
    """The three tables `(3, mu, sigma)`, and where their axes start and how far the nodes lie apart."""
    with resources.as_file(resources.files("gyrax") / "data" / "tables" / "aln.npz") as path, np.load(path) as stored:
        tables, axes = np.stack([stored[name] for name in ("r", "V", "tau")]), [stored["mu"], stored["sigma"]]
    steps = [float(last - first) / (size - 1) for (first, last), size in zip(axes, tables.shape[1:], strict=True)]
    return tables, tuple(float(first) for first, _ in axes), tuple(steps)


def _synapse(s, v, J, c, tau, heard, far=0.0, far_sq=0.0):
    """Derivatives of the mean and the variance of open synapses, and what the variance adds to the input's."""
    share = c * tau / jnp.abs(J)  # so that one spike's effect is c, whatever J and tau
    z, z_sq = share * heard + far, share**2 * heard + far_sq
    ds = ((1 - s) * z - s) / tau
    dv = ((1 - s) ** 2 * z_sq + (z_sq - 2 * tau * (1 + z)) * v) / tau**2
    variance = 2 * J**2 * jnp.where(v < 0, 0, v) * tau * TAU_M / ((1 + z) * TAU_M + tau)  # a step may pass below 0
    return ds, dv, variance
