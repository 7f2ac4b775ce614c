"""Parameters: where they may live, how they are declared, found, freed, and moved on the real line."""

from .addresses import domains, leaf_names
from .declaring import Parametric, as_names, as_parameter, parameter, parameters, summary
from .domains import Above, AbstractDomain, Below, Interval, Positive, Real
from .maps import by_groups, by_maps
from .selection import Free, Tie, per_connection, per_region, select
from .splitting import Fixed, join, split

__all__ = [
    "Above",
    "AbstractDomain",
    "Below",
    "Fixed",
    "Free",
    "Interval",
    "Parametric",
    "Positive",
    "Real",
    "Tie",
    "as_names",
    "as_parameter",
    "by_groups",
    "by_maps",
    "domains",
    "join",
    "leaf_names",
    "parameter",
    "parameters",
    "per_connection",
    "per_region",
    "select",
    "split",
    "summary",
]
