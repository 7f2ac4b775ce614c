"""BOLD against an adaptive solver of the plain Balloon equations, a direct convolution, and closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.monitors import Balloon, HRFBold, Subsample, Window
from toys import clock, drive

SINGLE = jnp.result_type(float) == jnp.float32
NET = clock()
# As printed: Friston et al. (2003), table 1; Stephan et al. (2007), table 1; SPM12's spm_fx_fmri.m and spm_gx_fmri.m.
# Rates 1/s, times s; the coefficients of the signal worked out by hand.
FRISTON = dict(kappa=0.65, gamma=0.41, tau=0.98, alpha=0.32, E_0=0.34, V_0=0.02, k=(7 * 0.34, 2.0, 2 * 0.34 - 0.2))
STEPHAN = FRISTON | dict(V_0=0.04, k=(4.3 * 40.3 * 0.34 * 0.04, 1.43 * 25 * 0.34 * 0.04, 1 - 1.43))
SPM = dict(kappa=0.64, gamma=0.32, tau=2.0, alpha=0.32, E_0=0.4, V_0=0.04, k=(4.3 * 40.3 * 0.4 * 0.04, 0.4, 0.0))
PUBLISHED = {"stephan2007": STEPHAN, "friston2003": FRISTON, "spm12": SPM}


def balloon(times, z, p):
    """Signal at the times in s of one region driven by z(s): s, f, v and q themselves, adaptively to ten digits."""

    def flow(t, x):
        s, f, v, q = x
        return [
            z(t) - p["kappa"] * s - p["gamma"] * (f - 1),
            s,
            (f - v ** (1 / p["alpha"])) / p["tau"],
            (f * (1 - (1 - p["E_0"]) ** (1 / f)) / p["E_0"] - v ** (1 / p["alpha"]) * q / v) / p["tau"],
        ]

    times = np.asarray(times)
    found = scipy.integrate.solve_ivp(flow, (0, times[-1]), [0.0, 1, 1, 1], "DOP853", times, rtol=1e-10, atol=1e-12)
    _, _, v, q = found.y
    k1, k2, k3 = p["k"]
    return p["V_0"] * (k1 * (1 - q) + k2 * (1 - q / v) + k3 * (1 - v))


def balloons(times, p, n=3):
    """The same for all regions of the clock, `(time, region)`."""
    return np.stack([balloon(times, lambda t, i=i: drive(1000 * t)[i], p) for i in range(n)], 1)


@eqx.filter_jit
def watch(monitor, path, dt):
    """Samples, and the last state, of a monitor that sees one window of whole strides."""
    monitor_state = monitor.init(path[0])
    period = round(monitor.period / dt)
    assert abs(period * dt - monitor.period) < 1e-6
    stride, steps = monitor.stride(dt, period), len(path) - 1
    monitor_state, samples = monitor.update(monitor_state, Window(path[:-1], path[-1], steps, steps, None, dt, stride))
    return samples[period // stride - 1 :: period // stride], monitor_state


def seen(monitor, seconds, dt=20.0, z=drive):
    """Samples of the clock's drive, without a simulation."""
    path = jnp.asarray(z(dt * np.arange(round(1000 * seconds / dt) + 1)))[:, None]
    return np.asarray(watch(monitor, path, dt)[0])


@pytest.mark.slow("float32")
@pytest.mark.parametrize("constants", PUBLISHED)
def test_a_run_agrees_with_scipy_at_the_default_step(constants):
    """To 3e-6 in a signal of a few per cent, with every set of constants."""
    monitors = {"bold": Balloon(source="drive", period=500.0, constants=constants)}
    run = gx.simulate(NET, duration=20_000.0, dt=4.0, monitors=monitors)
    expected = balloons(run["bold"].times / 1000, PUBLISHED[constants])
    assert np.ptp(expected) > 0.02
    assert np.abs(np.asarray(run["bold"].values) - expected).max() < 3e-6


def finer(monitor, longest):
    """The same kind of monitor with another longest step."""
    return type(monitor.__name__, (monitor,), {"longest_step": longest})


