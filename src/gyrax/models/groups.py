"""Different neural masses in different regions, as one model."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._formats.fields import indices
from .._kinds import expect, shown
from .._types import Inputs, Sources, State
from ..parameters.declaring import refuse_names
from .base import AbstractModel


class Groups(AbstractModel):
    """One model for some regions and another for others: a cortex and a thalamus, say.

    States, outputs and inputs are called `group.name`; a name that every group has stands, without a group, for all of
    them. So a coupling with `source="cortex.S", target="thalamus.c"` acts from the cortex to the thalamus alone, by that
    block of the connectome or by weights of its own, as large as the block; one with `source="S", target="c"` acts between
    all regions. Monitors of a group's states record the group's regions; of several groups', NaN where a region has no such
    state. The state `(state, node)` has a row for each of them, zero where the region is of another group.

    In whatever order a group's regions are named, its arrays of one value a region, and weights as large as a block, are in
    the connectome's.

    Args:
        groups: by name, a model and its regions: labels, indices, a mask, or `...` for those of no other group.

    Raises:
        ValueError: if a group's name is empty or has a dot, a region is in two groups or in none, or does not exist.

    Example:
        >>> import gyrax as gx
        >>> model = Groups({"thalamus": (gx.models.Hopf(), ["TH"]), "cortex": (gx.models.WongWang(), ...)})
        >>> far = gx.couplings.Linear(source="cortex.S", target="thalamus.c_x")
        >>> regions = gx.Connectome([[0, 1, 1], [1, 0, 1], [1, 1, 0]], labels=["V1", "TH", "M1"])
        >>> net = gx.Network(model, far, regions)
        >>> run = gx.simulate(net, 10.0, 1.0, monitors=gx.monitors.Raw(source="cortex.S"))
        >>> run["monitor"].labels
        ('V1', 'M1')
    """

    models: dict[str, AbstractModel]
    names: tuple[str, ...] = eqx.field(static=True, repr=False)
    regions: tuple[Any, ...] = eqx.field(static=True, repr=False)
    labels: tuple[str, ...] | None = eqx.field(static=True, repr=False)

    def __init__(self, groups: dict[str, Any]):
        expect("groups", groups, Mapping, "a dict of pairs (model, regions)", '{"cortex": (gx.models.WongWang(), ...)}')
        for name, group in groups.items():
            refuse_names(group[1] if isinstance(group, tuple) and len(group) == 2 else None, f"the mask of '{name}'")
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"a group's name has no dot and is not empty, got {name!r}")
            if not (isinstance(group, tuple) and len(group) == 2 and isinstance(group[0], AbstractModel)):
                raise TypeError(f"groups: '{name}' is a pair (model, regions), got {shown(group)}")
        if not groups:
            raise ValueError('groups: Groups needs a group at least, such as {"cortex": (gx.models.WongWang(), ...)}')
        if sum(regions is ... for _, regions in groups.values()) > 1:
            raise ValueError("only one group can have the regions that are left (...)")
        self.models = {name: model for name, (model, _) in groups.items()}
        self.names = tuple(groups)  # JAX puts the keys of a dict in alphabetical order
        self.regions = tuple(_still(regions) for _, regions in groups.values())
        self.labels = None

    def placed(self, labels: tuple[str, ...]) -> "Groups":
        """These groups among the regions of a network, which has these labels."""
        taken: dict[int, str] = {}
        found = {}
        for name, regions in zip(self.names, self.regions, strict=True):
            if regions is ...:
                continue
            found[name] = sorted(indices(np.array(regions) if _flags(regions) else list(regions), labels))
            for i in found[name]:
                if i in taken:
                    raise ValueError(f"region {labels[i]!r} is in the groups '{taken[i]}' and '{name}'")
                taken[i] = name
        rest = [i for i in range(len(labels)) if i not in taken]
        for name, regions in zip(self.names, self.regions, strict=True):
            if regions is ...:
                found[name], rest = rest, []
                if not found[name]:
                    raise ValueError(f"no region is left for the group '{name}'")
        if rest:
            raise ValueError(
                f"{len(rest)} regions are in no group, such as {labels[rest[0]]!r}: give one group `...` as its regions"
            )
        regions = tuple(tuple(found[name]) for name in self.names)
        placed = object.__new__(Groups)
        known = {"models": self.models, "names": self.names, "regions": regions, "labels": labels}
        for name, value in known.items():
            object.__setattr__(placed, name, value)
        return placed

    # Names

    def _items(self) -> list[tuple[str, AbstractModel]]:
        return [(name, self.models[name]) for name in self.names]

    @property
    def states(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(f"{g}.{name}" for g, model in self._items() for name in model.states)

    @property
    def inputs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(f"{g}.{name}" for g, model in self._items() for name in model.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        own = (f"{g}.{name}" for g, model in self._items() for name in model.outputs)
        return (*own, *self._common(lambda model: model.states + model.outputs))

    @property
    def fed(self) -> tuple[str, ...]:
        return self._common(lambda model: model.inputs)

    def _common(self, names: Any) -> tuple[str, ...]:
        first, *others = (names(model) for _, model in self._items())
        return tuple(name for name in first if all(name in other for other in others))

    def meant(self, name: str) -> tuple[str, ...]:
        return (name,) if "." in name else tuple(f"{g}.{name}" for g in self.names)

    def nodes(self, names: tuple[str, ...]) -> tuple[int, ...] | None:
        groups = {name.partition(".")[0] for name in names if "." in name}
        if len(groups) != 1 or any("." not in name for name in names):
            return None
        return self.members(groups.pop())

    def members(self, group: str) -> tuple[int, ...]:
        """Indices of a group's regions."""
        if self.labels is None:
            raise ValueError("these groups are not in a network yet: their regions are looked up when it is built")
        return self.regions[self.names.index(group)]

    # Parts of arrays

    def _take(self, group: str, kind: str, rows: Float[Array, "row node"]) -> Float[Array, "own member"]:
        """A group's own rows and columns."""
        names = self.names[: self.names.index(group)]
        before = sum(len(getattr(self.models[name], kind)) for name in names)
        count = len(getattr(self.models[group], kind))
        return _columns(rows[before : before + count], self.members(group))

    def _put(self, group: str, own: Float[Array, "own member"]) -> Float[Array, "own node"]:
        """A group's rows among those of all nodes, zero elsewhere."""
        members, n = np.array(self.members(group)), len(self.labels or ())
        first, last = members[0], members[-1]
        if last - first == len(members) - 1:
            return jnp.pad(own, ((0, 0), (first, n - 1 - last)))
        place = np.zeros(n, int)
        place[members] = np.arange(len(members))
        return jnp.where(_mask(members, n), own[:, place], 0)

    def _each(self, function: Any) -> Any:
        return jnp.concatenate([self._put(g, function(g, model)) for g, model in self._items()])

    # What a model does

    def drift(self, t, y: State, u: Inputs) -> State:
        return self._each(lambda g, model: model.drift(t, self._take(g, "states", y), self._take(g, "inputs", u)))

    def start(self, n: int) -> State:
        return self._each(lambda g, model: model.start(len(self.members(g))))

    def limit(self, y: State) -> State:
        return self._each(lambda g, model: model.limit(self._take(g, "states", y)))

    def read(self, names: tuple[str, ...], y: State) -> Sources:
        if names == self.states:
            return y
        return jnp.concatenate([self._row(name, "states", y, lambda m, own, x: m.read((own,), x)) for name in names])

    def read_inputs(self, names: tuple[str, ...], u: Inputs) -> Sources:
        return jnp.concatenate(
            [self._row(name, "inputs", u, lambda m, own, x: m.read_inputs((own,), x)) for name in names]
        )

    def _row(self, name: str, kind: str, rows: Any, read: Any) -> Any:
        found = []
        for full in self.meant(name):
            group, _, own = full.partition(".")
            found.append(self._put(group, read(self.models[group], own, self._take(group, kind, rows))))
        return sum(found[1:], found[0])

    def missing(self, names: tuple[str, ...]) -> Bool[np.ndarray, "name node"]:
        """Where a region has nothing of the name."""
        n = len(self.labels or ())
        groups = [{full.partition(".")[0] for full in self.meant(name)} for name in names]
        return np.array([~np.any([_mask(self.members(g), n) for g in own], axis=0) for own in groups])

    def __repr__(self):
        def count(regions):
            number = "the other" if regions is ... else sum(regions) if _flags(regions) else len(regions)
            return f"in {number} region{'s' * (number != 1)}"

        each = zip(self._items(), self.regions, strict=True)
        return f"Groups({'; '.join(f'{name} {count(regions)}: {model!r}' for (name, model), regions in each)})"


def _still(regions: Any) -> Any:
    """Regions as a static value."""
    if regions is ...:
        return regions
    if isinstance(regions, str):
        return (regions,)
    return tuple(x.item() if hasattr(x, "item") else x for x in regions)


def _flags(regions: tuple) -> bool:
    return all(isinstance(x, bool) for x in regions)


def _mask(members: Any, n: int) -> Bool[np.ndarray, " node"]:
    mask = np.zeros(n, bool)
    mask[list(members)] = True
    return mask


def _columns(rows: Float[Array, "row node"], members: tuple[int, ...]) -> Float[Array, "row member"]:
    if members[-1] - members[0] == len(members) - 1:
        return rows[:, members[0] : members[-1] + 1]
    return rows[:, np.array(members)]
