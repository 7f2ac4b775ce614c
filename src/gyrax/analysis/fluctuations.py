"""What noise makes of a network at rest, to first order: covariances, connectivity and spectra without a run."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Array, Complex, Float

from .._kinds import expect, reals, shown
from .._types import State, is_known, is_traced
from ..labelled import LabelledArray, Names
from ..monitors.base import AbstractMonitor
from ..monitors.bold import Hemodynamic
from ..monitors.hrf import HRFBold
from ..monitors.sampling import Raw, Subsample
from ..network.network import Network
from ..noise import OrnsteinUhlenbeck
from .convolution import convolved
from .equations import growing, lyapunov
from .integrals import LEVELS, over_frequencies
from .resting import rest
from .slopes import Slopes, check_simple, slopes
from .stability import checked_state
from .telling import count_of
from .within import beyond, limited, worst

#: Up to where frequencies count, in units of the fastest mode.
_BEYOND = 1e4
#: rad/ms beyond which blood does not follow.
_FASTEST_BLOOD = 0.1
#: By how much the direction of a determinant may turn from one to the next, for its turns to be counted.
_TURN = 2.6


class Heard(NamedTuple):
    """What a monitor, or the activity itself, makes of small swings of the state."""

    rows: Float[Array, "node flat"]
    level: Float[Array, "1 node"]
    filter: AbstractMonitor | None  # None for what hands on the activity as it is
    spatial: Float[Array, "channel node"] | None


class Drive(NamedTuple):
    """One row of noise: how it enters the derivatives of each node, how strongly, and how it is mixed and coloured."""

    enters: Float[Array, "state node"]
    amplitude: Float[Array, " node"]
    mixing: Float[Array, "node source"] | None
    tau: Float[Array, ""] | Float[Array, " node"] | None


class LinearNoise(eqx.Module):
    """A noisy network around the state it rests in, to first order in the noise. Made by `linear_noise`.

    Every method takes what listens: a monitor, or the name of a state or output for the activity itself; spectra take frequencies before it.

    Attributes:
        network: what it is of.
        state: where it rests, `(state, region)`.
        slopes: of its drift there.
    """

    network: Network
    state: State
    slopes: Slopes

    def covariance(self, listener: AbstractMonitor | str) -> Float[LabelledArray, "channel channel"]:
        """Covariances between channels at one time.

        Without delays by a Lyapunov equation, through one kernel for all regions too (`HRFBold`); otherwise by an integral over all
        frequencies, to 1e-4 or better.

        Raises:
            ValueError: if the state is unstable, or a mode of it so near to unstable that the integral is not exact. Inside jit: NaN.
        """
        heard, names = heard_by(self, listener)
        found, stable, resolved = covariance_of(self, heard)
        if is_known(stable, resolved):
            if not stable:
                raise ValueError(
                    "the network does not come back to this fixed point: it is unstable, and noise takes it away; "
                    "gx.analysis.modes says how, and a simulation where to"
                )
            if not resolved:
                raise ValueError(
                    "a mode of the network dies so slowly that the integral over frequencies is not exact: it is too near to unstable "
                    "for a theory of small noise; gx.analysis.modes shows it"
                )
        return LabelledArray(found, (names, names))

    def fc(self, listener: AbstractMonitor | str) -> Float[LabelledArray, "channel channel"]:
        """Functional connectivity: correlations between channels, of an endless recording.

        Raises:
            ValueError: as `covariance`.
        """
        covariance = self.covariance(listener)
        return LabelledArray(correlations(jnp.asarray(covariance.values)), covariance.names)

    def cross_spectrum(self, frequencies: Any, listener: Any) -> Complex[Array, "frequency channel channel"]:
        """One-sided cross-spectral densities at frequencies in Hz, in the square of the signal's unit per Hz."""
        _in_order(frequencies, listener)
        return _spectra(self, heard_by(self, listener)[0], _omega(frequencies), True)

    def spectrum(self, frequencies: Any, listener: Any) -> Float[Array, "frequency channel"]:
        """One-sided power spectral densities at frequencies in Hz, as `gx.features.psd` estimates them of a recording."""
        _in_order(frequencies, listener)
        return _spectra(self, heard_by(self, listener)[0], _omega(frequencies), False)

    def __repr__(self):
        states = count_of(len(self.network.model.states), "state")
        return f"LinearNoise of {count_of(self.network.n_regions, 'region')}, {states} each"


