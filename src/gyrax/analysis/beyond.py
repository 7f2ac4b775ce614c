"""How far the first order in the noise can be trusted: what changes once slopes are those that swings meet."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float
from scipy import special

from .._kinds import expect
from ..labelled import LabelledArray
from ..monitors.base import AbstractMonitor
from .fluctuations import Heard, LinearNoise, correlations, covariance_of, heard_by
from .slopes import Slopes, absent, flow, slopes
from .telling import count_of
from .within import lowest_and_highest

#: Pairs of opposite draws over which slopes are averaged.
_PAIRS = 128
#: Differences of correlations, shares of a standard deviation, and of the time beyond limits, below which noise is small.
_SMALL_FC, _SMALL_SHARE, _SMALL_OUTSIDE = 0.02, 0.1, 0.01


class Nonlinearity(eqx.Module):
    """What a theory of small noise leaves out, to the next order. Made by `nonlinearity`.

    Attributes:
        fc: functional connectivity by the theory, `(channel, channel)`.
        fc_beyond: the same with the slopes that swings meet; NaN where these hold no fixed point.
        sd: standard deviations of channels by the theory.
        sd_beyond: the same with the slopes that swings meet.
        shift: by how much swings move the mean of each state, in its standard deviations, `(state, region)`.
        outside: share of the time that the theory has each state beyond the model's `limits`, where a run holds it, `(state, region)`.
    """

    fc: Float[LabelledArray, "channel channel"]
    fc_beyond: Float[LabelledArray, "channel channel"]
    sd: Float[LabelledArray, " channel"]
    sd_beyond: Float[LabelledArray, " channel"]
    shift: Float[Array, "state node"]
    outside: Float[Array, "state node"]

    @property
    def error(self) -> Float[np.ndarray, "channel channel"]:
        """About by how much correlations of a long simulation will differ from the theory's."""
        return np.asarray(self.fc_beyond) - np.asarray(self.fc)

    @property
    def small(self) -> bool:
        """Whether the noise is small enough for the theory.

        Correlations move by less than 0.02, standard deviations by less than 10 %, and no state is beyond its limits for 1 % of the time.
        Channels that no noise reaches have no correlations and do not count.
        """
        error, moved = self._reached()
        near = np.abs(error).max(initial=0) < _SMALL_FC and np.abs(moved).max(initial=0) < _SMALL_SHARE
        return bool(near and float(self.outside.max()) < _SMALL_OUTSIDE)

    def _reached(self) -> tuple[np.ndarray, np.ndarray]:
        """Errors, and changes of standard deviations, of the channels that noise reaches."""
        sd = np.asarray(self.sd)
        there = np.flatnonzero(sd != 0)
        return self.error[np.ix_(there, there)], np.asarray(self.sd_beyond)[there] / sd[there] - 1

    def __repr__(self):
        error, moved = self._reached()
        if not len(moved):
            return "Nonlinearity: no noise reaches any channel"
        if not np.isfinite(error).all():
            return (
                "Nonlinearity: not small noise. Swings reach where the slopes hold no fixed point, so that the theory says little of what a "
                "simulation does"
            )
        apart = np.abs(error[np.triu_indices(len(error), 1)]) if len(error) > 1 else np.zeros(1)
        return (
            f"Nonlinearity: {'small noise' if self.small else 'not small noise'}. To the next order correlations move by "
            f"{np.median(apart):.2g} (at most {apart.max():.2g}), standard deviations by {moved.min():+.1%} to {moved.max():+.1%}, and means by "
            f"at most {np.abs(self.shift).max():.2g} standard deviations{self._held()}{self._silent()}"
        )

    def _held(self) -> str:
        if float(self.outside.max()) < _SMALL_OUTSIDE:
            return ""
        return f"; up to {float(self.outside.max()):.0%} of the time a state would be beyond its limits, where a run holds it"

    def _silent(self) -> str:
        count = int((np.asarray(self.sd) == 0).sum())
        return f"; no noise reaches {count_of(count, 'channel')}, which {'is' if count == 1 else 'are'} left out" * (
            count > 0
        )


