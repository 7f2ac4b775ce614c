"""Linear theory against closed forms, scipy's equations and long runs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, signal

import gyrax as gx
from conftest import DOUBLE

N = 4
TIGHT = dict(rtol=1e-9, atol=1e-12) if DOUBLE else dict(rtol=2e-4, atol=1e-6)


def ring(n=N):
    return np.roll(np.eye(n), 1, axis=0)


def drawn(seed=0, n=5, scale=0.15):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, scale, (n, n)) * (1 - np.eye(n))


def wong_wang(n=6, seed=1, **more):
    """A small network that rests at a fixed point."""
    weights = drawn(seed, n, 2 / n)
    labels = [f"region {i}" for i in range(n)]
    connectome = gx.Connectome(weights, 40 * (1 - np.eye(n)), labels=labels)
    more = {"noise": gx.noise.White(sigma=0.002)} | more
    return gx.Network(
        gx.models.WongWang(w=np.linspace(0.3, 0.5, n), I_o=0.32),
        gx.couplings.Linear(source="S", strength=0.3),
        connectome,
        **more,
    )


def linear(weights, gamma=-2.0, **more):
    more = {"noise": gx.noise.White(sigma=0.1)} | more
    return gx.Network(gx.models.Linear(gamma=gamma), gx.couplings.Linear(source="x"), weights, **more)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), gamma=st.floats(-5.0, -1.0), mixed=st.booleans())
def test_covariances_are_those_of_the_lyapunov_equation(seed, gamma, mixed):
    weights, rng = drawn(seed), np.random.default_rng(seed)
    mixing = rng.normal(size=(5, 5)) if mixed else np.eye(5)
    sigma = rng.uniform(0.1, 1.0, 5)
    net = linear(weights, gamma, noise=gx.noise.White(sigma=sigma, mixing=mixing if mixed else None))
    brought = sigma[:, None] * mixing
    expected = linalg.solve_continuous_lyapunov(gamma * np.eye(5) + weights, -brought @ brought.T)
    np.testing.assert_allclose(np.asarray(gx.analysis.linear_noise(net).covariance("x")), expected, **TIGHT)


def test_coloured_noise_adds_its_own_rows():
    weights, sigma, tau = drawn(3), 0.4, 7.0
    net = linear(weights, noise={"a": gx.noise.White(sigma=0.2), "b": gx.noise.OrnsteinUhlenbeck(sigma=sigma, tau=tau)})
    n = 5
    flow = np.block([[-2 * np.eye(n) + weights, np.eye(n)], [np.zeros((n, n)), -np.eye(n) / tau]])
    strength = linalg.block_diag(0.04 * np.eye(n), 2 * sigma**2 / tau * np.eye(n))
    expected = linalg.solve_continuous_lyapunov(flow, -strength)[:n, :n]
    theory = gx.analysis.linear_noise(net)
    np.testing.assert_allclose(np.asarray(theory.covariance("x")), expected, **TIGHT)
    # averages over T of an Ornstein-Uhlenbeck process have 2 (q - 1 + exp(-q)) / q**2 of its variance, with q = T / tau
    plain = linear(np.zeros((2, 2)), -0.5)
    found = gx.analysis.linear_noise(plain).covariance(gx.monitors.TemporalAverage(source="x", period=4.0))
    share = 2 * (2 - 1 + np.exp(-2)) / 2**2
    np.testing.assert_allclose(np.asarray(found), 0.01 * share * np.eye(2), rtol=1e-4, atol=1e-9)


@pytest.mark.slow
@pytest.mark.once
def test_coloured_noise_may_enter_by_inputs():
    noise = {"inputs": gx.noise.OrnsteinUhlenbeck(sigma=0.02, tau=5.0, inputs="c")}
    net = wong_wang(noise=noise)
    theory = gx.analysis.linear_noise(net)

    def flow(y, u):
        return net.model.drift(0.0, y, net.input(0.0, y) + u)

    n, y = 6, theory.state
    at_once = np.asarray(jax.jacfwd(lambda x: flow(x[None], 0.0)[0])(y[0]), float)
    felt = np.asarray(jax.jvp(lambda u: flow(y, u), (jnp.zeros_like(y),), (jnp.ones_like(y),))[1][0], float)
    whole = np.block([[at_once, np.diag(felt)], [np.zeros((n, n)), -np.eye(n) / 5.0]])
    strength = linalg.block_diag(np.zeros((n, n)), 2 * 0.02**2 / 5.0 * np.eye(n))
    expected = linalg.solve_continuous_lyapunov(whole, -strength)[:n, :n]
    found = np.asarray(theory.covariance("S"))
    np.testing.assert_allclose(found, expected, rtol=1e-8 if DOUBLE else 2e-3)


def variance_with_delay(a, b, tau):
    """Of x' = a x + b x(t - tau) + white noise, |b| < -a: Kuchler & Mensch (1992), Stochastics and Stochastics Reports 40."""
    rate = np.sqrt(a**2 - b**2)
    return (b * np.sinh(rate * tau) - rate) / (2 * rate * (a + b * np.cosh(rate * tau)))


