"""BOLD by convolution: kernels against The Virtual Brain's values, the stream against a direct sum."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from test_bold import seen, watch
from test_monitors import in_parts

import gyrax as gx
from gyrax.monitors import DoubleExponential, FirstOrderVolterra, Gamma, HRFBold, MixtureOfGammas, Raw
from toys import clock, drive

SINGLE = jnp.result_type(float) == jnp.float32
NET = clock()
KERNELS = {kernel.__name__: kernel for kernel in (FirstOrderVolterra, Gamma, DoubleExponential, MixtureOfGammas)}
VALUES = np.load(Path(__file__).parents[1] / "data" / "tvb_hrf.npz")


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_have_the_values_of_the_virtual_brain(name):
    """Its peaks are those of its own grid, every 1/128 s; its Volterra kernel is a third."""
    expected = VALUES[name] * (3.0 if name == "FirstOrderVolterra" else 1.0)
    found = KERNELS[name]()(jnp.asarray(VALUES["t"]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0.09


def direct(kernel, seconds, period, signal=lambda x: x):
    """The convolution of the clock's drive, summed every ms at the middle of the ms; the error is of second order in it."""
    t = np.arange(round(1000 * seconds))
    z, g = drive(t + 0.5), np.asarray(kernel((t + 0.5) / 1000))
    # at the end of ms n, what happened in ms m was n - m + 0.5 ms ago
    sums = fftconvolve(z, g.reshape(len(t), -1), axes=0)[: len(t)] / 1000
    return signal(sums[period - 1 :: period])


def volterra(t, tau_s=0.8, tau_f=0.4):
    omega = np.sqrt(1.0 / tau_f - 1.0 / (4.0 * tau_s**2))
    return np.exp(-0.5 * (t / tau_s)) * np.sin(omega * t) / omega


@pytest.mark.parametrize("constants", [{}, dict(tau_s=1.2, tau_f=0.6, k_1=4.0, V_0=0.03)], ids=["default", "other"])
@pytest.mark.slow("float32")
def test_the_stream_is_the_convolution_with_the_volterra_kernel(constants):
    kernel = FirstOrderVolterra(**constants)
    found = seen(HRFBold(source="S", period=200.0, kernel=kernel), 12)
    taus = {name: constants[name] for name in ("tau_s", "tau_f") if name in constants}
    k_1, V_0 = constants.get("k_1", 5.6), constants.get("V_0", 0.02)
    expected = direct(lambda t: volterra(t, **taus), 12, 200, lambda x: k_1 * V_0 * (x - 1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    "kernel", [Gamma(), DoubleExponential(), MixtureOfGammas(a_2=10.0, c=0.5)], ids=lambda k: type(k).__name__
)
@pytest.mark.parametrize("period", [720, pytest.param(2000, marks=pytest.mark.long)])
def test_the_stream_is_the_convolution(kernel, period):
    found = seen(HRFBold(source="S", period=float(period), kernel=kernel), 14.4 if period == 720 else 14)
    plain = jax.jit(lambda t: kernel(t))
    expected = direct(lambda t: plain(jnp.asarray(t)), 14.4 if period == 720 else 14, period)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 2e-6)


def test_a_users_own_kernel():
    found = seen(HRFBold(source="S", period=500.0, kernel=lambda t: t * jnp.exp(-t / 2)), 10)
    expected = direct(lambda t: t * np.exp(-t / 2), 10, 500)
    # its slope jumps at 0: strides of 20 ms see that to a 24th of their square
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.once
@settings(max_examples=4, phases=[Phase.generate], deadline=None)
@given(st.sampled_from([10, 36, 50]), st.integers(1, 130), st.integers(1, 130), st.sampled_from([3, 40]))
def test_the_cut_of_a_run_changes_nothing(period, first, second, length):
    """Periods of several strides, runs that end within a period, and within a stride; kernels shorter than a period too."""
    monitors = {"bold": HRFBold(source="drive", period=4.0 * period, length=4.0 * length, kernel=Gamma(tau=0.05))}
    monitors["raw"] = Raw(source="drive")  # for a run of which nothing is recorded is refused
    values, times = in_parts(monitors, 4.0 * first, 4.0 * second, dt=4.0, net=NET)["bold"]
    whole = gx.simulate(NET, duration=4.0 * (first + second), dt=4.0, monitors=monitors)["bold"]
    np.testing.assert_allclose(values, whole.values, rtol=0, atol=2e-7 if SINGLE else 1e-14)
    np.testing.assert_allclose(times, whole.times)


def test_in_a_run_it_equals_itself_on_raw_activity(rounding):
    monitors = {"bold": HRFBold(source="drive", period=500.0), "raw": Raw(source="drive")}
    run = gx.simulate(NET, duration=3000.0, dt=5.0, monitors=monitors)
    path = jnp.concatenate([jnp.asarray(drive([0.0])[:, None], run["raw"].values.dtype), run["raw"].values])
    np.testing.assert_allclose(run["bold"].values, watch(monitors["bold"], path, 5.0)[0], rtol=0, atol=rounding)


def test_it_settles_at_the_kernels_integral():
    """One value a region of a kernel's parameter; the integral is tau_f, of which 32 s hold all that counts."""
    path = jnp.full((1651, 1, 2), 2.0)
    kernel = FirstOrderVolterra(tau_f=jnp.array([0.4, 0.7]))
    samples = watch(HRFBold(source="S", period=1000.0, kernel=kernel), path, 20.0)[0]
    np.testing.assert_allclose(samples[-1], 5.6 * 0.02 * (2.0 * np.array([0.4, 0.7]) - 1), rtol=3e-4)


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_the_run():
    monitor = HRFBold(source="drive", period=500.0, length=3000.0)
    sizes = []
    for duration in (1000.0, 8000.0):
        final = gx.simulate(NET, duration=duration, dt=5.0, monitors={"bold": monitor}).final
        sizes.append(sum(x.size for x in jax.tree.leaves(final.monitors)))
    assert sizes[0] == sizes[1] == (6 + 2) * 3  # an average has a sum and what rounding took from it


@pytest.mark.once
@pytest.mark.parametrize("taus", [(0.8, 2.6), (0.5, 1.0), (0.25, 0.4), (np.array([0.8, 0.3]), 0.4)], ids=str)
def test_a_kernel_that_does_not_oscillate_is_refused(taus):
    with pytest.raises(ValueError, match=r"the kernel oscillates only if tau_f < 4 tau_s\^2, got tau_s="):
        FirstOrderVolterra(tau_s=taus[0], tau_f=taus[1])
    FirstOrderVolterra(tau_s=taus[0] * 2, tau_f=taus[1])


@pytest.mark.once
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"HRFBold listens to one state or output: source='S'; got \('S', 'x'\)"):
        HRFBold(source=("S", "x"), period=1000.0)
    with pytest.raises(ValueError, match="HRFBold listens to one state or output, and hears 2: name one"):
        gx.simulate(NET, duration=10.0, dt=1.0, monitors=HRFBold(period=10.0))
    with pytest.raises(TypeError, match=r"a kernel is a function of times in s, .*, got 3"):
        HRFBold(source="S", period=1000.0, kernel=3)
    with pytest.raises(ValueError, match="length is a positive number of ms, got 0"):
        HRFBold(source="S", period=1000.0, length=0)
    with pytest.raises(ValueError, match=r"the kernel makes \(\) of times \(time, 1\)"):
        gx.simulate(NET, 10.0, 1.0, monitors=HRFBold(source="drive", period=10.0, kernel=lambda t: jnp.sum(t)))
