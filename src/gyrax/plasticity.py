"""Connections that change while the network runs: short-term plasticity, Hebbian and homeostatic rules, at every step.

Rules that change parameters piece by piece between runs are `gx.tune`'s.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from ._kinds import expect
from ._types import Parameter
from .couplings import AbstractCoupling, AbstractPairCoupling
from .network import Network
from .network.carrying import opened
from .parameters.declaring import parameter
from .parameters.domains import Interval, Positive, Real
from .recordings import Final
from .recordings.carried import check_carried

__all__ = ["Hebbian", "Oja", "TsodyksMarkram", "TsodyksMarkramSources", "Vogels", "as_learnt"]


def as_learnt(network: Network, final: Final) -> Network:
    """The network whose couplings' states begin as a run has left them: weights that were learnt, as parameters again.

    So they can be looked at, saved with the network, taken by another run from another state, or by a coupling without plasticity:
    `gx.couplings.Linear(source="x", weights=connectome.weights * learnt.coupling.w)`.

    Args:
        network: with such couplings.
        final: `run.final` of a run of it, not of several side by side.

    Raises:
        ValueError: if no coupling has states of its own, or the run was of a network that carries others.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.1), Hebbian(source="x", strength=0.01), jnp.ones((2, 2)) - jnp.eye(2))
        >>> learnt = as_learnt(net, gx.simulate(net, 10.0, 1.0, start=jnp.ones((1, 2))).final)
        >>> learnt.coupling.w.shape, bool(learnt.coupling.w[0, 1] > 1.0)
        ((2, 2), True)
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    expect("final", final, Final, "where a run ended", "run.final")
    if not network.n_living:
        raise ValueError("couplings of this network have no states of their own: nothing was learnt")
    check_carried(network, final, "final=")
    for name, own in opened(network, final.y).own.items():
        coupling = network.couplings[name]
        values: dict[str, Any] = {state: row[0] for state, row in own.sources.items()}
        for state, each in own.edges.items():
            edges: Any = coupling.edges  # pyright: ignore[reportAttributeAccessIssue]
            n = network.n_nodes
            begun = getattr(coupling, state)  # which stays where there is no connection; one a region is its target's
            begun = begun[:, None] if begun.ndim == 1 else begun
            values[state] = jnp.where(edges.connected(n), edges.put(each, n), begun)

        def where(n: Any, name: str = name, states: tuple[str, ...] = tuple(values)) -> list[Any]:
            return [getattr(n.couplings[name], state) for state in states]

        network = eqx.tree_at(where, network, list(values.values())) if values else network
    return network


def _used(u, R, U, tau_rec, tau_facil, rate):
    """Derivatives of resources and utilisation at a rate per ms."""
    return {"R": (1 - R) / tau_rec - u * R * rate, "u": (U - u) / tau_facil + U * (1 - u) * rate}


class TsodyksMarkram(AbstractPairCoupling):
    r"""Short-term plasticity of every connection: depression as resources $R$ run out, facilitation as their utilisation $u$ grows.

    The mean field of Tsodyks, Pawelzik & Markram (1998), "Neural networks with dynamic synapses", Neural Computation 10, equations 2.1 to
    2.4 averaged over spikes, as written by Mongillo, Barak & Tsodyks (2008), "Synaptic theory of working memory", Science 319, whose facilitating constants
    are the defaults:

    $$\dot R_{ij} = \frac{1 - R_{ij}}{\tau_\mathrm{rec}} - u_{ij} R_{ij} r_j, \quad
    \dot u_{ij} = \frac{U - u_{ij}}{\tau_\mathrm{facil}} + U (1 - u_{ij}) r_j, \quad
    \mathrm{input}_i = G \sum_j W_{ij} u_{ij} R_{ij} x_j$$

    with the source's rate $r_j = $ `gain` $x_j$ as it arrives. At a steady rate $u = U (1 + \tau_\mathrm{facil} r) / (1 + U \tau_\mathrm{facil} r)$
    and $R = 1 / (1 + u \tau_\mathrm{rec} r)$. Where all connections of a source are alike, `TsodyksMarkramSources` does the same for a fraction of the time.
    One source row and one target row.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.1), TsodyksMarkram(source="x", strength=0.01), jnp.ones((3, 3)) - jnp.eye(3))
        >>> run = gx.simulate(net, 100.0, 1.0, start=jnp.full((1, 3), 5.0), monitors={"u": gx.monitors.Connections(source="u", period=50.0)})
        >>> run["u"].values.shape
        (2, 1, 3, 3)
    """

    edge_states: ClassVar = ("R", "u")
    limits: ClassVar = {"R": (0.0, 1.0), "u": (0.0, 1.0)}

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    U: Parameter = parameter(
        0.2, domain=Interval(0.0, 1.0), doc="utilisation of a first spike, one value or one a connection"
    )
    tau_rec: Parameter = parameter(
        200.0, domain=Positive(), unit="ms", doc="recovery of resources, one value or one a connection"
    )
    tau_facil: Parameter = parameter(
        1500.0, domain=Positive(), unit="ms", doc="decay of facilitation, one value or one a connection"
    )
    gain: Parameter = parameter(
        1e-3, domain=Positive(), unit="1/ms", doc="rate per unit of what is sent: 0.001 for a source in Hz"
    )
    R: Parameter = parameter(1.0, domain=Interval(0.0, 1.0), doc="resources where a run begins")
    u: Parameter = parameter(0.2, domain=Interval(0.0, 1.0), doc="utilisation where a run begins")

    def message(self, x_source, x_target, R, u):
        return u * R * x_source

    def edge_drift(self, x_source, x_target, R, u, U, tau_rec, tau_facil):
        return _used(u, R, U, tau_rec, tau_facil, self.gain * x_source[0])

    def decode(self, total, x, degree):
        return self.strength * total


