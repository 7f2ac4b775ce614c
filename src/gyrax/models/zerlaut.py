"""Conductance-based mean fields of adaptive exponential integrate-and-fire neurons."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._kinds import reals
from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Interval, Positive, Real
from .base import AbstractModel
from .expansions import Expansion, at_least, erfc, sqrt

Row = Float[Array, "..."]
Populations = Float[Array, "population ..."]  # excitation, inhibition
#: Rate in kHz at which synapses release by themselves: no neuron is ever without fluctuations.
SPONTANEOUS = 1e-6


def _coefficients(values: Any) -> tuple[float, ...]:
    found = reals("P_e or P_i", values)
    if found.shape != (10,):
        raise ValueError(
            f"P_e and P_i, of the thresholds, are polynomials of 10 coefficients (V), got shape {found.shape}"
        )
    return tuple(found.tolist())


class _AbstractZerlautAdaptation(AbstractModel):
    """The neurons: how fast they fire for what reaches them. An order of the expansion says what follows from that."""

    inputs: ClassVar = ("c",)
    limits: ClassVar = {"E": (0.0, None), "I": (0.0, None)}

    g_L: Parameter = parameter(10.0, domain=Positive(), unit="nS", doc="leak conductance")
    E_L_e: Parameter = parameter(-65.0, domain=Real(), unit="mV", doc="leak reversal potential of excitation")
    E_L_i: Parameter = parameter(-65.0, domain=Real(), unit="mV", doc="leak reversal potential of inhibition")
    C_m: Parameter = parameter(200.0, domain=Positive(), unit="pF", doc="membrane capacitance")
    b_e: Parameter = parameter(60.0, domain=Positive(), unit="pA", doc="adaptation of excitation per spike")
    a_e: Parameter = parameter(4.0, domain=Positive(), unit="nS", doc="adaptation of excitation per potential")
    b_i: Parameter = parameter(0.0, domain=Real(), unit="pA", doc="adaptation of inhibition per spike")
    a_i: Parameter = parameter(0.0, domain=Real(), unit="nS", doc="adaptation of inhibition per potential")
    tau_w_e: Parameter = parameter(500.0, domain=Positive(), unit="ms", doc="time constant of excitation's adaptation")
    tau_w_i: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time constant of inhibition's adaptation")
    E_e: Parameter = parameter(0.0, domain=Real(), unit="mV", doc="excitatory reversal potential")
    E_i: Parameter = parameter(-80.0, domain=Real(), unit="mV", doc="inhibitory reversal potential")
    Q_e: Parameter = parameter(1.5, domain=Positive(), unit="nS", doc="excitatory quantal conductance")
    Q_i: Parameter = parameter(5.0, domain=Positive(), unit="nS", doc="inhibitory quantal conductance")
    tau_e: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="decay of excitatory conductances")
    tau_i: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="decay of inhibitory conductances")
    N_tot: Parameter = parameter(10000.0, domain=Positive(), doc="number of neurons")
    p_connect_e: Parameter = parameter(0.05, domain=Interval(0.0, 1.0), doc="probability of an excitatory connection")
    p_connect_i: Parameter = parameter(0.05, domain=Interval(0.0, 1.0), doc="probability of an inhibitory connection")
    g: Parameter = parameter(0.2, domain=Interval(0.0, 1.0), doc="share of inhibitory neurons")
    K_ext_e: Parameter = parameter(400.0, domain=Positive(), doc="excitatory synapses from outside")
    K_ext_i: Parameter = parameter(0.0, domain=Real(), doc="inhibitory synapses from outside, 0 or more")
    T: Parameter = parameter(20.0, domain=Positive(), unit="ms", doc="time scale of the network's activity")
    external_input_ex_ex: Parameter = parameter(0.0, unit="kHz", doc="excitatory drive of excitation")
    external_input_ex_in: Parameter = parameter(0.0, unit="kHz", doc="inhibitory drive of excitation")
    external_input_in_ex: Parameter = parameter(0.0, unit="kHz", doc="excitatory drive of inhibition")
    external_input_in_in: Parameter = parameter(0.0, unit="kHz", doc="inhibitory drive of inhibition")
    tau_OU: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="time constant of the noise")
    weight_noise: Parameter = parameter(10.5, domain=Positive(), unit="kHz", doc="rate that one unit of noise adds")
    S_i: Parameter = parameter(1.0, domain=Positive(), doc="input to inhibition over input to excitation")
    P_e: tuple[float, ...] = eqx.field(
        static=True,
        converter=_coefficients,
        default=(
            -0.04983106,
            0.005063550882777035,
            -0.023470121807314552,
            0.0022951513725067503,
            -0.0004105302652029825,
            0.010547051343547399,
            -0.03659252821136933,
            0.007437487505797858,
            0.001265064721846073,
            -0.04072161294490446,
        ),
    )
    P_i: tuple[float, ...] = eqx.field(
        static=True,
        converter=_coefficients,
        default=(
            -0.05149122024209484,
            0.004003689190271077,
            -0.008352013668528155,
            0.0002414237992765705,
            -0.0005070645080016026,
            0.0014345394104282397,
            -0.014686689498949967,
            0.004502706285435741,
            0.0028472190352532454,
            -0.015357804594594548,
        ),
    )

    @abc.abstractmethod
    def drives(self, c: Row, ou_drift: Row) -> Populations:
        """Rate in kHz of every excitatory synapse from outside."""

    def heard(self, c: Row, ou_drift: Row) -> Populations:
        """What changes of that rate, kHz."""
        return jnp.stack([c, self.S_i * c]) + self.weight_noise * ou_drift

    def adaptation(self, rates: Populations, mu: Populations, W: Populations) -> Populations:
        """Slopes of the adaptation currents, pA/ms."""
        below = _pair(self.a_e, self.a_i) * (mu - _pair(self.E_L_e, self.E_L_i))
        return (below - W) / _pair(self.tau_w_e, self.tau_w_i) + _pair(self.b_e, self.b_i) * rates

    def membrane(
        self, E: Row | Expansion, I: Row | Expansion, drives: Populations, W: Populations
    ) -> tuple[Any, Any, Any]:
        """Mean (mV), standard deviation (mV) and autocorrelation time (ms) of both populations' membrane potentials."""
        inhibition = _pair(self.external_input_ex_in, self.external_input_in_in)
        f_e = (E + SPONTANEOUS) * (1 - self.g) * self.p_connect_e * self.N_tot + drives * self.K_ext_e
        f_i = (I + SPONTANEOUS) * self.g * self.p_connect_i * self.N_tot + inhibition * self.K_ext_i
        G_e, G_i = self.Q_e * self.tau_e * f_e, self.Q_i * self.tau_i * f_i
        G = self.g_L + G_e + G_i
        T_m = self.C_m / G
        mu = (G_e * self.E_e + G_i * self.E_i + self.g_L * _pair(self.E_L_e, self.E_L_i) - W) / G
        power_e = f_e * (self.Q_e / G * (self.E_e - mu) * self.tau_e) ** 2
        power_i = f_i * (self.Q_i / G * (self.E_i - mu) * self.tau_i) ** 2
        variance = 0.5 * (power_e / (self.tau_e + T_m) + power_i / (self.tau_i + T_m))
        # only rates below zero, which a coarse step or a fit may reach, leave no variance
        variance = at_least(variance, 1e-6)
        return mu, sqrt(variance), 0.5 * (power_e + power_i) / variance

    def rate(self, mu: Any, sigma: Any, T_V: Any) -> Any:
        """Firing rates in kHz of both populations, from the fluctuations of their membrane potentials."""
        P = jnp.asarray([self.P_e, self.P_i]).T[:, :, None]
        v, s, theta = (mu + 60) / 10, (sigma - 4) / 6, T_V * self.g_L / self.C_m - 0.5
        linear = P[0] + P[1] * v + P[2] * s + P[3] * theta
        square = P[4] * v**2 + P[5] * s**2 + P[6] * theta**2 + P[7] * v * s + P[8] * v * theta + P[9] * s * theta
        threshold = 1e3 * (linear + square)  # mV
        return erfc((threshold - mu) / (2**0.5 * sigma)) / (2 * T_V)

    def start(self, n: int) -> State:
        return jnp.zeros((len(self.states), n)).at[:2].set(1e-3)