def linear_noise(network: Network, start: Any = None) -> LinearNoise:
    r"""What noise makes of a network at rest, to first order: exact for small noise, and differentiable.

    $\dot x = J x + \xi$ around the fixed point, with delays, coloured and shared noise: Deco et al. (2013), "Resting-state functional
    connectivity emerges from structurally and dynamically shaped slow linear fluctuations", J. Neurosci. 33. A fit by it takes
    seconds. It says nothing of what noise drives beyond the neighbourhood of the fixed point.

    Args:
        network: with noise, without a stimulus.
        start: from where the fixed point is looked for, `(state, region)`; left out, where a run starts.

    Raises:
        ValueError: if nothing drives the network, it comes to rest nowhere from there, or beyond the model's `limits`, where no run
            goes. Inside jit, all that it gives is NaN then.
        TypeError: for noise that has no spectrum.

    Example:
        >>> import gyrax as gx
        >>> ring = np.roll(np.eye(4), 1, axis=0)
        >>> net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), ring, noise=gx.noise.White(sigma=0.1))
        >>> theory = linear_noise(net)
        >>> np.asarray(theory.fc("x"))[0].round(3).tolist()
        [1.0, 0.286, 0.143, 0.286]
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    check_simple(network)
    if not network.noises:
        raise ValueError("nothing drives this network: give it noise=gx.noise.White(...)")
    for name, noise in network.noises.items():
        if name in network.memories and not isinstance(noise, OrnsteinUhlenbeck):
            raise TypeError(
                f"{type(noise).__name__} has a memory whose spectrum is not known: linear theory takes White and OrnsteinUhlenbeck"
            )
    y = network.start() if start is None else start if is_traced(start) else checked_state(network, start, "start")
    found, y, settled, inside = _around(network, jnp.asarray(y, jnp.result_type(float)))
    if is_known(settled) and not settled:
        at_limits = "; of a state held at a limit of the model there is no linear theory" if limited(network) else ""
        raise ValueError(
            "from this start the network comes to rest nowhere: give a start nearer to a fixed point, or see "
            f"gx.analysis.fixed_points{at_limits}"
        )
    if is_known(inside) and not inside:
        raise ValueError(
            f"from this start the network would come to rest beyond the model's limits: {worst(network, y)}, and of a state held at a limit there "
            "is no linear theory; give a start nearer to a fixed point within them, such as gx.analysis.fixed_points(network) finds"
        )
    return found


def heard_by(theory: LinearNoise, listener: AbstractMonitor | str) -> tuple[Heard, Names]:
    """What a listener makes of small swings around the fixed point, and the names of its channels."""
    found: Any = Subsample(source=listener, period=1.0) if isinstance(listener, str) else listener
    expect("listener", found, AbstractMonitor, "a monitor or the name of a state", repr(theory.network.model.states[0]))
    if found.afferent or found.noisy:
        what = "noise of its own" if found.noisy else "the inputs as its sources"
        raise ValueError(f"{type(found).__name__} has {what}: linear theory is of states and outputs without it")
    names = theory.network.model.states if found.source is None else found.source
    if len(names) != 1:
        raise ValueError(
            f"name the state or output that the listener hears, source='S': {', '.join(names)} are {len(names)}"
        )

    model = theory.network.model
    if names[0] not in model.states + model.outputs:
        raise ValueError(
            f"the listener names {names[0]!r}, which there is not: {type(model).__name__} has the states {model.states} and the outputs {model.outputs}"
        )

    def seen(flat):
        return theory.network.observed(names, flat.reshape(theory.state.shape))[0]

    flat = theory.state.reshape(-1)
    channels = found.channels(theory.network.channels(names))
    plain = None if isinstance(found, Subsample | Raw) else found
    return Heard(jax.jacfwd(seen)(flat), seen(flat)[None], plain, found.spatial()), channels.labels


def correlations(covariance: Float[Array, "channel channel"]) -> Float[Array, "channel channel"]:
    """Of covariances: one along the diagonal, NaN for channels that do not vary."""
    size = jnp.sqrt(jnp.diagonal(covariance))
    found = covariance / (size[:, None] * size)
    eye = jnp.eye(len(size), dtype=bool)
    return jnp.where(eye, jnp.where(jnp.isnan(found), found, 1.0), found)


@eqx.filter_jit
def _around(network: Network, start: State) -> tuple[LinearNoise, State, Array, Array]:
    """The theory, NaN where there is none; where the network rests; whether it does, and within the model's limits."""
    found, settled = rest(network, start)
    inside = ~beyond(network, found).any()
    known = settled & inside
    y = jnp.where(known, found, jnp.nan)
    # of a linear drift slopes are the same everywhere, and would be known where nothing rests
    around = eqx.tree_at(lambda s: s.at_once, slopes(network, y), replace_fn=lambda x: jnp.where(known, x, jnp.nan))
    return LinearNoise(network, y, around), found, settled, inside


