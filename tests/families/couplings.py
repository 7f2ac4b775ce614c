"""Couplings: cases of the contract."""

import jax.numpy as jnp

import gyrax as gx

c, plastic = gx.couplings, gx.plasticity


def squared(x):
    return x**2


def attracted(total, x, degree):
    return jnp.tanh(total) - degree * x


CASES = {
    "couplings.Linear": (c.Linear(source=("x", "y")), [(-1.0, 1.0)] * 2),
    "couplings.Difference": (c.Difference(source=("x", "y")), [(-1.0, 1.0)] * 2),
    "couplings.Laplacian": (c.Laplacian(source=("x", "y")), [(-1.0, 1.0)] * 2),
    "couplings.HyperbolicTangent": (c.HyperbolicTangent(source=("x", "y")), [(-1.0, 1.0)] * 2),
    "couplings.Sigmoidal": (c.Sigmoidal(source="x", midpoint=0.2, sigma=0.5), [(-1.0, 1.0)]),
    "couplings.SigmoidalJansenRit": (c.SigmoidalJansenRit(), [(0.0, 20.0), (0.0, 10.0)]),
    "couplings.PreSigmoidal": (c.PreSigmoidal(source=("x", "y"), G=6.0), [(0.3, 0.8)] * 2),
    "couplings.DynamicPreSigmoidal": (
        c.DynamicPreSigmoidal(source=("x", "theta"), G=6.0, shared=True),
        [(0.3, 0.8), (0.4, 0.6)],
    ),
    "couplings.Kuramoto": (c.Kuramoto(source=("x", "y")), [(0.0, 6.0)] * 2),
    "couplings.Sakaguchi": (c.Sakaguchi(source=("x", "y"), lag=0.3), [(0.0, 6.0)] * 2),
    "couplings.GapJunction": (c.GapJunction(source=("x", "y"), rectification=0.4), [(-1.0, 1.0)] * 2),
    "couplings.Threshold": (c.Threshold(source=("x", "y"), theta=0.1), [(-1.0, 1.0)] * 2),
    "couplings.Coupling": (c.Coupling(source=("x", "y"), pre=squared, post=attracted), [(-1.0, 1.0)] * 2),
    "plasticity.TsodyksMarkram": (plastic.TsodyksMarkram(source="x", gain=0.01, R=0.6, u=0.4), [(1.0, 20.0)]),
    "plasticity.TsodyksMarkramSources": (
        plastic.TsodyksMarkramSources(source="x", gain=0.01, R=0.6, u=0.4),
        [(1.0, 20.0)],
    ),
    "plasticity.Hebbian": (plastic.Hebbian(source=("x", "y"), theta_pre=0.1, theta_post=-0.2), [(-1.0, 1.0)] * 2),
    "plasticity.Oja": (plastic.Oja(source=("x", "y")), [(0.5, 1.0)] * 2),
    "plasticity.Vogels": (plastic.Vogels(source=("x", "y"), w=0.5), [(0.5, 1.0)] * 2),
}
