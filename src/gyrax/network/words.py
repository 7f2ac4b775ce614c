"""A network in words."""

import math
from typing import TYPE_CHECKING

from ..delays import Delay
from ..parameters.declaring import summary

if TYPE_CHECKING:
    from .network import Network


def in_words(network: "Network") -> str:
    """A network in a few lines: what it consists of."""
    where = "" if network.surface is None else f"{network.n_nodes} vertices in "
    lines = [f"Network of {where}{network.n_regions} regions", f"  model     {network.model!r}"]
    for name, coupling in network.couplings.items():
        label = "coupling" if name == "coupling" else f"coupling {name}:"
        lines.append(f"  {label}  {', '.join(coupling.source)} -> {', '.join(network.targets(coupling))}: {coupling!r}")
    if network.delay is None:
        lines.append("  delay     none: instantaneous")
    else:
        low, high = network.delay.bounds or (math.nan, math.nan)
        speed = f" at {summary(network.delay.speed)} mm/ms" if isinstance(network.delay, Delay) else ""
        lines.append(f"  delay     {low:.3g} to {high:.3g} ms{speed}")
    if network.stimulus is not None:
        lines.append(f"  stimulus  {network.stimulus!r}")
    if not network.noises:
        lines.append("  noise     none")
    for name, noise in network.noises.items():
        label = "noise   " if name == "noise" else f"noise {name}:"
        lines.append(f"  {label}  on {', '.join(network.rows(noise))}: {noise!r}")
    return "\n".join(lines)