@pytest.mark.parametrize(("b", "tau"), [(0.02, 3.0), (0.08, 24.0), (0.05, 40.0)])
def test_with_a_delay_covariances_are_the_closed_form(b, tau):
    # two regions that hear each other: their sum and their difference are scalar equations with b and -b
    connectome = gx.Connectome(np.array([[0.0, b], [b, 0.0]]), tau * (1 - np.eye(2)))
    net = linear(connectome, -0.1, noise=gx.noise.White(sigma=1.0), delay=gx.Delay(speed=1.0))
    found = np.asarray(gx.analysis.linear_noise(net).covariance("x"))
    one, other = variance_with_delay(-0.1, b, tau), variance_with_delay(-0.1, -b, tau)
    expected = np.array([[one + other, one - other], [one - other, one + other]]) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4 if DOUBLE else 1e-3, atol=1e-4 if DOUBLE else 1e-3)


@pytest.mark.slow
@pytest.mark.once
def test_two_delayed_couplings_are_one_of_both_weights():
    b, tau = 0.06, 12.0
    connectome = gx.Connectome(np.array([[0.0, b], [b, 0.0]]), tau * (1 - np.eye(2)))
    halves = {name: gx.couplings.Linear(source="x", strength=0.5) for name in ("one", "other")}
    more = dict(delay=gx.Delay(speed=1.0), noise=gx.noise.White(sigma=1.0))
    whole = gx.Network(gx.models.Linear(gamma=-0.1), gx.couplings.Linear(source="x"), connectome, **more)
    both = gx.Network(gx.models.Linear(gamma=-0.1), halves, connectome, **more)
    found, expected = (np.asarray(gx.analysis.linear_noise(net).covariance("x")) for net in (both, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-8 if DOUBLE else 1e-4)


@pytest.mark.slow
@pytest.mark.once
def test_what_swings_for_long_takes_more_frequencies():
    # the Hopf model of slow BOLD: 0.05 Hz for 50 s
    net = gx.Network(
        gx.models.Hopf(a=-2e-5, omega=2 * np.pi * 5e-5),
        gx.couplings.Difference(source=("x", "y"), strength=2e-5),
        drawn(4),
        noise=gx.noise.White(sigma=2e-5),
    )
    theory = gx.analysis.linear_noise(net)
    # averages over a short while are the activity itself
    found = theory.covariance(gx.monitors.TemporalAverage(source="x", period=100.0))
    np.testing.assert_allclose(np.asarray(found), np.asarray(theory.covariance("x")), rtol=1e-3, atol=1e-9)


def test_the_spectrum_is_that_of_an_ornstein_uhlenbeck_process():
    net = linear(np.zeros((2, 2)), -0.05, noise=gx.noise.White(sigma=0.3))
    hz = np.array([0.0, 1.0, 10.0, 50.0])
    omega = 2 * np.pi * hz / 1000
    expected = 2e-3 * 0.09 / (0.05**2 + omega**2)
    theory = gx.analysis.linear_noise(net)
    np.testing.assert_allclose(np.asarray(theory.spectrum(hz, "x"))[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(theory.cross_spectrum(hz, "x"))[:, 1, 1].real, expected, rtol=1e-5)
    # all of it together is the variance
    found = np.asarray(theory.covariance("x"))[0, 0]
    assert found == pytest.approx(0.09 / 0.1, rel=1e-5)


@pytest.mark.parametrize("delayed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_bold_is_the_activity_through_its_kernel(delayed):
    net = wong_wang(delay=gx.Delay(speed=2.0) if delayed else None)
    theory = gx.analysis.linear_noise(net)
    bold = gx.monitors.HRFBold(source="S", period=1000.0, kernel=gx.monitors.Gamma())
    found = np.asarray(theory.covariance(bold))
    hz = np.linspace(0, 2.0, 4001)
    cross = np.asarray(theory.cross_spectrum(hz, "S"))
    t = (np.arange(3200) + 0.5) * 0.01
    kernel = np.asarray(gx.monitors.Gamma()(jnp.asarray(t)[:, None]))[:, 0] * 0.01
    response = np.exp(-2j * np.pi * hz[:, None] * t) @ kernel
    expected = integrate.simpson((np.abs(response) ** 2)[:, None, None] * cross.real, x=hz, axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if DOUBLE else 2e-3)


@pytest.mark.slow
@pytest.mark.once
def test_the_balloon_answers_small_swings_as_its_equations_do():
    balloon = gx.monitors.Balloon(source="x", period=100.0)
    level, hz, size = 0.3, 0.1, 1e-3
    omega = 2 * np.pi * hz / 1000
    t = np.arange(1, 20 * 10_000 // 10 + 1) * 10.0

    class Swing(gx.AbstractModel):
        states, inputs = ("x",), ("c",)

        def drift(self, t, y, u):
            return size * omega * jnp.cos(omega * t) * jnp.ones_like(y)

        def start(self, n):
            return jnp.full((1, n), level)

    net = gx.Network(Swing(), gx.couplings.Linear(source="x"), np.zeros((1, 1)))
    run = gx.simulate(net, float(t[-1]), 10.0, monitors={"bold": balloon})
    values, at = np.asarray(run["bold"].values)[:, 0], np.asarray(run["bold"].times)
    late = at > at[-1] - 50_000
    amplitude = 2 * abs(np.mean((values[late] - values[late].mean()) * np.exp(-1j * omega * at[late])))
    response = balloon.response(jnp.array([omega]), jnp.full((1, 1), level))
    assert amplitude / size == pytest.approx(float(jnp.abs(response[0, 0])), rel=0.01)


@pytest.mark.once
def test_sensors_hear_through_their_lead_field():
    theory = gx.analysis.linear_noise(wong_wang())
    gain = np.random.default_rng(0).normal(size=(3, 6))
    field = gx.LeadField(gain, sensors=["a", "b", "c"], regions=theory.network.labels)
    found = theory.covariance(gx.monitors.EEG(field, source="S", period=1e-3, reference="average"))
    seen = gain - gain.mean(0)
    expected = seen @ np.asarray(theory.covariance("S")) @ seen.T
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-3, atol=1e-9)
    assert found.names == (("a", "b", "c"),) * 2


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delayed", [False, True])
def test_small_noise_makes_of_a_long_run_what_theory_says(delayed):
    net = wong_wang(delay=gx.Delay(speed=2.0) if delayed else None)
    theory, bold = gx.analysis.linear_noise(net), gx.monitors.HRFBold(source="S", period=500.0)

    def one(key):
        run = gx.simulate(
            net, 430_000.0, 5.0, monitors={"S": gx.monitors.Subsample(source="S", period=50.0), "bold": bold}, key=key
        )
        return run["S"].values[600:, 0], run["bold"].values[60:]

    activity, seen = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 24))
    for values, listener in ((activity, "S"), (seen, bold)):
        values = np.asarray(values)
        each = np.stack([np.corrcoef(x.T) for x in values])
        apart = each.mean(0) - np.asarray(theory.fc(listener))
        error = each.std(0) / np.sqrt(len(each)) + 2e-3
        assert (np.abs(apart) < 5 * error).all()
        np.testing.assert_allclose(values.var(axis=(0, 1)), np.diag(np.asarray(theory.covariance(listener))), rtol=0.08)
    hz, density = signal.welch(np.asarray(activity), 20.0, nperseg=1024, axis=1)
    found = density.mean(0)[4:40]
    np.testing.assert_allclose(found, np.asarray(theory.spectrum(hz[4:40], "S")), rtol=0.15)


@pytest.mark.skipif(not DOUBLE, reason="differences need double precision")
@pytest.mark.parametrize("delayed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_differences(delayed):
    delay = gx.Delay(speed=2.0, interpolation="linear", bounds=(1.0, 100.0)) if delayed else None
    net, bold = wong_wang(delay=delay), gx.monitors.HRFBold(source="S", period=1000.0, length=16_000.0)

    def value(net):
        fc = gx.analysis.linear_noise(net).fc(bold).values
        return (fc * jnp.arange(36.0).reshape(6, 6)).sum()

    slope = eqx.filter_jit(eqx.filter_grad(value))(net)
    leaves = [
        lambda n: n.coupling.strength,
        lambda n: n.model.I_o,
        lambda n: n.noise.sigma,
        lambda n: n.connectome.weights,
    ]
    leaves += [lambda n: n.delay.speed] if delayed else []
    rng = np.random.default_rng(0)
    for leaf in leaves:
        at = np.asarray(leaf(net), float)
        way = rng.uniform(0.5, 1.5, at.shape) * (at != 0)
        h = 1e-5 * np.abs(at).max()
        values = [float(value(eqx.tree_at(leaf, net, jnp.asarray(at + s * h * way)))) for s in (1, -1)]
        found = float((np.asarray(leaf(slope)) * way).sum())
        assert found == pytest.approx((values[0] - values[1]) / (2 * h), rel=2e-4, abs=2e-6)


@pytest.mark.once
def test_labels_travel():
    theory = gx.analysis.linear_noise(wong_wang())
    assert theory.fc("S").labels == tuple(f"region {i}" for i in range(6))
    np.testing.assert_allclose(np.diag(np.asarray(theory.fc("S"))), 1.0)


@pytest.mark.once
def test_what_is_unstable_is_said():
    class Pitchfork(gx.AbstractModel):
        states, inputs = ("x",), ("c",)

        def drift(self, t, y, u):
            return 0.1 * y - y**3 + u

    net = gx.Network(Pitchfork(), gx.couplings.Linear(source="x"), np.zeros((2, 2)), noise=gx.noise.White(sigma=0.1))
    unstable = gx.analysis.linear_noise(net)  # zero is a fixed point
    np.testing.assert_allclose(np.asarray(unstable.state), 0.0, atol=1e-6)
    with pytest.raises(ValueError, match="does not come back to this fixed point"):
        unstable.fc("x")
    assert np.isnan(np.asarray(jax.jit(lambda t: t.covariance("x").values)(unstable))).all()
    stable = gx.analysis.linear_noise(net, np.ones((1, 2)))
    np.testing.assert_allclose(np.asarray(stable.state), np.sqrt(0.1), rtol=1e-5)
    assert np.isfinite(np.asarray(stable.covariance("x"))).all()


def test_what_only_delays_make_unstable_is_said():
    # x' = -a x + c y(t - tau), y' = -a y - c x(t - tau): lambda + a = i c exp(-lambda tau), lost where
    # omega = sqrt(c^2 - a^2) and omega tau = arccos(a / c) less than a quarter turn further
    a, c = 0.05, 0.1
    omega = np.sqrt(c**2 - a**2)
    critical = (np.pi / 2 - np.arctan(omega / a)) / omega

    def theory(tau):
        connectome = gx.Connectome(0.1 * (1 - np.eye(2)), tau * (1 - np.eye(2)))
        coupling = gx.couplings.Linear(source="x", weights=np.array([[0.0, c], [-c, 0.0]]))
        noise = gx.noise.White(sigma=0.1)
        return gx.analysis.linear_noise(
            gx.Network(gx.models.Linear(gamma=-a), coupling, connectome, gx.Delay(speed=1.0), noise)
        )

    assert np.isfinite(np.asarray(theory(0.7 * critical).covariance("x"))).all()
    late = theory(1.2 * critical)
    with pytest.raises(ValueError, match="does not come back to this fixed point"):
        late.covariance("x")
    assert np.isnan(np.asarray(jax.jit(lambda t: t.covariance("x").values)(late))).all()
    assert not gx.analysis.modes(late.network, late.state).stable
    assert gx.analysis.modes(late.network, theory(0.99 * critical).state, 2).rates[0].imag == pytest.approx(
        omega, rel=0.2
    )


@pytest.mark.once
def test_what_has_no_theory_is_refused():
    with pytest.raises(ValueError, match="nothing drives this network"):
        gx.analysis.linear_noise(linear(ring(), noise=None))
    stimulus = gx.stimuli.Stimulus(gx.stimuli.Constant(0.1), target="c")
    with pytest.raises(ValueError, match="this network has a stimulus"):
        gx.analysis.linear_noise(wong_wang(stimulus=stimulus))


@pytest.mark.once
def test_wrong_listeners_are_refused():
    theory = gx.analysis.linear_noise(wong_wang())
    with pytest.raises(ValueError, match="frequencies are Hz"):
        theory.spectrum(1.0, "S")
    with pytest.raises(TypeError, match="has no linear response"):
        theory.fc(gx.monitors.GlobalAverage(source="S", period=1.0))
    with pytest.raises(ValueError, match="noise of its own"):
        field = gx.LeadField(np.ones((2, 6)), sensors=["a", "b"])
        theory.fc(gx.monitors.MEG(field, source="S", period=1.0, covariance=0.1))
    with pytest.raises(ValueError, match="start has shape"):
        gx.analysis.linear_noise(wong_wang(), np.ones(6))


@pytest.mark.once
@pytest.mark.slow
def test_side_by_side_they_are_what_each_is_alone():
    """Of networks of which some need many more frequencies than others, and none has to wait in vain for the rest."""
    net = gx.Network(
        gx.models.Hopf(a=-2e-5, omega=2 * np.pi * 5e-5),
        gx.couplings.Difference(source=("x", "y"), strength=2e-5),
        drawn(4),
        noise=gx.noise.White(sigma=2e-5),
    )
    average = gx.monitors.TemporalAverage(source="x", period=100.0)
    several = -jnp.array([[1e-2, 2e-5, 1e-3], [1e-4, 5e-3, 4e-5]])

    def size(a):
        network = eqx.tree_at(lambda n: n.model.a, net, a)
        return jnp.log(gx.analysis.linear_noise(network).covariance(average).values[0, 0])

    one = jax.jit(jax.value_and_grad(size))
    alone = np.array([[one(a) for a in row] for row in several], float)
    values, slopes = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(size))))(several)
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(values, alone[..., 0], rtol=1e-9)
    np.testing.assert_allclose(slopes, alone[..., 1], rtol=1e-7)
    whole = jax.jit(jax.grad(lambda x: jax.vmap(jax.vmap(size))(x).sum()))(several)
    np.testing.assert_allclose(whole, alone[..., 1], rtol=1e-7)


