"""Wong-Wang, Hopf, Jansen-Rit, linear: cases of the contract, and The Virtual Brain's names."""

import gyrax as gx

from . import Peer

m, c = gx.models, gx.couplings
CASES = {
    "models.WongWang": (m.WongWang(), [(0.0, 1.0)]),
    "models.WongWangExcInh": (m.WongWangExcInh(), [(0.0, 1.0), (0.0, 0.3)]),
    "models.Hopf": (m.Hopf(), [(-1.0, 1.0)] * 2),
    "models.JansenRit": (m.JansenRit(), [(0.0, 0.1), (0.0, 30.0), (0.0, 30.0), (-1, 1), (-1, 1), (-1, 1)]),
    "models.Linear": (m.Linear(), [(-1.0, 1.0)]),
    "models.GammaChain": (m.GammaChain(m.Linear(), "x", stages=2), [(-1.0, 1.0)] * 3),
}
PEERS = {
    "ReducedWongWang": Peer(
        m.WongWang,  # there kHz and ms for Hz and s, and gamma per 1000 spikes
        {"a": ("a", 1e3), "b": ("b", 1e3), "d": ("d", 1e-3), "gamma": ("gamma", 1e-3), "tau_S": ("tau_s", 1.0)},
        absent=("sigma_noise",),
        coupling=lambda: c.Linear(source="S", strength=0.3),
    ),
    "SupHopf": Peer(m.Hopf, coupling=lambda: c.Difference(source=("x", "y"), strength=0.1)),
    "JansenRit": Peer(
        m.JansenRit,
        absent=("p_min", "p_max"),
        departs={"v0": 6.0},  # Jansen & Rit (1995) give 6 mV
        inputs=lambda u: u[:1],
        coupling=lambda: c.SigmoidalJansenRit(strength=20.0),
    ),
    "Linear": Peer(m.Linear, coupling=lambda: c.Linear(source="x", strength=0.5, offset=0.1)),
}