class TsodyksMarkramSources(AbstractCoupling):
    r"""Short-term plasticity of every source: the equations of `TsodyksMarkram` where all connections of a region are alike.

    What a region sends is $u_j R_j x_j$: weighted sums of one number a region, as fast as `gx.couplings.Linear`. With delays it travels after
    resources were used; they are used as it is sent, not as it arrives.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.1), TsodyksMarkramSources(source="x", strength=0.01), jnp.ones((3, 3)) - jnp.eye(3))
        >>> monitors = {"R": gx.monitors.Subsample(source="coupling.R", period=50.0)}
        >>> gx.simulate(net, 100.0, 1.0, start=jnp.full((1, 3), 5.0), monitors=monitors)["R"].values.shape
        (2, 1, 3)
    """

    source_states: ClassVar = ("R", "u")
    limits: ClassVar = {"R": (0.0, 1.0), "u": (0.0, 1.0)}

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    U: Parameter = parameter(0.2, domain=Interval(0.0, 1.0), doc="utilisation of a first spike")
    tau_rec: Parameter = parameter(200.0, domain=Positive(), unit="ms", doc="recovery of resources")
    tau_facil: Parameter = parameter(1500.0, domain=Positive(), unit="ms", doc="decay of facilitation")
    gain: Parameter = parameter(
        1e-3, domain=Positive(), unit="1/ms", doc="rate per unit of what is sent: 0.001 for a source in Hz"
    )
    R: Parameter = parameter(1.0, domain=Interval(0.0, 1.0), doc="resources where a run begins")
    u: Parameter = parameter(0.2, domain=Interval(0.0, 1.0), doc="utilisation where a run begins")

    def encode(self, x, R, u):
        return u * R * x

    def source_drift(self, x, R, u):
        return _used(u, R, self.U, self.tau_rec, self.tau_facil, self.gain * x[0])

    def decode(self, total, x, degree):
        return self.strength * total


class Hebbian(AbstractPairCoupling):
    r"""Weights that follow the covariance of both ends, and decay: $\tau \dot w_{ij} = \eta\, (x_j - \theta_\mathrm{pre})(y_i - \theta_\mathrm{post}) - (w_{ij} - w_0)$.

    The covariance rule of Sejnowski (1977), "Storing covariance with nonlinearly interacting neurons", J. Math. Biol. 4, with a decay to $w_0$ (`rest`), without
    which weights grow for ever. The input is $G \sum_j W_{ij} w_{ij} x_j$: the connectome says who is connected, and how strongly at $w = 1$.
    $x_j$ is the first source row of a region, and $y_i$ the last one of its target: the same where there is one. One target row.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.1), Hebbian(source="x", strength=0.01), jnp.ones((2, 2)) - jnp.eye(2))
        >>> run = gx.simulate(net, 10.0, 1.0, start=jnp.array([[1.0, 1.0]]), monitors={"w": gx.monitors.Connections(period=10.0)})
        >>> bool(run["w"].values[0, 0, 0, 1] > 1.0)
        True
    """

    edge_states: ClassVar = ("w",)

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    eta: Parameter = parameter(1.0, domain=Positive(), doc="rate of learning, one value or one a connection")
    tau: Parameter = parameter(1000.0, domain=Positive(), unit="ms", doc="time constant of the weights")
    theta_pre: Parameter = parameter(
        0.0, domain=Real(scale=1.0), doc="activity of the source that teaches nothing, one value or one a connection"
    )
    theta_post: Parameter = parameter(
        0.0, domain=Real(scale=1.0), doc="activity of the target that teaches nothing, one value or one a region"
    )
    rest: Parameter = parameter(1.0, domain=Real(), doc="where weights decay to, one value or one a connection")
    w: Parameter = parameter(1.0, domain=Real(), doc="weights where a run begins, one value or one a connection")

    def encode(self, x):
        return x[:1]

    def message(self, x_source, x_target, w):
        return w * x_source

    def edge_drift(self, x_source, x_target, w, eta, rest, theta_pre):
        both = (x_source[0] - theta_pre) * (x_target[-1] - self.theta_post)
        return {"w": (eta * both - (w - rest)) / self.tau}

    def decode(self, total, x, degree):
        return self.strength * total