@pytest.mark.once
def test_a_kernel_is_summed_over_averages_of_its_steps():
    """Against sums of covariances of averages, lag by lag, of states with coloured noise and unequal scales."""
    noise = {
        "a": gx.noise.White(sigma=np.linspace(0.001, 0.003, 6)),
        "b": gx.noise.OrnsteinUhlenbeck(sigma=0.0005, tau=70.0),
    }
    net = wong_wang(noise=noise)
    theory = gx.analysis.linear_noise(net)
    bold = gx.monitors.HRFBold(source="S", period=50.0, length=400.0, kernel=lambda t: t * jnp.exp(-t / 0.1))
    found = np.asarray(theory.covariance(bold))

    n = 6
    flow = np.block([[np.asarray(theory.slopes.at_once), np.eye(n)], [np.zeros((n, n)), -np.eye(n) / 70.0]])
    intensity = np.diag([*np.linspace(0.001, 0.003, 6) ** 2, *np.full(n, 2 * 0.0005**2 / 70.0)])
    still = linalg.solve_continuous_lyapunov(flow, -intensity)
    count, h = 24, 400.0 / 24  # whole shares of a period, of at most 20 ms
    kernel = h / 1000 * (t := (np.arange(count) + 0.5) * h / 1000) * np.exp(-t / 0.1)
    # averages over a step by the exponential of blocks: of e^{J s}, and of e^{J (s - s')} on both sides
    once = linalg.expm(np.block([[flow * h, np.eye(2 * n)], [np.zeros((2 * n, 4 * n))]]))[: 2 * n, 2 * n :]
    fine = (np.arange(400) + 0.5) * h / 400
    within = sum((h - s) * linalg.expm(flow * s) for s in fine) * (h / 400) / h**2
    expected = np.zeros((2 * n, 2 * n))
    for i in range(count):
        for j in range(count):
            ahead = (i - j) * h
            if i == j:
                part = within @ still + still @ within.T
            else:
                lag = once @ once @ linalg.expm(flow * (abs(ahead) - h)) @ still
                part = lag.T if ahead > 0 else lag
            expected += kernel[i] * kernel[j] * part
    np.testing.assert_allclose(found, expected[:n, :n], rtol=1e-5)


