"""Whether draws are those of the posterior: convergence of chains, how many independent draws they are worth, and how far a normal
approximation is from what it stands for.
"""

import numpy as np
from jaxtyping import Float
from scipy import stats

Draws = Float[np.ndarray, "chain draw"]
#: Logarithms of ratios that differ by less are alike.
_ALIKE = 1e-6


def _halves(draws: Draws) -> Float[np.ndarray, "half half_draw"]:
    """Each chain as two, so that a drift within one is seen."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _normal_scores(draws: Draws) -> Draws:
    ranks = stats.rankdata(draws, method="average").reshape(draws.shape)
    return stats.norm.ppf((ranks - 0.375) / (draws.size + 0.25))


def r_hat(draws: Draws) -> float:
    """Rank-normalised split R-hat: 1 where chains agree, NaN for fewer than four draws.

    The larger of that of the draws and of their distances from the median (Vehtari et al. 2021, "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2)).

    Example:
        >>> bool(r_hat(np.random.default_rng(0).normal(size=(4, 500))) < 1.01), bool(r_hat(np.arange(400.0).reshape(4, 100)) > 2)
        (True, True)
    """
    if draws.shape[1] < 4 or not np.isfinite(draws).all():
        return np.nan
    halves = _halves(draws)
    return max(_split_r_hat(_normal_scores(x)) for x in (halves, np.abs(halves - np.median(halves))))


def _split_r_hat(chains: Draws) -> float:
    count = chains.shape[1]
    within, between = chains.var(1, ddof=1).mean(), count * chains.mean(1).var(ddof=1)
    return float(np.sqrt((between / within + count - 1) / count)) if within > 0 else np.nan


def effective_draws(draws: Draws) -> float:
    """How many independent draws tell as much of the centre (bulk ESS, of Vehtari et al. 2021); NaN for fewer than eight.

    Example:
        >>> bool(1500 < effective_draws(np.random.default_rng(0).normal(size=(4, 500))) < 2500)
        True
    """
    if draws.shape[1] < 8 or not np.isfinite(draws).all() or np.ptp(draws) == 0:
        return np.nan
    chains = _normal_scores(_halves(draws))
    several, count = chains.shape
    autocovariance = np.array([_autocovariance(chain) for chain in chains])
    within = autocovariance[:, 0].mean() * count / (count - 1)
    total = within * (count - 1) / count + chains.mean(1).var(ddof=1)
    rho = 1 - (within - autocovariance.mean(0)) / total
    rho[0] = 1.0
    # Sums of neighbours fall and stay positive for a reversible chain: what goes on after that is noise (Geyer 1992).
    pairs = rho[: count // 2 * 2].reshape(-1, 2)
    sums = pairs.sum(1)
    last = max((count - 3) // 2, 1)
    kept = min(max(int(np.argmax(sums <= 0)), 1), last) if (sums <= 0).any() else last
    time = -1 + 2 * np.minimum.accumulate(sums[:kept]).sum() + max(pairs[kept, 0], 0.0)
    return float(several * count / max(time, 1 / np.log10(several * count)))


def _autocovariance(x: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " draw"]:
    power = np.abs(np.fft.rfft(x - x.mean(), 2 * len(x))) ** 2
    return np.fft.irfft(power)[: len(x)] / len(x)


def pareto_k(log_ratios: Float[np.ndarray, " draw"]) -> float:
    """How heavy the tail of importance ratios is: above 0.7 what they were drawn from does not stand for what is meant.

    The shape of the generalised Pareto distribution of the largest ratios (Vehtari et al. 2024, "Pareto smoothed importance
    sampling", JMLR 25; Yao et al. 2018, "Yes, but did it work?", ICML), fitted as Zhang and Stephens (2009, Technometrics 51)
    do. Infinite where a ratio is not a number or few count at all, zero where all are alike.

    Example:
        >>> exact = pareto_k(np.random.default_rng(0).normal(size=1000) * 0.01)
        >>> bool(exact < 0.5)
        True
    """
    x = np.asarray(log_ratios, float)
    if np.isnan(x).any() or (x == np.inf).any():
        return np.inf
    x = x - x.max()
    if np.ptp(x) < _ALIKE:
        return 0.0
    count = int(min(np.ceil(len(x) / 5), np.ceil(3 * np.sqrt(len(x)))))
    ordered = np.sort(x)
    threshold = max(ordered[-count - 1], np.log(np.finfo(float).tiny))
    tail = np.exp(ordered[ordered > threshold]) - np.exp(threshold)
    return _shape_of_tail(tail) if len(tail) >= 5 and tail[0] > 0 else np.inf


def share_that_counts(log_ratios: Float[np.ndarray, " draw"]) -> float:
    """The part of draws that would be left of them, weighted by importance ratios: 1 where all are alike.

    Example:
        >>> share_that_counts(np.zeros(10)), round(share_that_counts(np.array([0.0, -50.0])), 6)
        (1.0, 0.5)
    """
    weights = np.exp(np.nan_to_num(log_ratios - np.nanmax(log_ratios), nan=-np.inf))
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def _shape_of_tail(tail: Float[np.ndarray, " draw"]) -> float:
    """By an average over a profile likelihood, drawn a little to 0.5 where there are few."""
    n = len(tail)
    several = 30 + int(np.sqrt(n))
    theta = 1 - np.sqrt(several / (np.arange(1, several + 1) - 0.5))
    theta = theta / (3 * tail[int(n / 4 + 0.5) - 1]) + 1 / tail[-1]
    shape = np.log1p(-theta[:, None] * tail).mean(1)
    likelihood = n * (np.log(-theta / shape) - shape - 1)
    weights = 1 / np.exp(likelihood - likelihood[:, None]).sum(1)
    weights = np.where(weights >= 10 * np.finfo(float).eps, weights, 0)
    best = (theta * weights / weights.sum()).sum()
    return float((n * np.log1p(-best * tail).mean() + 10 * 0.5) / (n + 10))
