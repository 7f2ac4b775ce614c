"""Fixed points and modes against scipy, closed forms and the flow itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import lambertw

import gyrax as gx
from conftest import DOUBLE


class Pitchfork(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    a: gx.Array = gx.parameter(0.1)

    def drift(self, t, y, u):
        return self.a * y - y**3 + u


def pitchforks(n=2, strength=0.0):
    weights = (1 - np.eye(n)) * strength
    return gx.Network(Pitchfork(), gx.couplings.Linear(source="x"), weights)


def test_all_fixed_points_of_two_pitchforks():
    found = gx.analysis.fixed_points(pitchforks(), 160)
    size = np.sqrt(0.1)
    expected = {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {tuple(np.round(x[0] / size).astype(int)) for x in found.values} == expected
    np.testing.assert_allclose(np.abs(found.values[found.stable]), size, rtol=1e-6 if DOUBLE else 1e-3)
    assert found.stable.sum() == 4
    # at zero the slope is a, where both stand out -2 a
    rates = {
        tuple(np.abs(np.round(x[0] / size)).astype(int)): rate
        for x, rate in zip(found.values, found.rates, strict=True)
    }
    assert rates[(0, 0)] == pytest.approx(0.1, rel=1e-3) and rates[(1, 1)] == pytest.approx(-0.2, rel=1e-3)


def test_fixed_points_are_those_of_scipy():
    rng = np.random.default_rng(0)
    n = 5
    net = gx.Network(
        gx.models.WongWang(w=0.5, I_o=0.32),
        gx.couplings.Linear(source="S", strength=0.4),
        rng.uniform(0, 0.4, (n, n)) * (1 - np.eye(n)),
    )
    found = gx.analysis.fixed_points(net, 8)
    best = found[int(np.flatnonzero(found.stable)[0])]
    near = root(lambda x: np.asarray(net.drift(0.0, jnp.asarray(x[None])), float)[0], np.full(n, 0.1), tol=1e-8)
    np.testing.assert_allclose(best.values[0], near.x, rtol=1e-6 if DOUBLE else 2e-3)
    assert best.names == (net.model.states, net.labels)
    assert found.to_xarray()["value"].dims == ("point", "state", "region")


def test_a_run_ends_where_the_flow_does():
    net = gx.Network(
        gx.models.JansenRit(mu=0.08), gx.couplings.Linear(source="psp", strength=0.001), np.ones((3, 3)) - np.eye(3)
    )
    found = gx.analysis.fixed_points(net, 4)
    run = gx.simulate(net, 3000.0, 0.5)
    at = np.flatnonzero([np.allclose(np.asarray(run.final.y), x, rtol=1e-3, atol=1e-4) for x in found.values])
    assert len(at) == 1 and found.stable[at[0]]


def test_modes_without_delays_are_eigenvalues():
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=(4, 4)) * (1 - np.eye(4))
    net = gx.Network(gx.models.Linear(gamma=-3.0), gx.couplings.Linear(source="x"), weights)
    found = gx.analysis.modes(net, np.zeros((1, 4)))
    expected = np.linalg.eigvals(-3 * np.eye(4) + weights)
    np.testing.assert_allclose(np.sort_complex(found.rates), np.sort_complex(expected), rtol=1e-8 if DOUBLE else 1e-4)
    np.testing.assert_allclose(
        (-3 * np.eye(4) + weights) @ found.shapes[0, 0],
        found.rates[0] * found.shapes[0, 0],
        atol=1e-8 if DOUBLE else 1e-4,
    )
    assert found.frequencies[0] == pytest.approx(abs(found.rates[0].imag) / (2 * np.pi) * 1000)


@pytest.mark.parametrize(
    ("a", "b", "tau"),
    [
        (0.05, 0.08, 1.0),
        (0.05, 0.08, 6.0),
        (0.05, 0.08, 30.0),
        (0.08, 0.08, 20.0),  # one rate is zero
        (1.0, 0.001, 20.0),  # dies much faster than anything arrives, where collocation has rates of its own
    ],
)
def test_modes_with_a_delay_are_lambert_s(a, b, tau):
    connectome = gx.Connectome(np.array([[0.0, b], [b, 0.0]]), tau * (1 - np.eye(2)))
    net = gx.Network(gx.models.Linear(gamma=-a), gx.couplings.Linear(source="x"), connectome, gx.Delay(speed=1.0))
    found = gx.analysis.modes(net, np.zeros((1, 2)), 6)
    # the sum of both hears b, their difference -b: lambda + a = +-b exp(-lambda tau)
    roots = [-a + lambertw(s * b * tau * np.exp(a * tau), k) / tau for s in (1, -1) for k in range(-6, 7)]
    expected = sorted(roots, key=lambda x: (-round(x.real, 9), -x.imag))[:6]
    got = sorted(found.rates, key=lambda x: (-round(x.real, 9), -x.imag))
    np.testing.assert_allclose(got, expected, rtol=1e-6 if DOUBLE else 1e-4, atol=1e-9 if DOUBLE else 1e-7)
    if b > a:
        assert not found.stable and found.lifetimes[0] < 0


def test_delays_make_a_network_swing_where_the_published_line_says():
    # x' = -a x - b x(t - tau): lost at arccos(-a/b) / sqrt(b^2 - a^2), Hayes (1950), J. London Math. Soc. 25; here of the sum of both
    a, b = 0.05, 0.1
    critical = np.arccos(-a / b) / np.sqrt(b**2 - a**2)

    def first(tau):
        connectome = gx.Connectome(np.array([[0.0, b], [b, 0.0]]), tau * (1 - np.eye(2)))
        coupling = gx.couplings.Linear(source="x", weights=np.array([[0.0, -b], [-b, 0.0]]))
        net = gx.Network(gx.models.Linear(gamma=-a), coupling, connectome, gx.Delay(speed=1.0))
        found = gx.analysis.modes(net, np.zeros((1, 2)), 8)
        together = np.abs(found.shapes[:, 0, 0] - found.shapes[:, 0, 1]) < 1e-3
        return found.rates[together][0]

    assert first(0.97 * critical).real < 0 < first(1.03 * critical).real
    assert abs(first(critical).real) < 1e-6
    assert abs(first(critical).imag) == pytest.approx(np.sqrt(b**2 - a**2), rel=1e-5)


def test_what_does_not_rest_has_no_modes():
    net = pitchforks()
    with pytest.raises(ValueError, match="does not rest in this state: x of"):
        gx.analysis.modes(net, np.full((1, 2), 0.7))
    with pytest.raises(ValueError, match="expected \\(state, region\\)"):
        gx.analysis.modes(net, np.zeros(2))
    with pytest.raises(ValueError, match="starts have shape"):
        gx.analysis.fixed_points(net, np.zeros((1, 2)))


def test_a_network_without_rest_is_said():
    net = gx.Network(gx.models.Kuramoto(), gx.couplings.Kuramoto(source="theta"), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="none led to a state in which the network stands still"):
        gx.analysis.fixed_points(net, 3)


@pytest.mark.slow
def test_groups_rest_and_move_as_their_parts_do():
    parts = {"fast": gx.models.Linear(gamma=-2.0), "two": gx.models.Hopf(a=-0.3, omega=0.1)}
    groups = gx.Groups({"fast": (parts["fast"], ["A", "C"]), "two": (parts["two"], ...)})
    connectome = gx.Connectome(np.ones((3, 3)) - np.eye(3), 20.0 * (np.ones((3, 3)) - np.eye(3)), labels=list("ABC"))
    coupling = gx.couplings.Linear(source="fast.x", target="fast.c", strength=0.5)
    for delay in (None, gx.Delay(speed=20.0)):
        net = gx.Network(groups, coupling, connectome, delay)
        if delay is None:  # which moves none
            points = gx.analysis.fixed_points(net, 4)
            assert len(points) == 1 and points.lost == 0
            np.testing.assert_allclose(np.asarray(points[0]), 0, atol=1e-12)
        found = gx.analysis.modes(net, points[0], 4)
        ends = [-1.5, -2.5] if delay is None else [-2 + np.real(lambertw(0.5 * np.exp(2.0)))]
        expected = np.sort([-0.3, -0.3, *ends])[::-1]
        np.testing.assert_allclose(found.rates.real[: len(expected)], expected, rtol=1e-6 if DOUBLE else 1e-4)
    noisy = gx.Network(groups, coupling, connectome, noise=gx.noise.White(sigma=0.1, states="fast.x"))
    theory = gx.analysis.linear_noise(noisy).covariance("fast.x")
    assert theory.names == (("A", "C"), ("A", "C"))
    # (A - B) and (A + B) apart: sigma^2 / (2 rate)
    np.testing.assert_allclose(theory.values[0, 0], 0.01 * (1 / 1.5 + 1 / 2.5) / 4, rtol=1e-6 if DOUBLE else 1e-4)


def test_regions_that_are_alike_have_modes_of_one_rate_with_delays_too():
    """On a ring waves go round both ways: of a wave number k the rates solve x + 1 = 0.6 cos(2 pi k / 6) exp(-5 x)."""
    n = 6
    weights = np.roll(np.eye(n), 1, 0) + np.roll(np.eye(n), -1, 0)
    net = gx.Network(
        gx.models.Linear(gamma=-1.0),
        gx.couplings.Linear(source="x", strength=0.3),
        gx.Connectome(weights, lengths=20 * weights),
        delay=gx.Delay(speed=4.0),
    )
    found = gx.analysis.modes(net, np.zeros((1, n)), 12)
    expected = []
    for k in range(n):
        size = 0.6 * np.cos(2 * np.pi * k / n)
        expected += [lambertw(5 * size * np.exp(5), branch) / 5 - 1 for branch in range(-8, 9)]
    expected = np.sort_complex(-np.array(expected))[:12]  # by real parts, the last to die first
    np.testing.assert_allclose(np.sort(found.rates.real), np.sort(-expected.real), atol=1e-8)
    assert np.linalg.matrix_rank(found.shapes[:7].reshape(7, n)) == 4  # two of pairs that turn, two that do not
    for mode in range(12):
        rate, shape = found.rates[mode], found.shapes[mode, 0]
        np.testing.assert_allclose(
            rate * shape, -shape + 0.3 * np.exp(-5 * rate) * weights @ shape, atol=1e-7 if DOUBLE else 1e-5
        )


@pytest.mark.parametrize("strength", [0.0, 1e-300, 1e-14])
def test_what_is_hardly_coupled_has_its_own_rates(strength):
    weights = np.array([[0.0, 1.0, 0.5], [0.2, 0.0, 1.0], [1.0, 0.3, 0.0]])
    connectome = gx.Connectome(weights, lengths=30 * weights)
    coupling = gx.couplings.Linear(source="x", strength=strength)
    net = gx.Network(gx.models.Linear(gamma=-0.5), coupling, connectome, delay=gx.Delay(speed=3.0))
    np.testing.assert_allclose(gx.analysis.modes(net, np.zeros((1, 3)), 3).rates, -0.5, atol=1e-6)
