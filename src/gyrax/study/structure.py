"""What the connectome alone says: its weights on a common scale, and the best linear model of them."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, sparse

from .._kinds import choice, expect, reals, shown
from ..anatomy.connectome import Connectome
from ..labelled import check_same, known_names

#: Ways to bring weights of any unit to one scale, the simplest first.
WAYS = {"raw": lambda x: x, "sqrt": np.sqrt, "log": np.log1p}
#: Decades that weights may span, from the first to the last percentile, before their roots are taken.
_DECADES = 2.0


class Scaled(NamedTuple):
    """A connectome on a common scale, the way there, and why that way."""

    connectome: Connectome
    how: str
    why: str


class Linear(NamedTuple):
    """The best linear model: its one parameter, what it predicts, and the correlation with what it was chosen on."""

    strength: float
    fc: np.ndarray
    r: float


def scaled(connectome: Connectome, how: str = "auto") -> Scaled:
    """Weights whose sum, over what a region hears, is 1 in the mean: a coupling strength then means the same for any unit.

    Streamline counts span five decades, so that what a region hears is a few bundles; their roots leave it the rest, which models
    and rules that change weights in proportion can then use.

    Args:
        connectome: raw.
        how: 'raw', 'sqrt' or 'log' (of 1 + weight, in units of the mean weight); 'auto' for the roots of weights that span more than
            two decades.

    Raises:
        ValueError: for a connectome in parts that do not reach each other.

    Example:
        >>> import gyrax as gx
        >>> data = gx.datasets.load("dk84")
        >>> found = scaled(data.connectome)
        >>> found.how, found.why, round(float(found.connectome.weights.sum(1).mean()), 5)
        ('sqrt', 'its weights span 5.3 decades', 1.0)
    """
    expect("connectome", connectome, Connectome, "a connectome", "gx.Connectome(weights, lengths)")
    choice("how", how, ("auto", *WAYS))
    check_islands(connectome)
    own = int((np.diag(np.asarray(connectome.weights)) != 0).sum())
    left = f"; weights of {own} regions to themselves are left out" if own else ""
    if how != "auto":
        return Scaled(_in_units(connectome, how), how, f"as it was asked for{left}")
    weights = np.asarray(connectome.weights, float)
    weights = weights[(weights > 0) & ~np.eye(len(weights), dtype=bool)]
    decades = float(np.diff(np.log10(np.quantile(weights, (0.01, 0.99))))[0])
    best = "sqrt" if decades > _DECADES else "raw"
    return Scaled(_in_units(connectome, best), best, f"its weights span {decades:.1f} decades{left}")


def _in_units(connectome: Connectome, how: str) -> Connectome:
    weights = np.asarray(connectome.weights, float).copy()
    np.fill_diagonal(weights, 0.0)
    weights = WAYS[how](weights / weights[weights > 0].mean())
    weights /= weights.sum(1).mean()
    return Connectome(weights, connectome.lengths, connectome.labels, connectome.centres)


def check_islands(connectome: Connectome) -> None:
    """Refuses a connectome in parts: between them a model has no connectivity at all."""
    weights = np.asarray(connectome.weights, float).copy()
    np.fill_diagonal(weights, 0.0)
    count, part = sparse.csgraph.connected_components(sparse.csr_array(weights > 0), directed=True, connection="weak")
    if count == 1:
        return
    sizes = np.bincount(part)
    lost = [connectome.labels[i] for i in np.flatnonzero(part != sizes.argmax())]
    raise ValueError(
        f"the connectome falls into {count} parts that no connection joins; outside of the largest are {', '.join(lost[:5])}"
        f"{', ...' * (len(lost) > 5)}: leave these {len(lost)} regions out, connectome.subset(...), or mend the weights"
    )


def linear(connectome: Connectome, target: np.ndarray, there: np.ndarray) -> Linear:
    r"""The linear model of one parameter that comes nearest to a target: diffusion on the connectome.

    $\dot x = -x + g W x + \text{noise}$ with W divided by the roots of what its two ends hear, so that its largest eigenvalue is
    1; of its covariance the correlations. (Galán 2008, "On how network architecture determines the dominant patterns of
    spontaneous neural activity", PLoS ONE 3; Abdelnour et al. 2014, NeuroImage 90.)

    Example:
        >>> import gyrax as gx
        >>> data = gx.datasets.load("dk84")
        >>> 0 < linear(data.connectome, np.asarray(data.fc), np.ones(84, bool)).r < 1
        True
    """
    expect("connectome", connectome, Connectome, "a connectome", "gx.Connectome(weights, lengths)")
    n = connectome.n_regions
    target, names = known_names(target, "target")
    check_same(connectome.labels, names[0] if names else None, "the connectome", "target")
    target, there = reals("target", target), np.asarray(there)
    if target.shape != (n, n):
        raise ValueError(f"target has shape {target.shape}, expected (region, region) with {n} regions")
    if there.shape != (n,) or there.dtype != bool:
        raise TypeError(f"there is True for the regions that count, one for each of {n}; got {shown(there)}")
    if there.sum() < 3:
        raise ValueError(f"there leaves {int(there.sum())} regions: a correlation needs three")
    weights = np.asarray(connectome.weights, float).copy()
    np.fill_diagonal(weights, 0.0)
    heard = weights.sum(1)
    root = np.sqrt(np.where(heard > 0, heard, heard.mean()))  # of a region that hears nothing: as of a usual one
    weights = weights / np.outer(root, root)
    weights /= max(abs(np.linalg.eigvals(weights)).max(), 1e-300)

    def predicted(g: float) -> np.ndarray:
        flow = g * weights - np.eye(len(weights))
        covariance = linalg.solve_continuous_lyapunov(flow, -np.eye(len(weights)))
        sd = np.sqrt(np.diag(covariance))
        return covariance / np.outer(sd, sd)

    grid = np.linspace(0.05, 0.98, 32)
    scores = [correlation(predicted(g), target, there) for g in grid]
    at = int(np.argmax(scores))
    ends = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(lambda g: -correlation(predicted(g), target, there), bounds=ends, method="bounded")
    best = max((grid[at], scores[at]), (float(found.x), -float(found.fun)), key=lambda pair: pair[1])
    return Linear(best[0], predicted(best[0]), best[1])


def correlation(one: np.ndarray, two: np.ndarray, there: np.ndarray) -> float:
    """Pearson correlation of two matrices off their diagonals, over the regions that count.

    As `losses.fc_correlation` within a loss, but in double precision, and NaN where one does not vary: a report is no place to fail.

    Example:
        >>> round(correlation(np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3), np.ones(3, bool)), 6)
        1.0
    """
    kept = _pairs(there)
    return float(np.corrcoef(np.asarray(one, float)[kept], np.asarray(two, float)[kept])[0, 1])


def rmse(one: np.ndarray, two: np.ndarray, there: np.ndarray) -> float:
    """Root mean square difference of two matrices off their diagonals, over the regions that count.

    Example:
        >>> rmse(np.zeros((3, 3)), np.full((3, 3), 0.5), np.ones(3, bool))
        0.5
    """
    kept = _pairs(there)
    return float(np.sqrt(np.mean((np.asarray(one, float)[kept] - np.asarray(two, float)[kept]) ** 2)))


def _pairs(there: np.ndarray) -> np.ndarray:
    return there[:, None] & there[None, :] & ~np.eye(len(there), dtype=bool)
