"""Models judged on noise that they were never fitted to, and what keeps them from doing better."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from .._devices import at_home, mapped
from .._kinds import reals, refused
from ..labelled import LabelledArray, Names, check_same, known_names
from .objective import check_objective, named_arrays
from .space import apart
from .tracing import seen


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model gives on several noise seeds, by name; its repr is a table.

    Attributes:
        values: by name, one entry a seed, stacked along the first axis.
        labels: by name, the names along the axes of those values that have some: `evaluation["fc"]` keeps them.

    Example:
        >>> found = Evaluation({"r": np.array([0.5, 0.7]), "fc": np.ones((2, 3, 3))})
        >>> found
        Evaluation on 2 noise seeds
              mean       sd      min      max
          r   0.6000   0.1414   0.5000   0.7000
          fc  (3, 3) each
        >>> round(found.mean["r"], 3), found["fc"].shape
        (0.6, (2, 3, 3))
    """

    values: dict[str, np.ndarray]
    labels: dict[str, tuple[Names | None, ...]] = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise KeyError(f"nothing here is called '{name}'; there are {', '.join(self.values)}")
        return self._named(name, self.values[name])

    def __len__(self) -> int:
        """Number of seeds."""
        return len(next(iter(self.values.values())))

    @property
    def mean(self) -> dict[str, Any]:
        """Means over seeds."""
        return {name: self._named(name, _plain(values.mean(0))) for name, values in self.values.items()}

    @property
    def sd(self) -> dict[str, Any]:
        """Standard deviations over seeds, which divide by their number less one; NaN for one seed."""
        if len(self) == 1:
            return {name: _plain(np.full(values.shape[1:], np.nan)) for name, values in self.values.items()}
        return {name: self._named(name, _plain(values.std(0, ddof=1))) for name, values in self.values.items()}

    def to_xarray(self) -> xr.Dataset:
        """The values with a dimension 'seed', and their own after it. What has the name of one of these is called 'seed_value'."""
        own = {name: [f"{name}_{i}" for i in range(values.ndim - 1)] for name, values in self.values.items()}
        taken = {"seed", *(dim for dims in own.values() for dim in dims)}
        named = {apart(name, taken): (("seed", *own[name]), values) for name, values in self.values.items()}
        coords: dict[str, Any] = {"seed": np.arange(len(self))}
        for name, names in self.labels.items():
            coords |= {dim: list(along) for dim, along in zip(own[name], names, strict=False) if along}
        return xr.Dataset(named, coords=coords)

    def _named(self, name: str, values: Any) -> Any:
        return LabelledArray(values, self.labels[name]) if name in self.labels else values

    def __repr__(self):
        width = max(map(len, self.values))
        lines = [
            f"Evaluation on {len(self)} noise seeds",
            f"  {'':{width}s} {'mean':>8s} {'sd':>8s} {'min':>8s} {'max':>8s}",
        ]
        mean, sd = self.mean, self.sd
        for name, values in self.values.items():
            if values.ndim == 1:
                numbers = (mean[name], sd[name], values.min(), values.max())
                lines.append(f"  {name:{width}s} " + " ".join(f"{x:8.4f}" for x in numbers))
            else:
                lines.append(f"  {name:{width}s}  {values.shape[1:]} each")
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def evaluate(model: Any, features: Callable[[Any, Any], Any], keys: Array) -> Evaluation:
    """What a model gives on several noise seeds: a fit judged on noise it never saw.

    Args:
        model: a Network or any other Module.
        features: `features(model, key)`: an array, or a dict of named ones; a bare array is called 'value', and what a loss
            returns is taken as 'loss' and its named terms.
        keys: `jax.random.split(key, n)`, of a key that no fit was given.

    Raises:
        TypeError: if features returns anything else.

    Example:
        >>> import gyrax as gx
        >>> keys = jax.random.split(jax.random.key(1), 8)
        >>> gx.evaluate(gx.models.WongWang(), lambda m, key: {"r": m.w + jax.random.normal(key)}, keys)["r"].shape
        (8,)
    """
    check_objective(model, features, "features", "lambda model, key: ...")
    if not isinstance(keys, jax.Array) or not keys.ndim:
        several = keys if isinstance(keys, int) and keys > 0 else 8
        raise refused("keys", keys, "several random keys", f"jax.random.split(jax.random.key(1), {several})")
    features = seen(features, model, keys[0]).function
    out = named_arrays(_all_keys(at_home(model), features, at_home(keys)))
    labels = {name: values.names for name, values in out.items() if isinstance(values, LabelledArray)}
    return Evaluation({name: np.asarray(values) for name, values in out.items()}, labels)


@eqx.filter_jit
def _all_keys(model: Any, features: Callable[[Any, Any], Any], keys: Array) -> Any:
    return mapped(lambda key: features(model, key), keys)


