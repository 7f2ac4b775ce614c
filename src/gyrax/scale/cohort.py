"""Several subjects as one model: what they share once, what is each one's own stacked, with the data of each."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, PyTree

from .._devices import mapped
from .._formats.fields import closest
from .._kinds import expect, random_key, refused
from .._types import is_traced
from ..fitting import Evaluation
from ..network import Network
from ..network.checks import depending
from ..parameters.addresses import Where, find, leaf_names, tell
from .common import delays_of, is_network
from .gathering import alike, check_of_subject, check_subjects, data_in_one, is_individual, networks_in, stacked

_NETWORK = "network."


class Cohort(eqx.Module):
    """Several subjects as one model, which goes wherever a network goes: to `gx.fit`, `gx.evaluate`, `gx.sweep`, `gx.search`, `gx.inference`.

    The subjects have the same regions and the same model; weights, tract lengths, parameters and recordings may be each one's own. A leaf
    whose values differ between subjects is individual: it has one more axis in front, `(subject, ...)`. What is the same in all is
    shared, and there once; `gx.per_subject` makes it individual. Paths begin with `network`, as in
    `gx.select(cohort, "network.model.w", "network.coupling.strength")`.

    All networks get bounds of delays, and lists of connections, that hold for every subject. So they are one program, and each
    subject's run is what its own network's is, to rounding.

    Args:
        subjects: networks by the subject's name; or tuples or dicts, such as (network, monitor), of each.
        data: by the same names, what was measured of each: an array or table, a `gx.LabelledArray`, a `gx.Recording`, or tuples and
            dicts of such; of the same shape in all, and finite: where something is missing, fill it, and give a mask beside it. It is never free.

    Raises:
        ValueError: naming the subject and the part, for other regions, models, shapes or data than the other subjects have, and data that is
            not finite, or not in the precision at hand. Different numbers of regions go as separate fits.
        TypeError: for what is no dict of networks.

    Example:
        >>> import gyrax as gx
        >>> def net(w, weight):
        ...     regions = gx.Connectome([[0, weight], [weight, 0]], labels=["V1", "M1"])
        ...     return gx.Network(gx.models.WongWang(w=w), gx.couplings.Linear(source="S"), regions)
        >>> cohort = gx.Cohort({"sub-01": net(0.5, 1.0), "sub-02": net(0.5, 2.0)})
        >>> cohort
        Cohort of 2 subjects, 'sub-01' to 'sub-02': Network of 2 regions
          individual  network.connectome.weights
          data        none
        >>> gx.per_subject(cohort, "network.model.w").network.model.w.shape, cohort["sub-02"].connectome.weights.shape
        ((2,), (2, 2))
    """

    network: Any
    data: PyTree
    subjects: tuple[str, ...] = eqx.field(static=True)
    individual: tuple[str, ...] = eqx.field(static=True)
    rigid: tuple[str, ...] = eqx.field(static=True, repr=False)

    def __init__(self, subjects: Mapping[str, Any], data: Mapping[str, Any] | None = None):
        check_subjects(subjects)
        self.subjects = tuple(subjects)
        each, self.rigid = alike(subjects)
        names, treedef = leaf_names(each[0]), jax.tree.structure(each[0])
        columns = list(zip(*map(jax.tree.leaves, each), strict=True))
        own = [is_individual(name, column, self.subjects) for name, column in zip(names, columns, strict=True)]
        in_one = [stacked(column) if i else column[0] for i, column in zip(own, columns, strict=True)]
        self.network = jax.tree.unflatten(treedef, in_one)
        self.individual = tuple(_NETWORK + name for name, individual in zip(names, own, strict=True) if individual)
        self.data = None if data is None else data_in_one(data, self.subjects)

    # A subject

    def __len__(self) -> int:
        """How many subjects there are."""
        return len(self.subjects)

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        return iter(self.subjects)

    def __getitem__(self, subject: str) -> Any:
        """The network of one subject, as it is now, with the bounds that all have in common.

        Raises:
            KeyError: if there is no such subject.
        """
        return self._of(self._place(subject))

    def _place(self, subject: str) -> int:
        if subject not in self.subjects:
            raise KeyError(f"there is no subject {subject!r} here: {closest(str(subject), self.subjects)}")
        return self.subjects.index(subject)

    def _of(self, i: Any) -> Any:
        leaves, treedef = jax.tree.flatten(self.network)
        own = self._own()
        return jax.tree.unflatten(treedef, [leaf[i] if own[k] else leaf for k, leaf in enumerate(leaves)])

    def _own(self) -> list[bool]:
        """Whether each leaf of the network is individual."""
        individual = set(self.individual)
        return [_NETWORK + name in individual for name in leaf_names(self.network)]

    def data_of(self, subject: str) -> PyTree:
        """The data of one subject; None if the cohort has none.

        Raises:
            KeyError: if there is no such subject.
        """
        i = self._place(subject)
        return jax.tree.map(lambda x: x[i], self.data)

    def key_of(self, subject: str, key: Any) -> Array:
        """The key that one subject hears where the cohort is given `key`: made of that and the subject's name, whoever else is there.

        Raises:
            KeyError: if there is no such subject.
        """
        return jax.random.fold_in(random_key("key", key), _number(self.subjects[self._place(subject)]))

    def subset(self, subjects: Sequence[str]) -> "Cohort":
        """Some of the subjects, in the order asked for. Leaves that are individual stay so, and bounds are those of all.

        Raises:
            KeyError: for a name that is none of a subject.
            ValueError: for none, or one that is asked for twice.
        """
        if isinstance(subjects, str | Mapping) or not isinstance(subjects, Sequence):
            raise refused("subjects", subjects, "a list of subjects", f"{list(self.subjects[:2])}")
        if not subjects or len(set(subjects)) < len(subjects):
            raise ValueError(f"subjects is a list of names that differ, at least one; got {list(subjects)}")
        places = np.array([self._place(subject) for subject in subjects])
        leaves, treedef = jax.tree.flatten(self.network)
        chosen = [leaf[places] if own else leaf for own, leaf in zip(self._own(), leaves, strict=True)]
        data = jax.tree.map(lambda x: x[places], self.data)
        return _put(self, network=jax.tree.unflatten(treedef, chosen), data=data, subjects=tuple(subjects))

    def one_by_one(self) -> Iterator[tuple[str, Any]]:
        """Each subject's name and network."""
        for i, subject in enumerate(self.subjects):
            yield subject, self._of(i)

    # All subjects

    def map(self, function: Callable[[Any, Any, Any], Any], key: Any = None) -> Any:
        """What a function gives of every subject, side by side in one program.

        Args:
            function: `function(network, data, key)`: arrays, or a tree of them. It is traced once, for all subjects.
            key: of which each subject hears its own (`key_of`); None gives the function None.

        Returns:
            The same, with the subjects along a first axis.

        Raises:
            ValueError: if a leaf that is individual does not have a value for each subject.

        Example:
            >>> import gyrax as gx
            >>> one, two = (gx.models.Linear(gamma=gamma) for gamma in (-1.0, -2.0))
            >>> nets = {n: gx.Network(m, gx.couplings.Linear(source="x"), [[0, 1], [1, 0]]) for n, m in (("A", one), ("B", two))}
            >>> gx.Cohort(nets).map(lambda net, data, key: net.model.gamma).tolist()
            [-1.0, -2.0]
        """
        check_of_subject("function", function)
        leaves, treedef = jax.tree.flatten(self.network)
        own = self._own()
        for name, individual, leaf in zip(leaf_names(self.network), own, leaves, strict=True):
            if individual and jnp.shape(leaf)[:1] != (len(self),):
                raise ValueError(
                    f"{_NETWORK}{name} is individual and has shape {jnp.shape(leaf)}: expected ({len(self)}, ...), a value for each subject"
                )
        numbers = jnp.asarray([_number(subject) for subject in self.subjects], jnp.uint32)
        base = None if key is None else random_key("key", key)

        def one(own_leaves: list[Any], data: Any, number: Any) -> Any:
            left = iter(own_leaves)
            mine = [next(left) if individual else leaf for individual, leaf in zip(own, leaves, strict=True)]
            heard = None if base is None else jax.random.fold_in(base, number)
            return function(jax.tree.unflatten(treedef, mine), data, heard)

        batched = [leaf for individual, leaf in zip(own, leaves, strict=True) if individual]
        # several devices share subjects within a program; op by op, that would cost more than it wins
        over = mapped if is_traced(*jax.tree.leaves((self, base))) else _side_by_side
        return over(one, batched, self.data, numbers)

    def table(self, *where: Where, evaluation: Evaluation | None = None) -> pd.DataFrame:
        """A row a subject: parameters, and how well the subject is met on noise that no fit was given.

        Args:
            where: parameters, one value a subject or one a region (a column for each); left out, the individual ones of one value.
            evaluation: `gx.evaluate(cohort, loss.each, keys)` of a `gx.scale.cohort_loss`: means over seeds, and their standard deviations.

        Raises:
            ValueError: for a parameter that does not exist or has more than a value a region, or an evaluation of other subjects.

        Example:
            >>> import gyrax as gx
            >>> one, two = (gx.models.Linear(gamma=gamma) for gamma in (-1.0, -2.0))
            >>> nets = {n: gx.Network(m, gx.couplings.Linear(source="x"), [[0, 1], [1, 0]]) for n, m in (("A", one), ("B", two))}
            >>> gx.Cohort(nets).table()
                     network.model.gamma
            subject
            A                       -1.0
            B                       -2.0
        """
        names, leaves = leaf_names(self), jax.tree.leaves(self)
        if where:
            chosen = [i for w in where for i in find(self, w)]
        else:
            chosen = [i for i, name in enumerate(names) if name in self.individual and jnp.ndim(leaves[i]) == 1]
        columns: dict[str, Any] = {}
        for i in chosen:
            columns |= self._columns(names[i], leaves[i])
        if evaluation is not None:
            columns |= self._judged(evaluation)
        return pd.DataFrame(columns, index=pd.Index(self.subjects, name="subject"))

    def _columns(self, name: str, leaf: Any) -> dict[str, np.ndarray]:
        """The columns of a parameter."""
        if not name.startswith(_NETWORK):
            raise ValueError(f"{name} is no parameter: a table has those of the network, such as 'network.model.w'")
        one = jnp.shape(leaf)[1:] if name in self.individual else jnp.shape(leaf)
        values = np.broadcast_to(np.asarray(leaf), (len(self), *one))
        if not one:
            return {name: values}
        labels = self.network.labels if is_network(self.network) else ()
        if one != (len(labels),):
            raise ValueError(
                f"{name} has shape {one} in each subject: a table has one value, or one a region; read it in the model"
            )
        return {f"{name}[{label}]": values[:, k] for k, label in enumerate(labels)}

    def _judged(self, evaluation: Evaluation) -> dict[str, np.ndarray]:
        """Means and standard deviations over seeds of what was evaluated of each subject."""
        expect(
            "evaluation",
            evaluation,
            Evaluation,
            "an evaluation of each subject",
            "gx.evaluate(cohort, loss.each, keys)",
        )
        columns = {}
        for name, values in evaluation.values.items():
            if values.ndim != 2 or evaluation.labels.get(name, (None,))[-1] != self.subjects:
                raise ValueError(
                    f"'{name}' of the evaluation is not of these subjects, a value each: give gx.evaluate(cohort, loss.each, keys), "
                    "with loss = gx.scale.cohort_loss(...)"
                )
            columns[name] = values.mean(0)
            columns[f"{name} sd"] = values.std(0, ddof=1) if len(values) > 1 else np.full(len(self), np.nan)
        return columns

    # What a fit asks for

    def check_free(self, names: list[str]) -> None:
        """What a fit may not set free.

        Raises:
            ValueError: for data, what delays depend on that have no gradient, or no room in some subject.
        """
        self.check_movable(names)
        tell(self.network, "check_free", [name.removeprefix(_NETWORK) for name in names])

    def check_movable(self, names: list[str]) -> None:
        """What may not even change.

        Raises:
            ValueError: for data, and for what delays depend on that have no room in some subject.
        """
        for name in names:
            if not name.startswith(_NETWORK):
                raise ValueError(
                    f"{name} is data, which is never free: free leaves of the network, such as 'network.model.w'"
                )
            for path, network in networks_in(self.network):
                if (own := name.removeprefix(_NETWORK)).startswith(path):
                    self._check_room(own, path, network)

    def _check_room(self, name: str, path: str, network: Network) -> None:
        """Bounds in common leave room to a subject, but by chance: where it was given none, there is none."""
        moved = depending(network, name.removeprefix(path))
        for where, delay in delays_of(network).items():
            if path + where in self.rigid and any(delay is one for one in moved):
                assert delay.bounds is not None
                raise ValueError(
                    f"{_NETWORK}{name} is to change, but the delays of some subject were given no room to: they are {delay.bounds[0]:.4g} to "
                    f"{delay.bounds[1]:.4g} ms now; give each network's delay bounds=(shortest, longest) in ms"
                )

    def __repr__(self):
        n, parts = len(self.subjects), jax.tree.leaves(self.network, is_leaf=is_network)
        ends = "" if not n else f", {self.subjects[0]!r}" + (f" to {self.subjects[-1]!r}" if n > 1 else "")
        each = ", ".join(f"Network of {x.n_regions} regions" for x in parts if is_network(x))
        return (
            f"Cohort of {n} subject{'s' * (n != 1)}{ends}: {each}\n"
            f"  individual  {', '.join(self.individual) or 'nothing'}\n"
            f"  data        {_kinds(self.data)}"
        )


