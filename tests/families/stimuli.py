"""Waveforms and stimuli: cases of the contract. Their rows are times."""

import numpy as np

from gyrax import stimuli as s

TIMES = [(0.0, 100.0)] * 12
SAMPLES = np.random.default_rng(4).normal(size=21)
CASES = {
    "stimuli.Constant": (s.Constant(0.3), TIMES),
    "stimuli.Pulse": (s.Pulse(onset=20.0, duration=30.0, amplitude=2.0, rise=20.0), TIMES),
    "stimuli.PulseTrain": (
        s.PulseTrain(onset=5.0, period=40.0, duration=15.0, amplitude=2.0, rise=10.0, count=2),
        TIMES,
    ),
    "stimuli.Ramp": (s.Ramp(onset=20.0, duration=60.0, amplitude=2.0), TIMES),
    "stimuli.Sine": (s.Sine(frequency=13.0, amplitude=2.0, phase=0.4, offset=0.2), TIMES),
    "stimuli.Chirp": (s.Chirp(f0=2.0, f1=30.0, onset=20.0, duration=60.0, amplitude=2.0, phase=0.4), TIMES),
    "stimuli.DoubleExponential": (s.DoubleExponential(onset=20.0, tau_rise=5.0, tau_decay=15.0, amplitude=2.0), TIMES),
    "stimuli.Recorded": (s.Recorded(SAMPLES, period=4.0, onset=10.0, outside="hold"), TIMES),
    "stimuli.Sum": (s.Ramp(onset=20.0, duration=60.0) + s.Sine() + 0.1, TIMES),
    "stimuli.Product": (s.Ramp(onset=20.0, duration=60.0) * s.Sine() * 0.7, TIMES),
    "stimuli.Stimulus": (s.Stimulus(s.Sine(phase=0.4), [1.0, -0.5, 0.3]), TIMES),
    "stimuli.Stimuli": (s.Stimulus(s.Sine(), [1.0, -0.5, 0.3]) + s.Stimulus(s.Ramp(onset=20.0), target="I"), TIMES),
}