def _in_order(frequencies: Any, listener: Any) -> None:
    """Refuses what listens in the place of frequencies."""
    if isinstance(frequencies, str | AbstractMonitor):
        raise TypeError(
            f"frequencies come first, and what listens second, got {shown(frequencies)} and {shown(listener)}: write "
            "theory.spectrum(frequencies, 'x')"
        )


def _omega(frequencies: Any) -> Float[Array, " frequency"]:
    found = (
        frequencies
        if is_traced(frequencies)
        else jnp.asarray(reals("frequencies", frequencies), jnp.result_type(float))
    )
    if found.ndim != 1:
        raise ValueError(f"frequencies are Hz, (frequency,), got shape {found.shape}")
    return 2 * jnp.pi * found / 1000


def _drives(theory: LinearNoise) -> list[Drive]:
    """Every row of noise."""
    network, y, found, before = theory.network, theory.state, [], 0
    ones = jnp.ones(y.shape[1:], y.dtype)
    for noise in network.noises.values():
        rows = network.rows(noise)
        if isinstance(noise, OrnsteinUhlenbeck):
            own = jnp.zeros((len(rows), y.shape[1]), y.dtype)
            amplitudes = jnp.broadcast_to(noise.diffusion(0.0, own), own.shape)
            for k in range(len(rows)):
                tau = jnp.broadcast_to(noise.tau, own.shape)[k]
                found.append(Drive(theory.slopes.memory[:, before + k], amplitudes[k], noise.mixing, tau))
            before += len(rows)
        else:
            noisy = y[np.array([network.model.states.index(row) for row in rows])]
            amplitudes = jnp.broadcast_to(noise.diffusion(0.0, noisy), noisy.shape)
            for k, row in enumerate(rows):
                unit = jnp.zeros_like(y).at[network.model.states.index(row)].set(ones)
                found.append(Drive(unit, amplitudes[k], noise.mixing, None))
    return found


@eqx.filter_jit
def _spectra(theory: LinearNoise, heard: Heard, omega: Array, crossed: bool) -> Array:
    """One-sided densities per Hz, `(frequency, channel)`, or with those between channels `(frequency, channel, channel)`."""

    def one(w):
        fourier = _fourier(theory, heard, w, theory.slopes.jacobian(1j * w))[0]
        return fourier @ fourier.conj().T if crossed else (jnp.abs(fourier) ** 2).sum(-1)

    return 2e-3 * jax.lax.map(one, omega)


