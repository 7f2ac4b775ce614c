"""What a network is given is of the kinds that it is made of."""

import os
from collections.abc import Mapping
from typing import Any

from .._kinds import expect, refused
from ..anatomy.connectome import Connectome
from ..anatomy.surface import Surface
from ..couplings import AbstractCoupling
from ..delays import AbstractDelay
from ..models.base import AbstractModel
from ..noise import AbstractNoise
from ..stimuli import AbstractStimulus, AbstractWaveform

_COUPLING = 'gx.couplings.Linear(source="S")'
_NOISE = "gx.noise.White(sigma=0.01)"
_DELAY = "gx.Delay(speed=3.0) for a speed in mm/ms, or gx.ConnectionDelays(ms) for delays in ms"


def as_connectome(given: Any) -> Connectome:
    """A connectome; of a matrix or table of weights, the one that it makes.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(given, Connectome):
        return given
    if isinstance(given, str | os.PathLike):
        raise refused("connectome", given, "a connectome", f"gx.Connectome.load({str(given)!r})")
    if hasattr(given, "shape") or isinstance(given, list | tuple):
        try:
            return Connectome(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"connectome= is taken as a matrix of weights: {error}") from error
    return expect("connectome", given, Connectome, "a connectome or a matrix of weights", "gx.Connectome(weights)")


def check_kinds(model: Any, coupling: Any, delay: Any, noise: Any, surface: Any, stimulus: Any) -> None:
    """Refuses arguments of another kind.

    Raises:
        TypeError: naming the argument, what was given, and what to write.
    """
    expect("model", model, AbstractModel, "a model", "gx.models.WongWang()")
    for argument, value in _named("coupling", coupling).items():
        expect(argument, value, AbstractCoupling, "a coupling or a dict of them", _COUPLING)
    expect("delay", delay, (AbstractDelay, None), "conduction delays", _DELAY)
    for argument, value in ({} if noise is None else _named("noise", noise)).items():
        expect(argument, value, AbstractNoise, "a noise or a dict of them", _NOISE)
    expect("surface", surface, (Surface, None), "a surface", "gx.Surface(region_of)")
    if isinstance(stimulus, AbstractWaveform):
        line = f"gx.stimuli.Stimulus({type(stimulus).__name__}(...), pattern, target), which says where it acts"
        raise refused("stimulus", stimulus, "a stimulus", line)
    expect(
        "stimulus", stimulus, (AbstractStimulus, None), "a stimulus", "gx.stimuli.Stimulus(waveform, pattern, target)"
    )


def _named(argument: str, given: Any) -> dict[str, Any]:
    """What was given, alone or in a dict, by what to call it.

    Raises:
        TypeError: for a key that is no name.
    """
    if not isinstance(given, Mapping):
        return {argument: given}
    for name in given:
        if not isinstance(name, str) or not name or "." in name:
            raise TypeError(f"{argument}= is a dict by name, which has no dot and is not empty; got the name {name!r}")
    return {f"{argument}[{name!r}]": value for name, value in given.items()}