@dataclasses.dataclass(frozen=True)
class Ceiling:
    r"""What limits a fit: the noise it learnt by heart, the length of the recordings, or the model.

    Two recordings of one model differ by their noise: their features correlate by `reliability`, not by 1. So a single one
    correlates with any target by no more than $\sqrt{\text{reliability}}$, and a model that a single recording shows to
    correlate by `unseen` would without noise by unseen / sqrt(reliability) (Spearman 1904, "The proof and measurement of
    association between two things", Am. J. Psychol. 15(1)). The target is taken as it is: noise in it counts as the model's.

    Attributes:
        unseen: mean correlation of a single recording with the target.
        reliability: mean correlation of two recordings with each other.
        trained: correlation on the noise of the training, if given.
        seeds: how many recordings there were.
        entries: of each feature that were compared.
    """

    unseen: float
    reliability: float
    trained: float | None
    seeds: int
    entries: int

    @property
    def told(self) -> bool:
        """Whether it can be told from so few entries: recordings agree by more than chance, and no estimate is far above 1."""
        chance = 2 / np.sqrt(self.entries)
        return bool(self.reliability > chance and self.without_noise <= 1 + chance)

    @property
    def highest(self) -> float:
        """What a perfect model would reach with recordings like these."""
        return float(np.sqrt(max(self.reliability, 0.0)))

    @property
    def without_noise(self) -> float:
        """What this model would reach with recordings without end: an estimate, which by chance may exceed 1.

        NaN if two recordings have nothing in common.
        """
        return self.unseen / self.highest if self.highest > 0 else float("nan")

    def longer(self, factor: float) -> float:
        """What this model would reach with recordings so many times as long (Spearman-Brown), their noise being as fast."""
        reliability = factor * self.reliability / (1 + (factor - 1) * self.reliability)
        return self.without_noise * float(np.sqrt(max(reliability, 0.0)))

    @property
    def losses(self) -> dict[str, float]:
        """What is lost to each of the three, in correlation."""
        found = {} if self.trained is None else {"noise learnt by heart": self.trained - self.unseen}
        return found | {"duration": self.without_noise - self.unseen, "model": 1 - self.without_noise}

    @property
    def limit(self) -> str:
        """The one that costs most, or 'not told' where that cannot be told."""
        if not self.told:
            return "not told"
        return max(self.losses, key=lambda name: self.losses[name])

    def __repr__(self):
        lines = [f"Ceiling from {self.seeds} noise seeds"]
        if self.trained is not None:
            lines.append(f"  on the training noise            {self.trained:6.3f}")
        lines += [
            f"  on unseen noise                  {self.unseen:6.3f}",
            f"  highest at this duration         {self.highest:6.3f}   (two seeds correlate by {self.reliability:.3f})",
            f"  this model, four times as long   {self.longer(4):6.3f}",
            f"  this model, without noise        {self.without_noise:6.3f}",
            f"  limited by: {self.limit}" + ("" if self.told else ": take more seeds or longer recordings"),
        ]
        return "\n".join(lines)


def ceiling(found: Any, target: Any, trained: float | None = None) -> Ceiling:
    """Says what keeps a fit from doing better: noise, duration or the model.

    Args:
        found: the fitted feature on several unseen seeds, `(seed, ...)`, such as `evaluate(...)["fc"]`. Of square matrices what
            is off the diagonal counts.
        target: what was fitted, of the shape of one of them.
        trained: the correlation reached on the noise of the training.

    Raises:
        ValueError: for fewer than two seeds, shapes that differ, or features that do not vary.

    Example:
        >>> truth, noise = np.random.default_rng(0).normal(size=(2, 8, 500))
        >>> truth = truth[:1]
        >>> limit = ceiling(truth + noise, truth[0])
        >>> bool(abs(limit.reliability - 0.5) < 0.05), bool(limit.without_noise > 0.95), limit.limit
        (True, True, 'duration')
    """
    (found, names), (target, others) = known_names(found, "found"), known_names(target, "target")
    for one, two in zip(names[1:], others, strict=False):
        check_same(one, two, "found", "the target")
    found, target = reals("found", found), reals("target", target)
    if not target.ndim or found.shape[1:] != target.shape or len(found) < 2:
        raise ValueError(
            f"found has shape {found.shape}: expected two seeds or more of the target's shape {target.shape}"
        )
    if target.ndim == 2 and target.shape[0] == target.shape[1]:
        apart = ~np.eye(len(target), dtype=bool)
        found, target = found[:, apart], target[apart]
    rows = np.concatenate([target.reshape(1, -1), found.reshape(len(found), -1)])
    if not np.isfinite(rows).all() or (np.ptp(rows, axis=1) == 0).any():
        raise ValueError("a correlation needs features that are finite and vary: look at `found` and `target`")
    table = np.corrcoef(rows)
    pairs = table[1:, 1:][np.triu_indices(len(found), 1)]
    return Ceiling(float(table[0, 1:].mean()), float(pairs.mean()), trained, len(found), rows.shape[1])