def per_subject(cohort: Cohort, *where: Where) -> Cohort:
    """The cohort with one value for each subject, equal to start with, in place of the named leaves that all share.

    Args:
        cohort: of subjects.
        where: functions such as `lambda c: c.network.model.w`, or dotted paths such as "network.model.w". What is individual already stays.

    Raises:
        ValueError: for a leaf that does not exist, or data.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), [[0, 1], [1, 0]])
        >>> gx.per_subject(gx.Cohort({"A": net, "B": net, "C": net}), "network.model.w").individual
        ('network.model.w',)
    """
    expect("cohort", cohort, Cohort, "a cohort", 'gx.Cohort({"sub-01": network, ...})')
    if not where:
        raise ValueError("which leaves of the cohort? name at least one, such as 'network.model.w'")
    names, (leaves, treedef) = leaf_names(cohort), jax.tree.flatten(cohort)
    individual = set(cohort.individual)
    for i in (i for w in where for i in find(cohort, w)):
        if not names[i].startswith(_NETWORK):
            raise ValueError(f"{names[i]} is data, which each subject has of its own: name a leaf of the network")
        if names[i] not in individual:
            value = jnp.asarray(leaves[i], jnp.result_type(float))
            leaves[i] = jnp.broadcast_to(value, (len(cohort), *value.shape))
            individual.add(names[i])
    made = jax.tree.unflatten(treedef, leaves)
    return _put(made, individual=tuple(name for name in names if name in individual))


def _side_by_side(function: Callable[..., Any], *several: Any) -> Any:
    return jax.vmap(function)(*several)


def _number(subject: str) -> int:
    """32 bits of a name, by which its noise is drawn."""
    return int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=4).digest(), "big")


def _put(x: Any, **parts: Any) -> Any:
    found = copy.copy(x)
    for name, part in parts.items():
        object.__setattr__(found, name, part)
    return found


def _kinds(data: PyTree) -> str:
    if data is None:
        return "none"
    if isinstance(data, dict):
        return ", ".join(f"{name}: {_kinds(part)}" for name, part in data.items())
    if isinstance(data, tuple | list):
        return f"({', '.join(map(_kinds, data))})"
    return type(data).__name__ if isinstance(data, eqx.Module) else f"shape {jnp.shape(data)}"