def nonlinearity(theory: LinearNoise, listener: AbstractMonitor | str) -> Nonlinearity:
    r"""How far a theory of small noise can be trusted.

    Noise takes the state away from its fixed point, to where slopes are others. Here the theory's own swings $\xi$ are put in: the mean
    moves to where $E[f(x^* + \xi)]$ is zero to first order, slopes become their average $E[J(x^* + \xi)]$ (statistical linearisation: Roberts &
    Spanos 1990, "Random Vibration and Statistical Linearization"), and the theory is made again with them. What changes is about what the
    theory is wrong by. Delayed signals are taken to swing with what they meet; intensities of noise stay those of the fixed point.

    Args:
        theory: by `linear_noise`.
        listener: a monitor, or the name of a state or output, as for `LinearNoise.fc`.

    Raises:
        ValueError: as `LinearNoise.covariance`.

    Example:
        >>> import gyrax as gx
        >>> ring = np.roll(np.eye(4), 1, axis=0)
        >>> net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), ring, noise=gx.noise.White(sigma=0.1))
        >>> gx.analysis.nonlinearity(gx.analysis.linear_noise(net), "x").small
        True
    """
    expect("theory", theory, LinearNoise, "a theory", "gx.analysis.linear_noise(network)")
    plain = theory.covariance(listener)
    swinging, shift, outside = _swinging(theory)
    heard, names = heard_by(swinging, listener)
    both = jnp.asarray(plain.values), covariance_of(swinging, heard)[0]
    fc, fc_beyond = (LabelledArray(correlations(x), (names, names)) for x in both)
    sd, sd_beyond = (LabelledArray(jnp.sqrt(jnp.diagonal(x)), (names,)) for x in both)
    return Nonlinearity(fc, fc_beyond, sd, sd_beyond, shift, outside)


@eqx.filter_jit
def _swinging(theory: LinearNoise) -> tuple[LinearNoise, Float[Array, "state node"], Float[Array, "state node"]]:
    """The theory with the mean and the slopes that its own swings make; the mean's shift in standard deviations; time beyond limits."""
    network, y = theory.network, theory.state
    whole = Heard(jnp.eye(y.size, dtype=y.dtype), y.reshape(1, -1), None, None)
    covariance = covariance_of(theory, whole)[0]
    values, vectors = jnp.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * jnp.sqrt(jnp.maximum(values, 0)) @ vectors.T  # the one that small changes change little
    draws = (_even_draws(y.size).astype(y.dtype) @ root.T).reshape(-1, *y.shape)
    draws = jnp.concatenate([draws, -draws])

    pull = jax.lax.map(lambda swing: flow(network, y + swing), draws, batch_size=16).mean(0)
    moved = -jnp.linalg.solve(theory.slopes.jacobian(jnp.zeros((), y.dtype)), pull.reshape(-1)).reshape(y.shape)
    mean = y + moved

    first = slopes(network, mean)

    def kept(found):
        """What changes from place to place."""
        return found.at_once, found.memory, {name: (late.felt, late.sent) for name, late in found.late.items()}

    def add(total, swing):
        here = kept(slopes(network, mean + swing))
        return jax.tree.map(lambda a, b: a + b / len(draws), total, here), None

    (at_once, memory, ends), _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, kept(first)), draws)
    late = {name: first.late[name]._replace(felt=felt, sent=sent) for name, (felt, sent) in ends.items()}
    gone, sd = absent(network), jnp.sqrt(jnp.diagonal(covariance)).reshape(y.shape)
    safe = jnp.where(sd == 0, jnp.finfo(y.dtype).tiny, sd)
    shift = jnp.where(gone | (sd == 0), 0, moved / safe)
    low, high = lowest_and_highest(network, y)
    outside = jnp.where(gone | (sd == 0), 0, norm.cdf((low - y) / safe) + norm.sf((high - y) / safe))
    return LinearNoise(network, mean, Slopes(at_once, late, memory)), shift, outside


def _even_draws(n: int) -> Float[np.ndarray, "draw n"]:
    """Half of draws of n independent normal numbers, whose other half are their opposites: each takes all quantiles once."""
    rng = np.random.default_rng(0)
    quantiles = special.ndtri((np.arange(_PAIRS) + 0.5) / (2 * _PAIRS))
    quantiles /= np.sqrt(np.mean(quantiles**2))
    signs = rng.choice([-1.0, 1.0], (n, _PAIRS))
    return (signs * rng.permuted(np.tile(quantiles, (n, 1)), axis=1)).T
