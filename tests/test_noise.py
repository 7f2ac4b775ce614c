"""The random numbers themselves, and where the noise's amplitude goes."""

import math

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import gyrax as gx
import gyrax.noise as noise

SINGLE = jnp.result_type(float) == jnp.float32
DRAWS = (4096, 4, 16)  # steps, states, nodes
increments = jax.jit(noise.increments, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """A quarter of a million increments of steps of 1 ms."""
    return np.asarray(increments(jax.random.key(3), 0, DRAWS[0], DRAWS[1:], 1.0))


# Increments


def test_increments_have_mean_zero_and_variance_dt(drawn, key):
    n = drawn.size
    assert abs(drawn.mean(dtype=float)) < 4 / math.sqrt(n)
    assert abs(drawn.var(dtype=float) - 1) < 4 * math.sqrt(2 / n)
    assert abs((drawn.astype(float) ** 4).mean() - 3) < 4 * math.sqrt(96 / n)
    one = increments(key, 0, 8, (2, 3), 1.0)
    for dt in (0.01, 0.5, 4.0):
        np.testing.assert_allclose(increments(key, 0, 8, (2, 3), dt), math.sqrt(dt) * one, rtol=1e-6)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_batch_draws_what_each_draws(make):
    keys, firsts = jax.random.split(make(2), 4), jnp.array([0, 3, 3, 9])
    each = [[increments(key, first, 5, (2, 3), 1.0) for first in firsts] for key in keys]
    together = increments(keys, firsts, 5, (2, 3), 1.0)
    assert together.shape == (5, 2, 3, 4)
    for i in range(4):
        np.testing.assert_array_equal(together[..., i], each[i][i])
        np.testing.assert_array_equal(increments(keys, firsts[1], 5, (2, 3), 1.0)[..., i], each[i][1])
        np.testing.assert_array_equal(increments(keys[1], firsts, 5, (2, 3), 1.0)[..., i], each[1][i])


def test_increments_are_normal(drawn):
    """Kolmogorov and Smirnov over all; the tails by what is left beyond 4."""
    assert stats.kstest(drawn.ravel().astype(float), "norm").pvalue > 1e-3
    beyond, expected = (np.abs(drawn) > 4).sum(), drawn.size * 2 * stats.norm.sf(4)
    assert stats.poisson.sf(beyond, expected) > 1e-3 and stats.poisson.cdf(beyond, expected) > 1e-3


@pytest.mark.once
@pytest.mark.usefixtures("compiled_as_used")
def test_single_precision_has_every_normal_right():
    """All 2**23 of them against scipy's in double precision; what it replaced was off by 6e-6 in the tails."""
    cells = np.arange(2**23) + 0.5
    found = np.asarray(jax.jit(noise._normal)(jnp.asarray(cells * 2.0**-22 - 1, jnp.float32)), float)
    assert np.abs(found / special.ndtri(cells * 2.0**-23) - 1).max() < 3e-7
    np.testing.assert_array_equal(found, -found[::-1])
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_increments_are_independent_along_every_axis(axis, drawn):
    x = np.moveaxis(drawn.astype(float), axis, 0)
    for lag in (1, 2, 3):
        for f in (lambda z: z, lambda z: (z**2 - 1) / math.sqrt(2)):  # their squares too
            product = f(x[lag:]) * f(x[:-lag])
            assert abs(product.mean()) < 4.5 / math.sqrt(product.size)


def test_no_two_regions_or_states_share_a_stream(drawn):
    flat = drawn.astype(float).reshape(DRAWS[0], -1)
    correlation = np.corrcoef(flat, rowvar=False) - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 5.5 / math.sqrt(DRAWS[0])


def test_keys_differ_and_the_old_kind_of_key_works():
    draw = lambda key: np.asarray(increments(key, 5, 64, (2, 8), 1.0)).ravel()  # noqa: E731
    one, two = draw(jax.random.key(0)), draw(jax.random.key(1))
    assert (one != two).all() and abs(np.corrcoef(one, two)[0, 1]) < 5 / math.sqrt(one.size)
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(1)), two)
    assert abs(np.corrcoef(one, draw(jax.random.split(jax.random.key(0))[0]))[0, 1]) < 5 / math.sqrt(one.size)