def _turned(factors: tuple[Array, Array]) -> Complex[Array, ""]:
    """The direction of a determinant."""
    diagonal, exchanged = jnp.diagonal(factors[0]), factors[1] != jnp.arange(len(factors[1]))
    return jnp.prod(diagonal / jnp.abs(diagonal)) * jnp.where(exchanged.sum() % 2, -1, 1)


def _fourier(
    theory: LinearNoise, heard: Heard, omega: Array, jacobian: Array
) -> tuple[Complex[Array, "channel source"], Complex[Array, ""]]:
    """What each source of noise brings to each channel at a frequency, rad/ms, and the direction of the determinant."""
    matrix = 1j * omega * jnp.eye(theory.state.size) - jacobian
    factors = lu_factor(jax.lax.stop_gradient(matrix))
    back = jax.lax.custom_linear_solve(
        lambda x: matrix.T @ x,
        heard.rows.T.astype(matrix.dtype),
        lambda _, right: lu_solve(factors, right, trans=1),
        lambda _, right: lu_solve(factors, right),
    )
    back = back.reshape(*theory.state.shape, -1)
    found = []
    for drive in _drives(theory):
        strength = drive.amplitude if drive.tau is None else drive.amplitude / (1j * omega + 1 / drive.tau)
        brought = jnp.einsum("sin,si,i->ni", back, drive.enters, strength)
        found.append(brought if drive.mixing is None else brought @ drive.mixing)
    whole = jnp.concatenate(found, axis=1)
    if heard.filter is not None:
        whole = heard.filter.response(omega[None], heard.level)[0][:, None] * whole
    if heard.spatial is not None:
        whole = heard.spatial @ whole
    return whole, _turned(factors)


@eqx.filter_jit
def covariance_of(theory: LinearNoise, heard: Heard) -> tuple[Float[Array, "channel channel"], Array, Array]:
    """A covariance, NaN where it is not known; whether the state is stable; and whether the integral has come out."""
    late, kernel = bool(theory.slopes.late), _kernel(heard)
    if not late and (heard.filter is None or kernel is not None):
        alone = _of_activity(theory, heard.rows, kernel)
        alone = alone if heard.spatial is None else heard.spatial @ alone @ heard.spatial.T
        stable = jnp.isfinite(alone).all()
        return alone, stable, stable
    alone = jnp.full((), jnp.nan) if heard.filter is not None else _of_activity(theory, heard.rows)
    known = jnp.isfinite(alone).all()
    n = len(heard.rows) if heard.spatial is None else len(heard.spatial)
    base = jnp.where(known, alone, 0) + jnp.zeros((n, n), theory.state.dtype)
    delays = [jnp.max(jnp.where(x.weights != 0, x.ms, 0)) for x in theory.slopes.late.values()]
    longest = jax.lax.stop_gradient(jnp.stack(delays).max()) if delays else 0.0

    @jax.checkpoint
    def density(omega, apart):
        """Of all, or beside what is not late, where that is known; and the direction of the determinant, beside that of what is not."""
        fourier, turned = _fourier(theory, heard, omega, theory.slopes.jacobian(1j * omega))
        found = (fourier @ fourier.conj().T).real
        if not late:
            return found, jnp.ones((), fourier.dtype)
        fourier, before = _fourier(theory, heard, omega, theory.slopes.at_once + 0j)
        rest = (fourier @ fourier.conj().T).real
        # Beyond all modes late signals still turn from one frequency to the next. What they add falls faster than the rest, which is apart:
        # where they turn too far, to leave them out is better than what goes wrong.
        found = jnp.exp(-((longest * apart / 1.5) ** 4)) * (found - rest)
        return found + jnp.where(known, 0, rest), turned / before

    scale, highest = _range(theory, heard)
    blood = isinstance(heard.filter, Hemodynamic)
    integral = over_frequencies(density, base, scale, highest, LEVELS - 1 if late and not blood else 1)
    count, followed = _roots_on_the_right(theory.slopes, integral.beside)
    found, resolved, stable = integral.value + base, followed & integral.settled, (count == 0) | ~followed
    return jnp.where(stable & resolved, found, jnp.nan), stable, resolved