@pytest.mark.slow
@pytest.mark.skipif(SINGLE, reason="the order of convergence needs digits")
@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("heun", 2)])
def test_the_error_shrinks_with_the_steps_power(scheme, order):
    """Also that of averaging the activity, which is known as coarsely as the monitor steps."""
    expected = balloons(np.arange(1, 11), STEPHAN)
    steps = (20.0, 10.0, 5.0)
    found = [seen(finer(Balloon, h)(source="S", period=1000.0, scheme=scheme), 10, h) for h in steps]
    errors = [np.abs(x - expected).max() for x in found]
    ratios = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(ratios - order) < 0.12).all(), (errors, ratios)
    assert errors[-1] < {1: 3e-4, 2: 3e-7}[order]


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from(["heun", "euler"]))
@settings(max_examples=8, phases=[Phase.generate])
def test_random_drives_agree_with_scipy(seed, scheme):
    """Sums of waves of random frequencies, up to an event a second, of random sizes."""
    rng = np.random.default_rng(seed)
    sizes, frequencies, phases = rng.normal(0, 0.1, 4), rng.uniform(0.01, 1.0, 4), rng.uniform(0, 2 * np.pi, 4)
    wave = lambda s: (sizes * np.sin(2 * np.pi * frequencies * np.asarray(s)[..., None] + phases)).sum(-1)  # noqa: E731
    z = lambda ms: wave(ms / 1000)[:, None] * np.ones(3)  # noqa: E731
    found = seen(Balloon(source="S", period=500.0, scheme=scheme), 8, 20.0, z)
    expected = balloon(np.arange(0.5, 8.1, 0.5), wave, STEPHAN)
    # Euler's error is half a step's delay of the signal, its slope up to 0.03 a second here
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=1e-5 if scheme == "heun" else 1e-3)


@pytest.mark.parametrize(
    ("tesla", "k"),
    [(1.5, (2.35674, 0.4862, -0.43)), (3.0, (3.53511, 0.52734, 0.53)), (7.0, (7.7001, 0.0841568, 0.974))],
)
def test_field_strengths_change_the_signal_alone(tesla, k):
    """The coefficients worked out by hand; at 1.5 T they are the constants' own."""
    monitor = Balloon(source="S", period=1000.0, tesla=tesla)
    expected = balloons(np.arange(1, 7), STEPHAN | dict(k=k))
    np.testing.assert_allclose(seen(monitor, 6), expected, rtol=0, atol=5e-6)
    if tesla == 1.5:
        assert repr(monitor) == repr(Balloon(source="S", period=1000.0))


@pytest.mark.parametrize("dt", [4.0, 0.5])
def test_the_step_of_a_run_hardly_changes_the_signal(dt):
    """Up to 20 ms, it is the monitor's own step that counts."""
    monitor = Balloon(source="drive", period=500.0)
    np.testing.assert_allclose(seen(monitor, 5, dt), seen(monitor, 5, 20.0), rtol=0, atol=4e-7)


@given(st.integers(1, 3000), st.sampled_from([0.1, 0.5, 1.0, 2.0, 2.5, 7.0, 20.0, 25.0]))
def test_a_step_is_the_longest_divisor_of_the_period_up_to_20_ms(period, dt):
    for monitor in (Balloon(source="S", period=period * dt), HRFBold(source="S", period=period * dt)):
        stride = monitor.stride(dt, period)
        allowed = [k for k in range(1, period + 1) if period % k == 0 and k * dt <= 20.0]
        assert stride == max(allowed, default=1)


@pytest.mark.slow
@pytest.mark.once
def test_the_length_of_a_run_and_its_cut_change_nothing(rounding):
    """720 ms at 4 ms are 36 steps of 20 ms; parts end within a period and within such a step."""
    monitors = {kind.__name__: kind(source="drive", period=720.0) for kind in (Balloon, HRFBold)}
    whole = gx.simulate(NET, duration=3600.0, dt=4.0, monitors=monitors)
    one = gx.simulate(NET, duration=1012.0, dt=4.0, monitors=monitors)
    two = gx.simulate(NET, duration=3600.0 - 1012.0, dt=4.0, monitors=monitors, start=one.final)
    for name in monitors:
        values = np.concatenate([one[name].values, two[name].values])
        np.testing.assert_allclose(values, whole[name].values, rtol=0, atol=rounding / 10, err_msg=name)
        for run, times in [(whole, np.arange(1, 6)), (one, [1]), (two, np.arange(2, 6))]:
            np.testing.assert_allclose(run[name].times, 720.0 * np.asarray(times))
        assert whole[name].stamp == 0 and whole[name].dims == ("time", "region")


@pytest.mark.slow
@pytest.mark.parametrize("constants", PUBLISHED)
def test_at_rest_the_signal_is_exactly_zero(constants):
    monitor = Balloon(source="drive", period=1000.0, constants=constants)
    assert (seen(monitor, 30, z=lambda t: 0 * drive(t)) == 0).all()
    values = np.linspace(0.31, 0.47, 3)  # also where 1 - (1 - E_0)^1 is not E_0 in binary
    regional = Balloon(source="drive", period=1000.0, constants=constants, E_0=values, alpha=values, tau=values)
    assert (seen(regional, 30, z=lambda t: 0 * drive(t)) == 0).all()