class Oja(AbstractPairCoupling):
    r"""Hebbian weights that normalise themselves: $\tau \dot w_{ij} = y_i x_j - \alpha\, y_i^2 w_{ij}$.

    Oja (1982), "A simplified neuron model as a principal component analyzer", J. Math. Biol. 15, equation 3. The weights of a region that only hears
    come to the first principal component of what it hears, with $\sum_j w_{ij}^2 = 1 / \alpha$. The input is $G \sum_j W_{ij} w_{ij} x_j$. $x_j$ is the first source
    row of a region, and $y_i$ the last one of its target: the same where there is one. One target row.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> Oja(source="x", tau=100.0).edge_states
        ('w',)
    """

    edge_states: ClassVar = ("w",)

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    alpha: Parameter = parameter(1.0, domain=Positive(), doc="how strongly weights forget")
    tau: Parameter = parameter(1000.0, domain=Positive(), unit="ms", doc="time constant of the weights")
    w: Parameter = parameter(1.0, domain=Real(), doc="weights where a run begins, one value or one a connection")

    def encode(self, x):
        return x[:1]

    def message(self, x_source, x_target, w):
        return w * x_source

    def edge_drift(self, x_source, x_target, w):
        own = x_target[-1]
        return {"w": (own * x_source[0] - self.alpha * own**2 * w) / self.tau}

    def decode(self, total, x, degree):
        return self.strength * total


class Vogels(AbstractPairCoupling):
    r"""Inhibition that brings its targets to a rate: $\tau \dot w_{ij} = x_j (y_i - \rho)$, $w_{ij} \ge 0$, and the input $-G \sum_j W_{ij} w_{ij} x_j$.

    The rate form of Vogels et al. (2011), "Inhibitory plasticity balances excitation and inhibition in sensory pathways and memory networks",
    Science 334. $x_j$ is the first source row of a region and $y_i$ the last one of its target: `source=("S_i", "S_e")` for inhibition by
    $S_i$ that brings $S_e$ to $\rho$, within each region with `weights=jnp.eye(n)`. One target row.

    Example:
        >>> import jax.numpy as jnp, gyrax as gx
        >>> net = gx.Network(gx.models.Linear(), Vogels(source="x", rho=0.5), jnp.ones((2, 2)) - jnp.eye(2))
        >>> [f"{x:.2f}" for x in net.drift(0.0, net.whole(jnp.array([[1.0, 2.0]]))).own["coupling"].edges["w"][:, 0]]
        ['0.00']
    """

    edge_states: ClassVar = ("w",)
    limits: ClassVar = {"w": (0.0, None)}

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    rho: Parameter = parameter(0.1, domain=Positive(), doc="target rate, one value or one a region")
    tau: Parameter = parameter(1000.0, domain=Positive(), unit="ms", doc="time constant of the weights")
    w: Parameter = parameter(
        0.0, domain=Positive(scale=1.0), doc="weights where a run begins, one value or one a connection"
    )

    def encode(self, x):
        return x[:1]

    def message(self, x_source, x_target, w):
        return jnp.where(w < 0, 0, w) * x_source  # the stages of a step look beyond the limit, which is for its end

    def edge_drift(self, x_source, x_target, w):
        return {"w": x_source[0] * (x_target[-1] - self.rho) / self.tau}

    def decode(self, total, x, degree):
        return -self.strength * total