@pytest.mark.slow("float64")
def test_kernels_of_regions_that_are_one_are_one():
    """What each region has for itself goes through frequencies: another way to the same."""
    theory = gx.analysis.linear_noise(wong_wang())
    one = gx.monitors.HRFBold(source="S", period=500.0, kernel=gx.monitors.Gamma())
    each = eqx.tree_at(lambda m: m.kernel.tau, one, jnp.full(6, float(one.kernel.tau)))
    found, expected = (np.asarray(theory.covariance(m)) for m in (each, one))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def hopf(sigma):
    model, coupling = gx.models.Hopf(a=-0.01, omega=0.06), gx.couplings.Difference(source=("x", "y"), strength=0.05)
    return gx.Network(model, coupling, drawn(4), noise=gx.noise.White(sigma=sigma))


@pytest.mark.once
def test_beyond_small_noise_a_cubic_has_a_closed_form():
    # x' = -a x - x^3: swings of variance v meet slopes of -a - 3 v
    class Cubic(gx.AbstractModel):
        states, inputs = ("x",), ("c",)

        def drift(self, t, y, u):
            return -0.1 * y - y**3 + u

    net = gx.Network(Cubic(), gx.couplings.Linear(source="x"), np.zeros((2, 2)), noise=gx.noise.White(sigma=0.05))
    found = gx.analysis.nonlinearity(gx.analysis.linear_noise(net), "x")
    v = 0.05**2 / 0.2
    np.testing.assert_allclose(np.asarray(found.sd), np.sqrt(v), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(found.sd_beyond), np.sqrt(0.05**2 / (0.2 + 6 * v)), rtol=0.02)
    np.testing.assert_allclose(found.shift, 0.0, atol=1e-9)
    assert not found.small and "not small noise" in repr(found)


