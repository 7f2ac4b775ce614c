"""Models of epilepsy: the Epileptor and its kin, bursters in an unfolding, potassium exchange."""

import jax.numpy as jnp

import gyrax as gx

from . import Peer

m, c = gx.models, gx.couplings


class CubeRoots(m.EpileptorCodim3SlowMod):
    """The Virtual Brain adds two principal cube roots, which for mu2 < 0 is no root of the cubic."""

    def resting_state(self, mu2, mu1):
        root = jnp.sqrt(jnp.maximum(mu1**2 / 4 - mu2**3 / 27, 0.0))
        # the principal cube root of a negative number has half its size as real part
        theirs = jnp.cbrt(mu1 / 2 + root) + jnp.cbrt(root - mu1 / 2) / 2
        return jnp.where(mu2 < 0, theirs, super().resting_state(mu2, mu1))


class NoOwnCurrent(m.KIonEx):
    """The Virtual Brain leaves the population's own synaptic current J r (E - V) out of the equation of V."""

    def drift(self, t, y, u):
        return super().drift(t, y, u - self.J * y[:1])


CASES = {
    "models.Epileptor": (m.Epileptor(), [(-2, 1), (-15, 2), (2, 5), (-0.5, 0.5), (0, 2), (-1, 1)]),
    "models.Epileptor2D": (m.Epileptor2D(), [(-2, 1), (2, 5)]),
    "models.EpileptorRestingState": (
        m.EpileptorRestingState(),
        [(-2, 1), (-15, 2), (2, 5), (-0.5, 0.5), (0, 2), (-1, 1), (-2, 4), (-6, 6)],
    ),
    "models.EpileptorCodim3": (m.EpileptorCodim3(), [(-1, 1), (-1, 1), (0, 0.2)]),
    "models.EpileptorCodim3SlowMod": (m.EpileptorCodim3SlowMod(), [(-1, 1), (-1, 1), (0, 0.2), (0.2, 1), (0.2, 1)]),
    "models.KIonEx": (m.KIonEx(), [(0, 1), (-36, -26), (0, 1), (-1, 1), (-2, 2)]),
}
PEERS = {
    "Epileptor": Peer(
        m.Epileptor,
        arguments={"s": 4.0},  # declared there, and used nowhere
        coupling=lambda: c.Difference(source=("x1", "x2"), strength=1.0),
    ),
    "Epileptor.modification": Peer(m.Epileptor, arguments={"s": 4.0, "modification": True}),
    "Epileptor2D": Peer(m.Epileptor2D, coupling=lambda: c.Difference(source="x1", strength=1.0)),
    "Epileptor2D.modification": Peer(m.Epileptor2D, arguments={"modification": True}),
    "EpileptorRestingState": Peer(
        m.EpileptorRestingState,
        arguments={"s": 4.0},
        coupling=lambda: c.Difference(source=("x1", "x2", "x_rs"), strength=1.0),
    ),
    "EpileptorCodim3": Peer(m.EpileptorCodim3, coupling=lambda: c.Difference(source="x", strength=1.0)),
    "EpileptorCodim3.unmodified": Peer(m.EpileptorCodim3, arguments={"modification": False}),
    "EpileptorCodim3SlowMod": Peer(CubeRoots, coupling=lambda: c.Difference(source="x", strength=3.0)),
    "KIonEx": Peer(NoOwnCurrent, coupling=lambda: c.Linear(source="x", strength=0.5)),
}
