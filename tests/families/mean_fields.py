"""Exact and conductance-based mean fields: cases of the contract, and The Virtual Brain's names."""

import jax.numpy as jnp

import gyrax as gx

from . import Peer

m, c = gx.models, gx.couplings
QIF = [(0.0, 2.0), (-2.0, 1.5)]  # rate and mean potential of quadratic integrate-and-fire neurons
ADAPTING = [*QIF, (0.0, 0.4), (-0.2, 0.3)]
# as many inhibitory synapses from outside as excitatory ones, and adaptation in either population
ZERLAUT = {"K_ext_e": 20.0, "K_ext_i": 10.0, "b_i": 2.0, "a_i": 1.0, "tau_w_i": 50.0}
DRIVES = {f"external_input_{way}": 0.01 for way in ("ex_ex", "ex_in", "in_ex", "in_in")}
RATES, SLOW = [(0.005, 0.05)] * 2, [(0.0, 100.0), (0.0, 20.0), (0.0, 0.002)]
COVARIANCES = [(1e-5, 1e-4), (0.0, 1e-5), (1e-5, 1e-4)]
CASES = {
    "models.MontbrioPazoRoxin": (m.MontbrioPazoRoxin(), QIF),
    "models.CoombesByrne": (m.CoombesByrne(), [*QIF, (1.0, 2.0), (-0.5, 0.7)]),
    "models.CoombesByrne2D": (m.CoombesByrne2D(), QIF),
    "models.GastSchmidtKnoscheSD": (m.GastSchmidtKnoscheSD(), ADAPTING),
    "models.GastSchmidtKnoscheSF": (m.GastSchmidtKnoscheSF(), ADAPTING),
    "models.DumontGutkin": (m.DumontGutkin(), [*QIF, (0.0, 1.0), (0.0, 1.0)] * 2),
    "models.ZerlautAdaptationFirstOrder": (m.ZerlautAdaptationFirstOrder(**ZERLAUT, **DRIVES), RATES + SLOW),
    "models.ZerlautAdaptationSecondOrder": (
        m.ZerlautAdaptationSecondOrder(**ZERLAUT, **DRIVES),
        RATES + COVARIANCES + SLOW,
    ),
}


def rate_and_potential(strength: float) -> dict:
    """The Virtual Brain's coupling acts on r and V alike."""
    return {
        "r": c.Linear(source="r", target="c_r", strength=strength),
        "V": c.Linear(source="V", target="c_V", strength=strength),
    }


class PerHertz(m.ZerlautAdaptationSecondOrder):
    """As The Virtual Brain has it: derivatives per Hz by rates in kHz, and others of them in the equation of C_ei."""

    def expanded(self, E, I, drives, W):
        F, slopes, curvatures, mu = super().expanded(E, I, drives, W)
        return F, 1e-3 * slopes, 1e-6 * curvatures, mu

    def drift(self, t, y, u):
        E, I, C_ee, C_ei, C_ii, W_e, W_i, ou_drift = y
        drives, W = self.drives(u[0], ou_drift), jnp.stack([W_e, W_i])
        _, ((e_E, i_E), (e_I, i_I)), _, _ = self.expanded(E, I, drives, W)
        change = C_ee * (e_E - i_E) + C_ei * (i_E + e_I - e_E - i_I) + C_ii * (i_I - e_I)
        return super().drift(t, y, u).at[3].add(change / self.T)


PEERS = {
    # Gamma is a parameter there, which the equations leave out
    "MontbrioPazoRoxin": Peer(m.MontbrioPazoRoxin, arguments={"Gamma": 0.0}, coupling=lambda: rate_and_potential(1.0)),
    "CoombesByrne": Peer(m.CoombesByrne, inputs=lambda u: u[:1], coupling=lambda: c.Linear(source="r", strength=0.5)),
    "CoombesByrne2D": Peer(
        m.CoombesByrne2D, inputs=lambda u: u[:1], coupling=lambda: c.Linear(source="r", strength=0.5)
    ),
    "GastSchmidtKnosche_SD": Peer(
        m.GastSchmidtKnoscheSD, inputs=lambda u: u[:2], coupling=lambda: rate_and_potential(0.5)
    ),
    "GastSchmidtKnosche_SF": Peer(
        m.GastSchmidtKnoscheSF, inputs=lambda u: u[:2], coupling=lambda: rate_and_potential(0.5)
    ),
    "DumontGutkin": Peer(m.DumontGutkin, inputs=lambda u: u[:1], coupling=lambda: c.Linear(source="r_e", strength=1.0)),
    # S_i is a parameter there, which the equations of the first order leave out
    "ZerlautAdaptationFirstOrder": Peer(
        m.ZerlautAdaptationFirstOrder, arguments={"S_i": 1.0}, coupling=lambda: c.Linear(source="E", strength=0.3)
    ),
    "ZerlautAdaptationSecondOrder": Peer(PerHertz, coupling=lambda: c.Linear(source="E", strength=0.3)),
}
