"""Stimuli late in long runs: a day at 0.1 ms, where float32 alone tells times apart by 8 ms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gyrax as gx
from gyrax import stimuli as s
from gyrax._pairs import Pair, at, clip, clock, floor, pair, single
from naive import wiring

DAY = 86_400_000.0
STEPS = 864_000_000 + np.arange(-600, 600)
#: Of numbers of this size, in either precision.
TOLERANCE = 1e-5
LAST = DAY - 40.0  # which float32 has


def trapezium(t, onset, duration, rise):
    return np.interp(t, [onset, onset + rise, onset + duration, onset + duration + rise], [0, 1, 1, 0])


def chirp(t, f0, f1, onset, duration):
    x = t - onset
    within = np.clip(x, 0, duration)
    return np.sin(
        2
        * np.pi
        * (
            f0 * np.minimum(x, 0)
            + f0 * within
            + (f1 - f0) * within**2 / (2 * duration)
            + f1 * np.maximum(x - duration, 0)
        )
        / 1000
    )


#: By name a waveform, and what it is of times in float64.
CASES = {
    "sine": (s.Sine(frequency=40.0, amplitude=2.0, phase=0.3), lambda t: 2 * np.sin(2 * np.pi * 0.04 * t + 0.3)),
    "odd sine": (s.Sine(frequency=33.25), lambda t: np.sin(2 * np.pi * 0.03325 * t)),
    "pulse": (s.Pulse(onset=LAST, duration=20.0, rise=4.0), lambda t: trapezium(t, LAST, 20, 4)),
    "day": (s.Pulse(onset=0.0, duration=LAST, rise=8.0), lambda t: trapezium(t, 0, LAST, 8)),
    "train": (
        s.PulseTrain(onset=8.0, period=12.5, duration=3.0, rise=0.5),
        lambda t: trapezium((t - 8) % 12.5, 0, 3, 0.5),
    ),
    "ramp": (s.Ramp(onset=LAST, duration=50.0), lambda t: np.clip((t - LAST) / 50, 0, 1)),
    "sweep": (s.Chirp(f0=4.0, f1=32.0, onset=LAST, duration=64.0), lambda t: chirp(t, 4, 32, LAST, 64)),
    "slow sweep": (s.Chirp(f0=1.0, f1=16.0, onset=0.0, duration=2.0**26), lambda t: chirp(t, 1, 16, 0, 2.0**26)),
    "response": (
        s.DoubleExponential(onset=LAST, tau_rise=5.0, tau_decay=5.0),
        lambda t: np.maximum(t - LAST, 0) / 5 * np.exp(1 - np.maximum(t - LAST, 0) / 5),
    ),
    "recorded": (
        s.Recorded([0.0, 1.0, -1.0, 3.0, 0.0], period=8.0, onset=LAST, outside="zero"),
        lambda t: np.interp(t, LAST + 8 * np.arange(5), [0, 1, -1, 3, 0]),
    ),
    "modulated": (
        0.5 + s.Sine(frequency=25.0) * s.Ramp(onset=LAST, duration=50.0),
        lambda t: 0.5 + np.sin(2 * np.pi * 0.025 * t) * np.clip((t - LAST) / 50, 0, 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_waveforms_are_right_after_a_day(name):
    waveform, expected = CASES[name]

    @jax.jit
    def told(waveform, step):
        return jax.vmap(lambda n: at(waveform, clock(n, 0.1, jnp.result_type(float))))(step)

    values = told(waveform, jnp.asarray(STEPS, jnp.int32))
    wanted = expected(STEPS * 0.1)
    np.testing.assert_allclose(values, wanted, atol=TOLERANCE)
    assert np.ptp(wanted) > 0.3  # there is something to see


def test_parameters_have_their_gradients_after_a_day():
    """The phase moves by 2 pi f t, and the frequency moves it by 2 pi t."""
    t = STEPS[::100] * 0.1

    def value(waveform, n):
        return at(waveform, clock(n, 0.1, jnp.result_type(float)))

    found = jax.vmap(jax.grad(value), (None, 0))(s.Sine(frequency=40.0), jnp.asarray(STEPS[::100], jnp.int32))
    slope = np.cos(2 * np.pi * 0.04 * t)
    np.testing.assert_allclose(found.phase, slope, atol=TOLERANCE)
    np.testing.assert_allclose(found.frequency, 2 * np.pi * t / 1000 * slope, atol=TOLERANCE * 2 * np.pi * DAY / 1000)
    pulse = jax.grad(value)(s.Pulse(onset=LAST, duration=20.0, rise=4.0), jnp.asarray(STEPS[220], jnp.int32))
    np.testing.assert_allclose(pulse.onset, -1 / 4, rtol=1e-5)


@pytest.mark.parametrize("delay", [None, gx.Delay(3.0)])
def test_a_run_hears_it_after_a_day(delay):
    train = s.PulseTrain(period=10.0, duration=2.0, rise=0.5, amplitude=0.3)
    net = gx.Network(
        gx.models.Linear(gamma=-0.1),
        gx.couplings.Linear(source="x", strength=1e-20),
        wiring("S"),
        delay,
        stimulus=s.Stimulus(train, "S2", target="c"),
    )
    first = gx.simulate(net, 1.0, 0.1, start=np.zeros((1, 6)))
    late = dataclasses.replace(first.final, step=jnp.asarray(STEPS[0], jnp.int32))
    heard = gx.simulate(net, 60.0, 0.1, start=late, monitors=gx.monitors.AfferentCoupling(period=0.1))["monitor"]
    t = (STEPS[0] + 1 + np.arange(600)) * 0.1
    np.testing.assert_allclose(heard.values[:, 0, 2], 0.3 * trapezium(t % 10, 0, 2, 0.5), atol=TOLERANCE)


class Step(s.AbstractWaveform):
    """A user's own, of plain arithmetic with arrays."""

    def __call__(self, t):
        return jnp.where(jnp.asarray(t) < 10.0, 0.0, 1.0)