@pytest.mark.once
def test_the_mean_moves_as_a_square_moves_it():
    class Square(gx.AbstractModel):
        states, inputs = ("x",), ("c",)

        def drift(self, t, y, u):
            return -0.1 * y + 0.2 * y**2 + u

    net = gx.Network(Square(), gx.couplings.Linear(source="x"), np.zeros((1, 1)), noise=gx.noise.White(sigma=0.02))
    found = gx.analysis.nonlinearity(gx.analysis.linear_noise(net), "x")
    v = 0.02**2 / 0.2
    assert found.shift[0, 0] == pytest.approx(0.2 * v / 0.1 / np.sqrt(v), rel=0.1)
    assert found.fc.shape == (1, 1) and "small noise" in repr(found)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.001, 0.005])
def test_near_a_hopf_bifurcation_runs_differ_as_it_says(sigma):
    net = hopf(sigma)
    theory = gx.analysis.linear_noise(net)
    found = gx.analysis.nonlinearity(theory, "x")

    def one(key):
        seen = gx.simulate(net, 60_000.0, 0.5, monitors={"x": gx.monitors.Subsample(source="x", period=5.0)}, key=key)
        return jnp.cov(seen["x"].values[400:, 0].T)

    covariance = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 32))).mean(0)
    sd = np.sqrt(np.diag(covariance))
    apart = (covariance / sd[:, None] / sd - np.asarray(theory.fc("x")))[np.triu_indices(5, 1)]
    said = found.error[np.triu_indices(5, 1)]
    assert np.abs(apart - said).max() < 0.25 * np.abs(said).max() + 0.006  # what 32 minutes leave open
    assert found.small == (sigma == 0.001)
    np.testing.assert_allclose(sd, np.asarray(found.sd_beyond), rtol=0.03)


