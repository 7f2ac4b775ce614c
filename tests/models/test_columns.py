"""Columns and mode-reduced sets against the papers' equations in plain NumPy; the Wong-Wang family against cuBNM's."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.stats import norm

import gyrax as gx

SINGLE = jnp.result_type(float) == jnp.float32
TYPES = {"background": (5.0, 50.0, 15.0), "sustained spikes": (5.0, 25.0, 15.0), "quasi-sinusoidal": (5.0, 15.0, 0.0)}


def wendling(t, y, A, B, G, p=90.0):
    """Wendling et al. (2002) in the paper's units: s and pulses/s."""
    a, b, g, C = 100.0, 50.0, 500.0, 135.0

    def S(v):
        return 2 * 2.5 / (1 + np.exp(0.56 * (6 - v)))

    sent = [
        (A, a, S(y[1] - y[2] - y[3])),
        (A, a, p + 0.8 * C * S(C * y[0])),
        (B, b, 0.25 * C * S(0.25 * C * y[0])),
        (G, g, 0.8 * C * S(0.3 * C * y[0] - 0.1 * C * y[4])),
        (B, b, S(0.25 * C * y[0])),
    ]
    return np.array([*y[5:], *(H * k * x - 2 * k * y[5 + i] - k**2 * y[i] for i, (H, k, x) in enumerate(sent))])


def test_wendling_has_the_equations_and_values_of_the_paper():
    rng, milli = np.random.default_rng(0), np.repeat([[1.0], [1e3]], 5, axis=0)
    y = rng.uniform(0, 1, (10, 20)) * np.array([0.15, 30, 15, 10, 0.5, 0.02, 1, 1, 1, 0.02])[:, None]
    found = gx.models.Wendling().drift(0.0, jnp.asarray(y), jnp.full((1, 20), 0.02))
    expected = wendling(0.0, y * milli, 3.25, 22.0, 10.0, p=110.0) / milli / 1e3
    scale = np.abs(expected).max(1, keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-5 if SINGLE else 1e-12)


@pytest.mark.slow
@pytest.mark.once
def test_wendling_columns_rest_spike_and_oscillate_as_the_paper_says():
    """Without noise: background rests, less dendritic inhibition spikes, and without the somatic one it oscillates in alpha."""
    A, B, G = np.array(list(TYPES.values())).T
    net = gx.Network(gx.models.Wendling(A=A, B=B, G=G), {}, gx.Connectome(np.zeros((3, 3)), labels=list(TYPES)))
    monitors = {"psp": gx.monitors.Subsample(source="psp", period=1.0)}
    found = np.asarray(gx.simulate(net, 3000.0, 0.1, monitors=monitors)["psp"].values)[:, 0].T
    times, options = np.arange(1, 3001) / 1e3, {"rtol": 1e-9, "atol": 1e-11}
    y = [solve_ivp(wendling, (0, 3), np.zeros(10), args=v, t_eval=times, **options).y for v in TYPES.values()]
    expected = np.array([y1 - y2 - y3 for _, y1, y2, y3, *_ in y])
    np.testing.assert_allclose(found[:, :1500], expected[:, :1500], atol=0.2)  # later, a spike is 0.1 ms off
    late = found[:, 1000:] - found[:, 1000:].mean(1, keepdims=True)
    _, spikes, sine = np.fft.rfftfreq(2000, 1e-3)[np.abs(np.fft.rfft(late)).argmax(1)]
    assert np.ptp(late[0]) < 1e-3 and np.ptp(late[1]) > 15 and 3 < spikes < 6 and 8 < sine < 13


@pytest.mark.slow
def test_wendling_without_fast_inhibition_is_jansen_rit(rounding):
    y = np.random.default_rng(1).uniform(0, 10, (10, 4)) * np.array([0.01, 1, 1, 0, 1, 0.01, 0.1, 0.1, 0, 0.1])[:, None]
    u = jnp.full((1, 4), 0.05)
    six = [0, 1, 2, 5, 6, 7]
    found = gx.models.Wendling(G=0.0, mu=0.22).drift(0.0, jnp.asarray(y), u)[jnp.array(six)]
    np.testing.assert_allclose(found, gx.models.JansenRit().drift(0.0, jnp.asarray(y[six]), u), rtol=rounding)