class ZerlautAdaptationFirstOrder(_AbstractZerlautAdaptation):
    r"""Excitatory (regular spiking) and inhibitory (fast spiking) neurons with conductance-based synapses and adaptation:
    di Volo, Romagnoni, Capone & Destexhe (2019), "Biologically realistic mean-field models of conductance-based networks of
    spiking neurons with adaptation", Neural Comput. 31(4), after Zerlaut, Chemla, Chavane & Destexhe (2018), "Modeling
    mesoscopic cortical dynamics using a mean-field model of conductance-based networks of adaptive exponential
    integrate-and-fire neurons", J. Comput. Neurosci. 44.

    $$T \dot E = F_e - E, \quad T \dot I = F_i - I, \quad
    \dot W_p = -\frac{W_p}{\tau_{w,p}} + b_p \nu_p + \frac{a_p (\mu_{V,p} - E_{L,p})}{\tau_{w,p}}$$

    $$F_p = \frac{1}{2 T_V} \mathrm{erfc}\Big( \frac{V_{thre} - \mu_V}{\sqrt 2 \sigma_V} \Big), \quad
    V_{thre} = P_0 + P_1 v + P_2 s + P_3 \theta + P_4 v^2 + P_5 s^2 + P_6 \theta^2 + P_7 v s + P_8 v \theta + P_9 s \theta$$

    $$v = \frac{\mu_V + 60}{10}, \quad s = \frac{\sigma_V - 4}{6}, \quad \theta = \frac{T_V g_L}{C_m} - 0.5$$

    The membrane potential's mean, standard deviation and autocorrelation time follow from the rates $f_s$ at which synapses of
    type s in {e, i} are hit, with $\mu_G = g_L + \sum_s Q_s \tau_s f_s$, $T_m = C_m / \mu_G$, $U_s = Q_s (E_s - \mu_V) / \mu_G$:

    $$\mu_V = \frac{\sum_s Q_s \tau_s f_s E_s + g_L E_L - W}{\mu_G}, \quad
    \sigma_V^2 = \sum_s \frac{f_s (U_s \tau_s)^2}{2 (\tau_s + T_m)}, \quad
    T_V = \frac{\sum_s f_s (U_s \tau_s)^2}{\sum_s f_s (U_s \tau_s)^2 / (\tau_s + T_m)}$$

    $$f_e = (E + \nu_0)(1 - g)\, p_e N_{tot} + \nu_{ext,e} K_{ext,e}, \quad
    f_i = (I + \nu_0)\, g\, p_i N_{tot} + \nu_{ext,i} K_{ext,i}$$

    States are the firing rates `E` and `I` (kHz, never negative), adaptation currents `W_e` and `W_i` (pA), and `ou_drift`,
    a number that decays with tau_OU: white noise on it makes it an Ornstein-Uhlenbeck process, which reaches both
    populations weight_noise times. One input `c` (kHz), the weighted sum of other regions' E, reaches inhibitory cells S_i
    times. What is heard is never negative: max(c + weight_noise ou_drift, 0) plus the constant drive is $\nu_{ext,e}$.

    Symbols, defaults and the rate $\nu_0$ = 1e-6 kHz of spontaneous release are those of The Virtual Brain, whose S_i acts
    in its second order only. The coefficients `P_e` and `P_i` of the threshold (V) belong to the neurons that they were
    fitted to; they are no parameters that a fit moves.

    Example:
        >>> model = ZerlautAdaptationFirstOrder(b_e=5.0, external_input_ex_ex=0.315e-3, external_input_in_ex=0.315e-3)
        >>> model.drift(0.0, model.start(84), jnp.zeros((1, 84))).shape
        (5, 84)
    """

    reference: ClassVar = "di Volo, Romagnoni, Capone & Destexhe (2019), doi:10.1162/neco_a_01173"
    peers: ClassVar = {"tvb": "ZerlautAdaptationFirstOrder"}
    states: ClassVar = ("E", "I", "W_e", "W_i", "ou_drift")

    def drift(self, t, y: State, u: Inputs) -> State:
        E, I, W_e, W_i, ou_drift = y
        rates, W = jnp.stack([E, I]), jnp.stack([W_e, W_i])
        mu, sigma, T_V = self.membrane(E, I, self.drives(u[0], ou_drift), W)
        slow = [*self.adaptation(rates, mu, W), -ou_drift / self.tau_OU]
        return jnp.stack([*((self.rate(mu, sigma, T_V) - rates) / self.T), *slow])

    def drives(self, c: Row, ou_drift: Row) -> Populations:
        """Rate in kHz of every excitatory synapse from outside."""
        return _rectified(self.heard(c, ou_drift)) + _pair(self.external_input_ex_ex, self.external_input_in_ex)


