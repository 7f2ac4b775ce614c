"""Every coupling against The Virtual Brain's numbers (scripts/reference_tvb_couplings.py) and a loop over pairs."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

SINGLE = jnp.result_type(float) == jnp.float32
TVB = np.load(Path(__file__).parents[1] / "data" / "tvb_couplings.npz")
W, LAGS, PAST = TVB["weights"], TVB["delays"], TVB["states"]  # PAST[k]: k steps back, two rows, six regions
c = gx.couplings
CLOSE = {"rtol": 1e-5, "atol": 2e-6} if SINGLE else {"rtol": 1e-11, "atol": 1e-12}
#: The Virtual Brain keeps weights, history and sums in single precision.
THEIRS = CLOSE if SINGLE else {"rtol": 3e-7, "atol": 3e-7}
SIGMOID = {"H": 0.6, "Q": 1.2, "G": 3.0, "P": 0.8}
#: The Virtual Brain's name: ours, and what i hears of j by the formula, given both ends.
CASES = {
    "Linear": (c.Linear(source=("x", "y"), strength=0.7, offset=-0.3), lambda xj, xi: 0.7 * xj),
    "Scaling": (c.Linear(source=("x", "y"), strength=0.7), lambda xj, xi: 0.7 * xj),
    "Difference": (c.Difference(source=("x", "y"), strength=0.7), lambda xj, xi: 0.7 * (xj - xi)),
    "HyperbolicTangent": (
        c.HyperbolicTangent(source=("x", "y"), strength=0.7, b=1.3, midpoint=0.2, sigma=0.65),
        lambda xj, xi: 0.7 * (1 + jnp.tanh((1.3 * xj - 0.2) / 0.65)),
    ),
    "Sigmoidal": (
        c.Sigmoidal(source=("x", "y"), c_min=-0.5, c_max=1.5, midpoint=0.2, a=1.4, sigma=0.8),
        lambda xj, xi: xj,
    ),
    "SigmoidalJansenRit": (
        c.SigmoidalJansenRit(source=("x", "y"), strength=0.7, c_min=0.1, c_max=0.9, v0=0.4, r=1.7),
        lambda xj, xi: 0.7 * (0.1 + 0.8 / (1 + jnp.exp(1.7 * (0.4 - (xj[:1] - xj[1:]))))),
    ),
    "Kuramoto": (c.Kuramoto(source="x", strength=0.7), lambda xj, xi: 0.7 * jnp.sin(xj - xi)),
    "PreSigmoidal": (
        c.PreSigmoidal(source="x", strength=0.9, theta=0.3, **SIGMOID),
        lambda xj, xi: 0.9 * 0.6 * (1.2 + jnp.tanh(3.0 * (0.8 * xj - 0.3))),
    ),
    "DynamicPreSigmoidal": (
        c.DynamicPreSigmoidal(source=("x", "y"), strength=0.9, **SIGMOID),
        lambda xj, xi: 0.9 * 0.6 * (1.2 + jnp.tanh(3.0 * (0.8 * xj[:1] - xj[1:]))),
    ),
    "Laplacian": (c.Laplacian(source=("x", "y"), strength=0.7), lambda xj, xi: 0.7 * (xj - xi)),
    "Coupling": (
        c.Coupling(
            source=("x", "y"), strength=0.7, pre=lambda x: x**3, post=lambda total, x, degree: total - degree * x
        ),
        lambda xj, xi: 0.7 * (xj**3 - xi),
    ),
}
#: What is done to the sums of a region, given its degree.
AFTER = {
    "Linear": lambda total, degree: total - 0.3,
    "Sigmoidal": lambda total, degree: -0.5 + 2.0 / (1 + jnp.exp(-1.4 * (total - 0.2) / 0.8)),
    "Laplacian": lambda total, degree: total / degree if degree else 0 * total,
}


def ours(name: str) -> np.ndarray:
    """By encode, a weighted sum over what was sent as long ago as it takes, decode."""
    coupling, rows = CASES[name][0], len(CASES[name][0].source)
    sent = np.array([coupling.encode(jnp.asarray(x[:rows])) for x in PAST], float)
    total = np.array(
        [[sum(W[i, j] * sent[LAGS[i, j], f, j] for j in range(6)) for i in range(6)] for f in range(sent.shape[1])]
    )
    now = jnp.asarray(PAST[0, :rows])
    return np.asarray(coupling.decode(jnp.asarray(total), now, jnp.asarray(W.sum(1))))


@pytest.mark.parametrize("name", CASES)
def test_equals_a_loop_over_pairs(name):
    rows, term = len(CASES[name][0].source), CASES[name][1]
    after = AFTER.get(name, lambda total, degree: total)
    found = ours(name)[: 1 if name == "DynamicPreSigmoidal" else None]
    for i in range(6):
        pairs = [W[i, j] * term(PAST[LAGS[i, j], :rows, j], PAST[0, :rows, i]) for j in range(6)]
        np.testing.assert_allclose(found[:, i], after(np.sum(pairs, axis=0), W[i].sum()), **CLOSE)


class HearsOne(gx.AbstractModel):
    states, inputs = ("x", "y"), ("c",)

    def drift(self, t, y, u):
        return y


class HearsTwo(HearsOne):
    inputs = ("c", "d")


@pytest.mark.once
@pytest.mark.parametrize("name", CASES)
def test_a_coupling_of_pairs_with_the_same_term_feeds_the_same(name):
    coupling, term = CASES[name]

    class Pairs(gx.AbstractPairCoupling):
        def message(self, x_source, x_target):
            return term(x_source, x_target)

        def decode(self, total, x, degree):
            return (
                total / degree if name == "Laplacian" else AFTER.get(name, lambda total, degree: total)(total, degree)
            )

    weights = W + 0.1 * np.eye(6)  # everybody hears somebody: a Laplacian divides by the degree
    rows = len(ours(name))
    alike = 1 if name == "DynamicPreSigmoidal" else rows  # whose second row is a region's own
    model, other = (HearsOne() if count == 1 else HearsTwo() for count in (rows, alike))
    found = gx.Network(model, coupling, weights).input(0.0, jnp.asarray(PAST[0]))
    pairs = gx.Network(other, Pairs(source=coupling.source), weights).input(0.0, jnp.asarray(PAST[0]))
    np.testing.assert_allclose(pairs, found[: len(pairs)], **CLOSE)


@pytest.mark.parametrize("name", [name for name in CASES if name in TVB])
def test_equals_the_virtual_brains(name):
    """Its SigmoidalJansenRit repeats its one row for the second state that it reads."""
    expected = TVB[name]
    found = ours(name)
    np.testing.assert_allclose(found, expected[: len(found)], **THEIRS)
    assert np.ptp(expected) > 0.1


def test_activities_are_the_virtual_brains_and_its_sums_are_not():
    """Its PreSigmoidal sums over the wrong end of each connection: a region hears its own past, not the others."""
    static, dynamic = (CASES[name][0] for name in ("PreSigmoidal", "DynamicPreSigmoidal"))
    sent = np.array([static.encode(jnp.asarray(x[:1]))[0] for x in PAST], float)
    own = [sum(W[i, j] * sent[LAGS[j, i], i] for j in range(6)) for i in range(6)]
    np.testing.assert_allclose(own, TVB["PreSigmoidal.static"][0], **THEIRS)
    np.testing.assert_allclose(ours("DynamicPreSigmoidal")[1], TVB["PreSigmoidal.dynamic"][1], **THEIRS)
    sent = np.array([dynamic.encode(jnp.asarray(x))[0] for x in PAST], float)
    own = [sum(W[j, i] * sent[LAGS[j, i], i] for j in range(6)) for i in range(6)]
    np.testing.assert_allclose(own, TVB["PreSigmoidal.dynamic"][0], **THEIRS)


def test_thresholds_follow_a_regions_own_activity_or_the_mean():
    own = 0.6 * (1.2 + np.tanh(3.0 * (0.8 * PAST[0, 0] - PAST[0, 1])))
    np.testing.assert_allclose(ours("DynamicPreSigmoidal")[1], own, **CLOSE)
    shared = c.DynamicPreSigmoidal(source=("x", "y"), shared=True, **SIGMOID)
    fed = shared.decode(jnp.zeros((1, 6)), jnp.asarray(PAST[0]), jnp.asarray(W.sum(1)))
    np.testing.assert_allclose(fed[1], own.mean(), **CLOSE)


def test_who_hears_nobody():
    """Nothing of differences, and the offset of a weighted sum; the gradient of a mean over nobody is finite."""
    assert (W[3] == 0).all()
    np.testing.assert_array_equal(ours("Laplacian")[:, 3], 0)
    np.testing.assert_array_equal(ours("Difference")[:, 3], 0)
    np.testing.assert_allclose(ours("Linear")[:, 3], -0.3, rtol=1e-6)
    mean = lambda *given: CASES["Laplacian"][0].decode(*given).sum()  # noqa: E731
    slopes = jax.grad(mean, (0, 1, 2))(jnp.zeros((2, 6)), jnp.asarray(PAST[0]), jnp.asarray(W.sum(1)))
    assert all(np.isfinite(slope).all() for slope in slopes) and not slopes[1][:, 3].any()


@pytest.mark.once
def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="reads two rows or their difference"):
        c.SigmoidalJansenRit(source=("a", "b", "c"))
    with pytest.raises(ValueError, match="reads a potential and its threshold"):
        c.DynamicPreSigmoidal(source="x")
    with pytest.raises(TypeError, match="take functions, got 3"):
        c.Coupling(source="x", pre=3)
    with pytest.raises(TypeError, match="holds arrays, which could not be trained here"):
        c.Coupling(source="x", pre=jax.tree_util.Partial(jnp.multiply, jnp.ones(3)))