def test_a_run_of_a_silent_network_records_zeros():
    monitors = Balloon(source="quiet", period=300.0)
    assert (np.asarray(gx.simulate(NET, duration=1200.0, dt=4.0, monitors=monitors)["monitor"].values) == 0).all()


@pytest.mark.parametrize("constants", PUBLISHED)
def test_the_signal_of_a_state_is_the_papers(constants, rounding):
    """With 1 - q/v in the middle: 1 - q/E_0, found in published codes, is far from it."""
    p = PUBLISHED[constants]
    v, q = np.array([1.0, 1.2, 0.9]), np.array([1.0, 0.8, 1.1])
    monitor = Balloon(source="S", period=1.0, constants=constants)
    found = monitor.signal(jnp.asarray(np.log([v, v, v, q])))
    k1, k2, k3 = p["k"]
    np.testing.assert_allclose(found, p["V_0"] * (k1 * (1 - q) + k2 * (1 - q / v) + k3 * (1 - v)), atol=rounding)
    assert found[0] == 0


@pytest.mark.slow("float32")
@pytest.mark.parametrize("constants", PUBLISHED)
def test_kappa_and_gamma_are_rates(constants):
    """After a brief weak pulse flow is a damped wave: half a period is pi / sqrt(gamma - kappa^2 / 4), 5.7 s, or 2.3 s
    if the published rates are taken for time constants."""
    p = PUBLISHED[constants]
    monitor = Balloon(source="S", period=20.0, constants=constants)
    omega = np.sqrt(p["gamma"] - p["kappa"] ** 2 / 4)

    def flow(seconds):
        t = np.arange(round(seconds * 50) + 1) * 20.0
        pulse = np.where((t == 100.0)[:, None, None], 0.02, 0.0)  # 0.02 / s for 20 ms
        _, ((_, f, *_), _) = watch(monitor, jnp.asarray(pulse), 20.0)
        return float(jnp.expm1(f)[0]), seconds - 0.1

    for seconds in (2.0, 0.1 + np.pi / omega + 1.0):
        found, t = flow(round(seconds * 50) / 50)
        expected = 0.02 * 0.02 * np.exp(-p["kappa"] * t / 2) * np.sin(omega * t) / omega
        np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.slow
def test_tau_is_a_time(rounding):
    """Under a lasting drive flow settles at 1 + z / gamma and volume at f^alpha, the later the longer the transit."""
    z = 0.1
    path = jnp.full((2001, 1, 2), z)
    monitor = Balloon(source="S", period=20.0, tau=np.array([0.5, 3.0]))
    _, (late, _) = watch(monitor, path, 20.0)
    f = 1 + z / 0.41
    np.testing.assert_allclose(np.exp(late[1:3, 0]), [f, f**0.32], rtol=1e-3)
    _, (early, _) = watch(monitor, path[:151], 20.0)
    fractions = early[2] / np.log(f**0.32)
    assert fractions[0] > 0.75 and fractions[1] < 0.6


@pytest.mark.once
@pytest.mark.parametrize("constants", PUBLISHED)
def test_named_constants_are_the_published(constants, rounding):
    monitor = Balloon(source="S", period=720.0, constants=constants)
    for name, value in PUBLISHED[constants].items():
        if name != "k":
            np.testing.assert_allclose(getattr(monitor, name), value, rtol=1e-6, err_msg=name)
    assert (monitor.theta_0 is None) == (constants == "friston2003")


def test_overrides_and_other_coefficients(rounding):
    for name, value in dict(kappa=0.9, gamma=0.3, tau=1.5, alpha=0.25, E_0=0.5, V_0=0.1).items():
        p = STEPHAN | {name: value}
        if name == "E_0":
            p["k"] = (4.3 * 40.3 * 0.5 * 0.04, 1.43 * 25 * 0.5 * 0.04, 1 - 1.43)
        found = seen(Balloon(source="S", period=1000.0, **{name: value}), 6)
        np.testing.assert_allclose(found[:, 0], balloons(np.arange(1, 7), p, 1)[:, 0], rtol=0, atol=5e-6, err_msg=name)
    field = Balloon(source="S", period=1000.0, theta_0=80.6, TE=0.03, epsilon=0.5, r_0=110.0)  # 3 T
    p = STEPHAN | dict(k=(4.3 * 80.6 * 0.34 * 0.03, 0.5 * 110 * 0.34 * 0.03, 0.5))
    np.testing.assert_allclose(seen(field, 6)[:, 0], balloons(np.arange(1, 7), p, 1)[:, 0], rtol=0, atol=5e-6)
    classic = seen(Balloon(source="S", period=1000.0, coefficients="classic", V_0=0.02), 6)
    np.testing.assert_allclose(
        classic, seen(Balloon(source="S", period=1000.0, constants="friston2003"), 6), rtol=0, atol=rounding
    )


