"""Cortical columns, sets of three modes, two-population Wong-Wang: cases of the contract, and The Virtual Brain's names."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

import gyrax as gx
from gyrax.models.modes import COUNT, mean_field

from . import Peer

m, c = gx.models, gx.couplings
PSP = [(0.0, 20.0), (-1.0, 1.0)]
CASES = {
    "models.ZetterbergJansen": (m.ZetterbergJansen(), [*PSP * 5, (0.0, 10.0), (0.0, 10.0)]),
    "models.Wendling": (
        m.Wendling(),
        [(0.0, 0.15), (0.0, 30.0), (0.0, 15.0), (0.0, 10.0), (0.0, 0.5), *[(-1.0, 1.0)] * 5],
    ),
    "models.ReducedSetFitzHughNagumo": (m.ReducedSetFitzHughNagumo(), [(-1.5, 1.5)] * 12),
    "models.ReducedSetHindmarshRose": (m.ReducedSetHindmarshRose(), [(-1.5, 1.5)] * 18),
    "models.DecoBalancedExcInh": (m.DecoBalancedExcInh(), [(0.0, 1.0), (0.0, 0.3)]),
}


class TheirsZetterbergJansen(m.ZetterbergJansen):
    """With the excitatory rate constant in the restoring term of v5, where every other inhibitory one has its own."""

    def drift(self, t, y, u):
        return super().drift(t, y, u).at[9].add((self.ki**2 - self.ke**2) * y[8])


def transposed(ours: type[gx.AbstractModel], alpha: str) -> type[gx.AbstractModel]:
    """Ours, but excitation hears inhibition through the transpose of the matrix through which it hears itself."""

    class Theirs(ours):
        def drift(self, t, y, u):
            heard, first = mean_field(jnp.eye(COUNT)), self.states.index(f"{alpha}_1")
            more = (heard - heard.T) @ y[first : first + COUNT]
            return super().drift(t, y, u).at[:COUNT].add(self.K12 * more)

    return Theirs


def long_range(name: str):
    """Our two inputs from their one: there its strength G, the share of inhibition, and a current are in the model."""
    with np.load(Path(__file__).parents[1] / "data" / "tvb_models.npz") as theirs:
        names, first, more = (theirs[f"{name}.{what}"] for what in ("names", "defaults", "parameters"))
    G, share, current, J_N = (
        np.append(first[i], more[:, i].astype(float)) for i in map(names.tolist().index, ("G", "lamda", "I_ext", "J_N"))
    )
    return lambda u: np.stack([G * u[0] + current / J_N, share * G * u[0]])


def excitation(strength: float):
    return lambda: {"lre": c.Linear(source="S_e", target="c_lre", strength=strength)}


IN_THE_COUPLING = ("G", "lamda", "I_ext")
PEERS = {
    "ZetterbergJansen": Peer(TheirsZetterbergJansen, coupling=lambda: c.Linear(source="v6", strength=2.0)),
    "ReducedSetFitzHughNagumo": Peer(
        transposed(m.ReducedSetFitzHughNagumo, "alpha"),
        inputs=lambda u: u[:COUNT].sum(0, keepdims=True),
        coupling=lambda: c.Linear(source="xi", strength=0.1),
    ),
    "ReducedSetHindmarshRose": Peer(
        transposed(m.ReducedSetHindmarshRose, "alpha"),
        inputs=lambda u: u[:COUNT].sum(0, keepdims=True),
        coupling=lambda: c.Linear(source="xi", strength=0.05),
    ),
    "ReducedWongWangExcInh": Peer(
        m.WongWangExcInh,
        absent=IN_THE_COUPLING,
        inputs=long_range("ReducedWongWangExcInh"),
        coupling=excitation(0.5),
    ),
    "DecoBalancedExcInh": Peer(
        m.DecoBalancedExcInh, absent=IN_THE_COUPLING, inputs=long_range("DecoBalancedExcInh"), coupling=excitation(0.5)
    ),
}
