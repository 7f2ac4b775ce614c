"""Oscillators and population rates: cases of the contract, and The Virtual Brain's names."""

import jax.numpy as jnp

import gyrax as gx

from . import Peer

m, c = gx.models, gx.couplings
CASES = {
    "models.Kuramoto": (m.Kuramoto(), [(0.0, 6.0)]),
    "models.Generic2dOscillator": (m.Generic2dOscillator(), [(-2.0, 2.0), (-6.0, 6.0)]),
    "models.FitzHughNagumo": (m.FitzHughNagumo(), [(-2.0, 2.0)] * 2),
    "models.StuartLandau": (m.StuartLandau(), [(0.1, 1.0)] * 2),
    "models.VanDerPol": (m.VanDerPol(), [(-2.0, 2.0)] * 2),
    "models.Hopfield": (m.Hopfield(), [(-1.0, 2.0)]),
    "models.HopfieldDynamic": (m.HopfieldDynamic(), [(-1.0, 2.0), (0.0, 1.0)]),
    "models.LarterBreakspear": (m.LarterBreakspear(), [(-0.6, 0.6), (0.0, 1.0), (-0.5, 0.5)]),
    "models.WilsonCowan": (m.WilsonCowan(), [(0.1, 0.5), (0.0, 0.3)]),
}


class HopfieldTwice(m.Hopfield):
    """The Virtual Brain's fixed threshold: its second state, which nothing reads, changes as if it were the first."""

    states = ("x", "theta")

    def drift(self, t, y, u):
        return jnp.tile(super().drift(t, y[:1], u), (2, 1))


PEERS = {
    "Kuramoto": Peer(m.Kuramoto, coupling=lambda: c.Kuramoto(source="theta", strength=0.3)),
    "Generic2dOscillator": Peer(m.Generic2dOscillator, coupling=lambda: c.Linear(source="V", strength=0.5)),
    "LarterBreakspear": Peer(
        m.LarterBreakspear, coupling=lambda: c.HyperbolicTangent(source="V", strength=0.1, sigma=0.65)
    ),
    "WilsonCowan": Peer(
        m.WilsonCowan,
        inputs=lambda u: [u[0], 0 * u[1]],  # what comes from I is ignored there
        coupling=lambda: c.Sigmoidal(source="E", target="c_P", midpoint=0.2, sigma=0.5),
    ),
    "Hopfield.static": Peer(
        HopfieldTwice, absent=("tauT",), coupling=lambda: c.PreSigmoidal(source="x", target="c", G=6.0)
    ),
    "Hopfield.dynamic": Peer(
        m.HopfieldDynamic,
        coupling=lambda: c.HyperbolicTangent(source=("x", "theta"), strength=0.5, b=6.0, midpoint=3.0),
    ),
}