def test_constants_may_be_one_value_a_region(rounding):
    values = dict(kappa=np.array([0.5, 0.65, 0.9]), E_0=np.array([0.3, 0.34, 0.5]), epsilon=np.array([0.5, 1.0, 1.4]))
    together = seen(Balloon(source="S", period=1000.0, **values), 8)
    for i in range(3):
        alone = seen(Balloon(source="S", period=1000.0, **{name: v[i] for name, v in values.items()}), 8)
        np.testing.assert_allclose(together[:, i], alone[:, i], rtol=0, atol=rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(constants="stephan"), "no Balloon constants 'stephan'; there are stephan2007, friston2003, spm12"),
        (dict(kapa=0.6), r"no Balloon constant 'kapa'; did you mean 'kappa'\? 'stephan2007' has kappa, gamma, tau,"),
        (dict(xyz=1.0), "no Balloon constant 'xyz'; 'stephan2007' has"),
        (dict(constants="friston2003", TE=0.03), "no Balloon constant 'TE'; .*'friston2003' has kappa"),
        (dict(coefficients="new"), "coefficients are 'revised' or 'classic', got 'new'"),
        (dict(constants="friston2003", coefficients="revised"), "'friston2003' has no theta_0, r_0, TE and epsilon"),
        (dict(source=("S", "x")), r"Balloon listens to one state or output: source='S'; got \('S', 'x'\)"),
        (dict(tesla=9.4), "tesla is 1.5, 3 or 7, got 9.4; for other fields give theta_0, r_0, TE and epsilon"),
        (dict(tesla=3.0, constants="friston2003"), "'friston2003' does not depend on the field strength"),
        (dict(scheme="rk4"), "scheme is 'heun' or 'euler', got 'rk4'"),
    ],
)
def test_wrong_constants_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Balloon(**dict(source="S", period=720.0) | arguments)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Balloon, HRFBold])
def test_gradients_equal_finite_differences(make):
    """Of all hemodynamic parameters at once, and of the activity itself."""
    monitor = make(source="S", period=500.0)
    if make is HRFBold:  # one value a region
        monitor = eqx.tree_at(lambda m: m.kernel.tau_f, monitor, jnp.array([0.3, 0.4, 0.5]))
    path = jnp.asarray(drive(20.0 * np.arange(201)))[:, None]
    free, fixed = eqx.partition((monitor, path), eqx.is_inexact_array)

    @jax.jit
    def value(free):
        return 1e4 * jnp.mean(watch(*eqx.combine(free, fixed), 20.0)[0] ** 2)

    gradient = jax.jit(jax.grad(value))(free)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    rng, step = np.random.default_rng(0), 5e-3 if SINGLE else 1e-5
    for part in range(2):
        scale = [1.0 if i == part else 0.0 for i in range(2)]
        direction = tuple(
            jax.tree.map(lambda x, k=k: k * jnp.asarray(rng.uniform(0.5, 1.0, x.shape), x.dtype) * x, tree)
            for k, tree in zip(scale, free, strict=True)
        )
        ahead, behind = (jax.tree.map(lambda x, d, h=h: x + h * d, free, direction) for h in (step, -step))
        numeric = (value(ahead) - value(behind)) / (2 * step)
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        exact = sum(jnp.vdot(a, b) for a, b in pairs)
        np.testing.assert_allclose(exact, numeric, rtol=5e-3 if SINGLE else 1e-6)


@pytest.mark.slow
def test_bold_leaves_the_activity_alone(rounding):
    """A monitor with other steps changes the cut of a run, not its states."""
    bold = {"bold": Balloon(source="drive", period=360.0), "every": Subsample(period=100.0)}
    run = gx.simulate(NET, duration=1800.0, dt=4.0, monitors=bold)
    np.testing.assert_array_equal(run["every"].values[:, 0, 0], run["every"].times)
    assert run["bold"].values.shape == (5, 3)