def _roots_on_the_right(found: Slopes, turned: Complex[Array, " frequency"]) -> tuple[Array, Array]:
    """How many roots of the characteristic equation grow, and whether they could be counted.

    By the argument principle: along the imaginary axis, from zero to infinity, the determinant turns by half a turn less for each, here
    beside that of what is not late, whose are eigenvalues.
    """
    found = jax.tree.map(jax.lax.stop_gradient, found)
    before = growing(found.at_once)
    if not found.late:
        return before, jnp.isfinite(before)
    zero = jnp.zeros((), found.at_once.dtype)
    first = jnp.linalg.slogdet(-found.jacobian(zero))[0] * jnp.linalg.slogdet(-found.at_once)[0]
    path = jnp.concatenate([first[None] + 0j, turned, jnp.ones(1, turned.dtype)])
    steps = jnp.angle(path[1:] * path[:-1].conj())
    count = before - steps.sum() / jnp.pi
    followed = (jnp.abs(steps).max() < _TURN) & jnp.isfinite(before)
    return jnp.round(count), followed


def _kernel(heard: Heard) -> tuple[Float[Array, " time"], float, Array] | None:
    """The kernel of a convolution that is the same for all nodes: its values, their step in ms, and the slope of what is made of it."""
    if not isinstance(heard.filter, HRFBold):
        return None
    values, step, slope = heard.filter.convolution(heard.level)
    return (values[:, 0], step, slope) if values.shape[1] == 1 else None


def _of_activity(theory: LinearNoise, rows: Array, kernel: Any = None) -> Float[Array, "node node"]:
    """By a Lyapunov equation of the state and of coloured noise below it; of the activity, or of what a kernel makes of it."""
    drives, n, nodes = _drives(theory), theory.state.size, theory.state.shape[1]
    coloured = [drive for drive in drives if drive.tau is not None]
    size = n + nodes * len(coloured)
    flow, intensity, below = jnp.zeros((size, size), rows.dtype), jnp.zeros((size, size), rows.dtype), n
    flow = flow.at[:n, :n].set(theory.slopes.at_once)
    eye = jnp.eye(nodes, dtype=rows.dtype)
    for drive in drives:
        mixed = drive.amplitude[:, None] * (eye if drive.mixing is None else drive.mixing)
        enters = (drive.enters[:, :, None] * eye).reshape(n, nodes)
        if drive.tau is None:
            mixed = enters @ mixed
            intensity = intensity.at[:n, :n].add(mixed @ mixed.T)
        else:
            own = slice(below, below + nodes)
            flow = flow.at[:n, own].set(enters).at[own, own].set(-jnp.diag(1 / drive.tau))
            intensity, below = intensity.at[own, own].set(mixed @ mixed.T), below + nodes
    covariance = lyapunov(flow, intensity)
    if kernel is not None:
        values, step, slope = kernel
        covariance, rows = convolved(flow, covariance, values, step), slope[:, None] * rows
    return rows @ covariance[:n, :n] @ rows.T


def _range(theory: LinearNoise, heard: Heard) -> tuple[Array, Array]:
    """From about where to where frequencies matter, rad/ms: below the slowest mode, and beyond the fastest that is heard."""
    jacobian = jax.lax.stop_gradient(theory.slopes.jacobian(jnp.zeros((), theory.state.dtype)))
    slowest = 1 / jnp.linalg.norm(jnp.linalg.inv(jacobian), 2)
    highest = _BEYOND * jnp.abs(jnp.diagonal(jacobian)).max()
    if isinstance(heard.filter, Hemodynamic):
        highest = jnp.minimum(highest, _FASTEST_BLOOD)
    return slowest / 2, highest