@pytest.mark.slow
def test_increments_do_not_depend_on_the_cut(key):
    whole, cuts = increments(key, 12, 100, (2, 3), 0.1), (1, 36, 63)
    parts = [increments(key, 12 + sum(cuts[:i]), n, (2, 3), 0.1) for i, n in enumerate(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    flat = increments(key, 12, 100, (6,), 0.1)
    np.testing.assert_array_equal(flat, np.reshape(whole, (100, 6)))


@pytest.mark.parametrize("bits", [(0, 0), (0, 2**32 - 1), (12345678, 987654321), (2**31, 5)])
def test_the_bits_that_mirror_each_other_give_opposite_numbers(bits, monkeypatch, key):
    """So the mean is zero to the last digit, and the ends are finite."""
    values = []
    for high, low in (bits, [2**32 - 1 - b for b in bits]):
        monkeypatch.setattr(noise, "threefry", lambda *_, h=high, w=low: (jnp.uint32(h)[None], jnp.uint32(w)[None]))
        values.append(float(noise.increments(key, jnp.array(0), 1, (1,), 1.0)[0, 0]))
    assert np.isfinite(values).all() and values[0] == -values[1] != 0


def test_double_precision_uses_all_its_digits(drawn):
    flat = drawn.ravel()
    if SINGLE:
        assert flat.dtype == np.float32 and len(np.unique(flat)) > 0.95 * flat.size
    else:
        assert len(np.unique(flat)) == flat.size
        assert (flat.astype(np.float32) != flat).mean() > 0.99
        # 23 bits alone would leave a lattice in the uniforms
        cells = (stats.norm.cdf(flat) * 2**23) % 1
        assert stats.kstest(cells, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        # Random123's known answers, kat_vectors of Salmon et al.
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_its_known_answers(key, counter, expected):
    assert tuple(int(x) for x in noise.threefry(*map(jnp.uint32, key + counter))) == expected


def test_threefry_equals_jaxs():
    words = jax.random.bits(jax.random.key(9), (4, 1000), jnp.uint32)
    np.testing.assert_array_equal(noise.threefry(*words), jax.extend.random.threefry2x32_p.bind(*words))


def test_increments_are_threefry_of_step_and_place(key):
    """The counter's words are the step and the place: what makes a run go on exactly."""
    seed = jax.random.bits(key, (2,), jnp.uint32)
    high, low = noise.threefry(seed[0], seed[1], jnp.uint32(1007), jnp.uint32(5))
    uniform = (int(high) >> 9) + 0.5 if SINGLE else (int(high) >> 6) * 2**26 + (int(low) >> 6) + 0.5
    expected = stats.norm.ppf(uniform / (2**23 if SINGLE else 2**52))
    value = increments(key, 1000, 10, (2, 3), 1.0)[7, 1, 2]
    np.testing.assert_allclose(value, expected, rtol=1e-5 if SINGLE else 1e-13)


# Amplitudes


class Still(gx.AbstractModel):
    states = ("x", "y")

    def drift(self, t, y, u):
        return jnp.zeros_like(y)


class StillThree(Still):
    states = ("x", "y", "z")


def pushed(model, sigma, n, states=None) -> np.ndarray:
    """Where a step of ones takes a network that stands still."""
    net = gx.Network(model, {}, gx.Connectome(np.ones((n, n))), noise=gx.noise.White(sigma=sigma, states=states))
    terms = net.terms(lambda t0, t1: jnp.ones((len(net.noisy), n)))
    return np.asarray(gx.solvers.EulerMaruyama().advance(terms, 0.0, 1.0, net.start(), None))


S = np.array
SHAPES = {
    "number": (0.5, [[0.5] * 3, [0.5] * 3]),
    "node": (S([1.0, 2.0, 3.0]), [[1, 2, 3], [1, 2, 3]]),
    "state": (S([[1.0], [2.0]]), [[1, 1, 1], [2, 2, 2]]),
    "state and node": (S([[1.0, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_amplitudes_of_every_shape(shape):
    sigma, expected = SHAPES[shape]
    np.testing.assert_allclose(pushed(Still(), sigma, 3), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (S([1.0, 2.0]), [[1, 2], [1, 2]]),
        (S([[1.0], [2.0]]), [[1, 1], [2, 2]]),
        (S([[1.0, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ],
)
def test_amplitudes_when_there_are_as_many_states_as_regions(sigma, expected):
    """A vector is one value a region, also where it could pass for one a state."""
    np.testing.assert_allclose(pushed(Still(), sigma, 2), expected)
    # the same with two noisy states of three, named in another order than the model's
    three = pushed(StillThree(), sigma, 2, states=("z", "x"))
    np.testing.assert_allclose(three, [expected[1], [0, 0], expected[0]])


@pytest.mark.slow
def test_a_run_adds_amplitude_times_increment(key):
    """Through the engine: the right increment for every state and region, two of each."""
    sigma = S([[1.0, 2.0], [3.0, 4.0]])
    net = gx.Network(Still(), {}, gx.Connectome(np.ones((2, 2))), noise=gx.noise.White(sigma=sigma))
    run = gx.simulate(net, duration=2.0, dt=0.5, key=key)
    dw = np.asarray(increments(key, 0, 4, (2, 2), 0.5))
    np.testing.assert_allclose(run["raw"].values, sigma * np.cumsum(dw, 0), rtol=1e-5, atol=1e-6)


def test_a_noise_of_ones_own_sees_time_and_the_noisy_rows():
    class Growing(gx.AbstractNoise):
        def diffusion(self, t, y):
            assert y.shape == (1, 3)
            return t * y

    class Here(StillThree):
        def start(self, n):
            return jnp.arange(3.0 * n).reshape(3, n)

    net = gx.Network(Here(), {}, gx.Connectome(np.ones((3, 3))), noise=Growing(states="y"))
    terms = net.terms(lambda t0, t1: jnp.ones((1, 3)))
    y = gx.solvers.EulerMaruyama().advance(terms, 2.0, 3.0, net.start(), None)
    np.testing.assert_allclose(y, [[0, 1, 2], [9, 12, 15], [6, 7, 8]])