class ZerlautAdaptationSecondOrder(_AbstractZerlautAdaptation):
    r"""The same neurons, with the covariances of their rates: the mean field of second order in the size of a population, El
    Boustani & Destexhe (2009), "A master equation formalism for macroscopic modeling of asynchronous irregular activity
    states", Neural Comput. 21(1), with the transfer functions and the adaptation of di Volo et al. (2019).

    $$T \dot\nu_\mu = F_\mu - \nu_\mu + \frac12 \sum_{\lambda, \eta} c_{\lambda \eta}
    \frac{\partial^2 F_\mu}{\partial \nu_\lambda \partial \nu_\eta}$$

    $$T \dot c_{\lambda \eta} = \delta_{\lambda \eta} \frac{F_\lambda (1/T - F_\lambda)}{N_\lambda}
    + (F_\lambda - \nu_\lambda)(F_\eta - \nu_\eta)
    + \sum_\mu \Big( \frac{\partial F_\lambda}{\partial \nu_\mu} c_{\eta \mu}
    + \frac{\partial F_\eta}{\partial \nu_\mu} c_{\lambda \mu} \Big) - 2 c_{\lambda \eta}$$

    with $\nu = (E, I)$, $N_e = (1 - g) N_{tot}$ and $N_i = g N_{tot}$. States besides those of
    `ZerlautAdaptationFirstOrder` are the covariances `C_ee`, `C_ei` and `C_ii` (kHz^2); all else is as there, but for
    the excitatory drive from outside, which is max(c + weight_noise ou_drift + the constant drive, 0) as in The Virtual Brain.

    The last equation is Lyapunov's for the rates made linear. The Virtual Brain departs from it, and is not followed: its
    derivatives of F are per Hz where rates and covariances are in kHz, so that covariances hardly act, and in its equation of
    `C_ei` the derivatives of F_e and F_i are in each other's place.

    The expansion holds near a steady state. Where rates leap, as between silence and activity, the square of F - nu makes
    covariances that the curvature of F multiplies, and rates may grow without bounds: there, take the first order.

    Example:
        >>> model = ZerlautAdaptationSecondOrder(b_e=5.0, external_input_ex_ex=0.315e-3, external_input_in_ex=0.315e-3)
        >>> model.drift(0.0, model.start(84), jnp.zeros((1, 84))).shape
        (8, 84)
    """

    reference: ClassVar = "El Boustani & Destexhe (2009), doi:10.1162/neco.2009.02-08-710"
    peers: ClassVar = {"tvb": "ZerlautAdaptationSecondOrder"}
    states: ClassVar = ("E", "I", "C_ee", "C_ei", "C_ii", "W_e", "W_i", "ou_drift")

    def drift(self, t, y: State, u: Inputs) -> State:
        E, I, C_ee, C_ei, C_ii, W_e, W_i, ou_drift = y
        rates, W = jnp.stack([E, I]), jnp.stack([W_e, W_i])
        F, slopes, curvatures, mu = self.expanded(E, I, self.drives(u[0], ou_drift), W)
        (F_e, F_i), (off_e, off_i), ((e_E, i_E), (e_I, i_I)) = F, F - rates, slopes
        bent = 0.5 * (C_ee * curvatures[0] + 2 * C_ei * curvatures[1] + C_ii * curvatures[2])
        shot_e = F_e * (1 / self.T - F_e) / ((1 - self.g) * self.N_tot)
        shot_i = F_i * (1 / self.T - F_i) / (self.g * self.N_tot)
        covariances = [
            shot_e + off_e**2 + 2 * (C_ee * e_E + C_ei * e_I - C_ee),
            off_e * off_i + C_ee * i_E + C_ei * (e_E + i_I) + C_ii * e_I - 2 * C_ei,
            shot_i + off_i**2 + 2 * (C_ei * i_E + C_ii * i_I - C_ii),
        ]
        fast = jnp.stack([*(F - rates + bent), *covariances]) / self.T
        return jnp.stack([*fast, *self.adaptation(rates, mu, W), -ou_drift / self.tau_OU])

    def drives(self, c: Row, ou_drift: Row) -> Populations:
        """As in the first order, but no rate is negative with the constant drive in it."""
        return _rectified(self.heard(c, ou_drift) + _pair(self.external_input_ex_ex, self.external_input_in_ex))

    def expanded(
        self, E: Row, I: Row, drives: Populations, W: Populations
    ) -> tuple[Populations, Float[Array, "2 population ..."], Float[Array, "3 population ..."], Populations]:
        """Both transfer functions (kHz), their derivatives by E and I, those by EE, EI and II, and the mean potentials (mV)."""
        along_E, along_I = (jnp.asarray(x, E.dtype)[:, None, None] for x in ([1.0, 0.0, 1.0], [0.0, 1.0, 1.0]))
        still = jnp.zeros_like(along_E)
        mu, sigma, T_V = self.membrane(Expansion(E, along_E, still), Expansion(I, along_I, still), drives, W)
        F = self.rate(mu, sigma, T_V)
        EE, II, both = F.second
        return F.value, F.first[:2], jnp.stack([EE, 0.5 * (both - EE - II), II]), mu.value


def _pair(excitation: Any, inhibition: Any) -> Populations:
    """A parameter of either population, to go with `(population, node)`."""
    pair = jnp.stack(jnp.broadcast_arrays(excitation, inhibition))
    return pair if pair.ndim == 2 else pair[:, None]


def _rectified(rate: Populations) -> Populations:
    # slope 1 at zero: that is where an input that starts to be felt begins
    return jnp.where(rate < 0, 0.0, rate)
