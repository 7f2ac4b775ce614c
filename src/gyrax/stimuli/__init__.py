"""Stimulation: waveforms in time, which add and multiply, times patterns in space, into any input of the model."""

from .base import AbstractWaveform, Constant, Product, Sum
from .recorded import Recorded
from .stimulus import AbstractStimulus, Stimuli, Stimulus
from .waveforms import Chirp, DoubleExponential, Pulse, PulseTrain, Ramp, Sine

__all__ = [
    "AbstractStimulus",
    "AbstractWaveform",
    "Chirp",
    "Constant",
    "DoubleExponential",
    "Product",
    "Pulse",
    "PulseTrain",
    "Ramp",
    "Recorded",
    "Sine",
    "Stimuli",
    "Stimulus",
    "Sum",
]