def test_zetterberg_jansens_inhibition_of_itself_rests_where_its_synapse_does():
    """At v5 = H_i gamma_5 S(v4 - v5) / kappa_i: with The Virtual Brain's kappa_e it would be a fourth of it."""
    model, v4 = gx.models.ZetterbergJansen(), 12.0
    v5 = brentq(lambda v: v - 22 / 0.05 * 15 * 0.005 / (1 + np.exp(0.56 * (6 - v4 + v))), 0, 40)
    y = jnp.zeros((12, 1)).at[6].set(v4).at[8].set(v5)
    assert v5 > 5 and abs(model.drift(0.0, y, jnp.zeros((1, 1)))[9, 0]) < (1e-6 if SINGLE else 1e-12)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("name, alpha", [("ReducedSetFitzHughNagumo", 6), ("ReducedSetHindmarshRose", 9)])
def test_modes_hear_the_mean_field_of_inhibition(name, alpha):
    """What the k-th inhibitory mode does to the i-th excitatory one: the integral of V_i by that of V_k under the density."""
    model = getattr(gx.models, name)(mu=0.7, sigma=0.4)
    z = norm(0.7, 0.4).ppf(np.arange(1, 1501) / 1501)
    V = np.repeat(np.eye(3), 500, 1)
    V /= np.sqrt(np.trapezoid(V**2, z))[:, None]
    heard = np.outer(np.trapezoid(V, z), np.trapezoid(V * norm(0.7, 0.4).pdf(z), z))
    y = jnp.full((len(model.states), 3), 0.3)
    base, moved = (model.drift(0.0, x, jnp.zeros((1, 3)))[:3] for x in (y, y.at[alpha : alpha + 3].add(jnp.eye(3))))
    assert np.abs(heard - heard.T).max() > 0.1, "a symmetric matrix would not tell it from its transpose"
    np.testing.assert_allclose(moved - base, -model.K12 * heard, atol=2e-6 if SINGLE else 1e-13)


def transfer(x, a, b, d):
    return (a * x - b) / (1 - np.exp(-d * (a * x - b)))


def test_two_populations_follow_cubnms_rww(rounding):
    """Its equations and constants, for a network, and w^IE = J_i."""
    rng, n, G = np.random.default_rng(2), 6, 1.7
    C, S_E, S_I, w_IE = (
        rng.uniform(0, 0.3, (n, n)),
        rng.uniform(0, 1, n),
        rng.uniform(0, 0.3, n),
        rng.uniform(0.5, 2, n),
    )
    I_E = 1.0 * 0.382 + 1.4 * 0.15 * S_E + G * 0.15 * C @ S_E - w_IE * S_I
    I_I = 0.7 * 0.382 + 0.15 * S_E - 1.0 * S_I
    r_E, r_I = transfer(I_E, 310, 125, 0.16), transfer(I_I, 615, 177, 0.087)
    expected = [-S_E / 100 + (1 - S_E) * 0.641 / 1000 * r_E, -S_I / 10 + 1.0 / 1000 * r_I]
    u = jnp.stack([jnp.asarray(G * C @ S_E), jnp.zeros(n)])
    found = gx.models.WongWangExcInh(J_i=w_IE).drift(0.0, jnp.stack([jnp.asarray(S_E), jnp.asarray(S_I)]), u)
    np.testing.assert_allclose(found, expected, rtol=10 * rounding, atol=rounding)


@pytest.mark.slow
def test_cubnms_balanced_region_is_a_fixed_point():
    """The ten digits it publishes of a region at 3 Hz, with J_i from the excitatory current there."""
    S_E, S_I, I_E, I_I = 0.1647572075, 0.0392184486, 0.3773805650, 0.2528951325
    J_i = (0.382 + 1.4 * 0.15 * S_E - I_E) / S_I
    model = gx.models.WongWangExcInh(J_i=J_i)
    drift = model.drift(0.0, jnp.array([[S_E], [S_I]]), jnp.zeros((2, 1)))
    np.testing.assert_allclose(drift, 0.0, atol=1e-6 if SINGLE else 1e-10)
    rates = [model.rate_e(jnp.array(I_E)), model.rate_i(jnp.array(I_I))]
    np.testing.assert_allclose(rates, [3.0773270642, 3.9218448633], rtol=1e-4 if SINGLE else 1e-8)


def test_one_population_follows_cubnms_rwwex(rounding):
    rng, n, G = np.random.default_rng(3), 6, 0.8
    C, S = rng.uniform(0, 0.3, (n, n)), rng.uniform(0, 1, n)
    r = transfer(0.9 * 0.2609 * S + G * 0.2609 * C @ S + 0.3, 270, 108, 0.154)
    found = gx.models.WongWang(w=0.9, I_o=0.3).drift(0.0, jnp.asarray(S)[None], jnp.asarray(G * C @ S)[None])
    np.testing.assert_allclose(found[0], 0.641 / 1000 * (1 - S) * r - S / 100, rtol=10 * rounding, atol=rounding)
