"""Every class under the contract and every model beside its peer, one family a file. Modules here are found by themselves."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Peer:
    """A model of The Virtual Brain beside ours; names of theirs are keys of tests/data/tvb_models.npz.

    Attributes:
        model: ours.
        renamed: our parameter: its name there, and our unit in theirs (ours = theirs times it).
        arguments: what ours is given besides, such as what is not a number there.
        absent: parameters there that ours does not have.
        departs: our default, where we follow the paper and not The Virtual Brain.
        time: their unit of time in ms, by which their drift is divided.
        inputs: our input rows from theirs.
        coupling: ours in the network of tests/data/tvb_networks.npz.
    """

    model: Callable[..., Any]
    renamed: dict[str, tuple[str, float]] = dataclasses.field(default_factory=dict)
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    absent: tuple[str, ...] = ()
    departs: dict[str, float] = dataclasses.field(default_factory=dict)
    time: float = 1.0
    inputs: Callable[[Any], Any] = lambda u: u
    coupling: Callable[[], Any] | None = None


def _gathered(what: str) -> dict[str, Any]:
    """The dictionaries of that name of every module here."""
    found: dict[str, Any] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        found |= getattr(importlib.import_module(f"{__name__}.{module.name}"), what, {})
    return found


#: "models.Name": an instance, and the lowest and highest value of each row it works on (states, sources, noisy rows).
CASES = _gathered("CASES")
#: The Virtual Brain's name of a model (a key of tests/data/tvb_models.npz): ours beside it.
PEERS: dict[str, Peer] = _gathered("PEERS")