@pytest.mark.once
def test_what_is_held_at_its_limits_is_told():
    found = gx.analysis.nonlinearity(gx.analysis.linear_noise(wong_wang(noise=gx.noise.White(sigma=0.01))), "S")
    assert not found.small and "beyond its limits" in repr(found)
    assert (found.outside > 0.1).all()
    quiet = gx.analysis.nonlinearity(gx.analysis.linear_noise(wong_wang()), "S")
    assert quiet.small and (quiet.outside < 1e-3).all()


@pytest.mark.once
@pytest.mark.slow
def test_beyond_small_noise_delays_change_little_where_they_are_short():
    connectome = gx.Connectome(drawn(4), 1.0 * (1 - np.eye(5)))
    models = dict(noise=gx.noise.White(sigma=0.005))
    both = []
    for delay in (None, gx.Delay(speed=100.0)):
        coupling = gx.couplings.Difference(source=("x", "y"), strength=0.05)
        net = gx.Network(gx.models.Hopf(a=-0.01, omega=0.06), coupling, connectome, delay, **models)
        both.append(gx.analysis.nonlinearity(gx.analysis.linear_noise(net), "x"))
    np.testing.assert_allclose(both[0].error, both[1].error, atol=1e-3)


def test_nonlinearity_takes_a_theory():
    with pytest.raises(TypeError, match="theory"):
        gx.analysis.nonlinearity(wong_wang(), "S")


@pytest.mark.once
def test_channels_that_no_noise_reaches_hide_nothing():
    """Of two regions that hear nothing of each other one has noise: what is said is of that one alone."""

    def said(sigma):
        net = linear(np.zeros((2, 2)), noise=gx.noise.White(sigma=np.array(sigma)))
        return gx.analysis.nonlinearity(gx.analysis.linear_noise(net), "x")

    found = said([0.1, 0.0])
    assert (
        found.small
        and "small noise. To the next" in repr(found)
        and "no noise reaches 1 channel, which is" in repr(found)
    )
    assert repr(said([0.0, 0.0])) == "Nonlinearity: no noise reaches any channel"


@pytest.mark.once
def test_spectra_say_what_comes_first():
    theory = gx.analysis.linear_noise(linear(np.zeros((1, 1))))
    for method in (theory.spectrum, theory.cross_spectrum):
        with pytest.raises(TypeError, match="frequencies come first, and what listens second, got 'x' and"):
            method("x", np.array([10.0]))
    assert repr(theory) == "LinearNoise of 1 region, 1 state each"