class Doubled(s.Sine):
    """A user's change of a waveform that takes pairs."""

    def __call__(self, t):
        return 2 * jnp.sin(jnp.asarray(t))


@pytest.mark.parametrize("own", [Step(), Doubled(), Step() * s.Sine(), s.Constant(1.0) + Doubled()])
def test_waveforms_of_users_are_given_plain_times(own):
    stimulus = s.Stimulus(own, "S2") + s.Stimulus(s.Sine(), "S1")
    told = stimulus.resolved(("S1", "S2"))
    for pattern in told.parts[0](pair(20.0))["c"], told.parts[0](20.0)["c"]:
        np.testing.assert_allclose(pattern, [0.0, np.asarray(own(20.0))], rtol=1e-6)
    assert s.stimulus.loses_digits(stimulus) == [
        type(x).__name__ for x in (own, *getattr(own, "parts", ())) if isinstance(x, Step | Doubled)
    ]
    assert s.stimulus.loses_digits(s.Stimulus(s.Sine() * s.Pulse())) == []


numbers = st.floats(-1e8, 1e8, width=32).map(float)


@given(numbers, numbers, st.integers(0, 2**31 - 1), st.floats(1e-3, 20.0))
def test_pairs_are_as_good_as_float64(a, b, step, dt):
    one, two = Pair(jnp.float32(a), jnp.float32(0)), jnp.float32(b)

    def double(x):
        return float(x.high) + float(x.low)

    def close(found, wanted, of):
        assert abs(double(found) - wanted) <= 2.0**-45 * of + 1e-37

    close(one + two, a + b, abs(a) + abs(b))
    close(one - two, a - b, abs(a) + abs(b))
    close(one * two, a * b, abs(a * b))
    if abs(b) > 1e-3:
        close(one / two, a / b, abs(a / b))
    exact = clock(jnp.asarray(step, jnp.int32), dt, jnp.float32)
    close(exact, step * dt, step * dt)
    assert double(floor(exact)) in (np.floor(double(exact)), np.floor(step * dt))
    assert abs(float(single(exact)) - step * dt) <= 2.0**-23 * step * dt
    assert double(clip(exact, 5.0, 1e6)) == np.clip(double(exact), 5.0, 1e6)
