"""A whole run: cut into segments of equal ticks, each run through by an engine of its own."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..network.pairs import edges_of
from ..recordings import Final
from .backward import plain_segment, run_segment
from .carry import Carry, Parts
from .lengths import Sampling, Segment, divisors, plan
from .loops import Engine
from .prepare import Setup, assemble
from .reads import Lags, stacked, windows
from .starts import filled

#: Steps of a chunk that a gradient recomputes: a quarter of it at least, eight times it at most.
_CHUNK = 1024
#: Bytes of a run's path above which a gradient recomputes it chunk by chunk instead of keeping it.
_KEPT = 64e6
#: Rows that autodiff keeps of a step for every row of its path.
_RESIDUALS = 8


def run(
    setup: Setup, start: Final, key: Any, steps: int, autodiff: str, horizon: int | None
) -> tuple[Carry, dict[str, Array], dict[str, int]]:
    """All the steps of a run.

    Args:
        setup: of the run.
        start: where it starts.
        key: of its noise.
        steps: how many.
        autodiff: 'reverse' or 'forward'.
        horizon: steps after which gradients are cut; None for never.

    Returns:
        Where it ended, the samples of each monitor, `(time, ...)`, and the steps that have passed of each one's period.
    """
    lags, first, now = setup.lags(), dict(start.phases), dict(start.phases)
    longest = windows(*stacked(lags)) if lags else _CHUNK
    before = setup.sampling(first, first)
    by_hand = autodiff == "reverse" and setup.controller is None
    # plain autodiff cuts where ticks begin; the adjoint of a run does so anywhere, and leaves the run as it is
    segments = plan(steps, [before.limits(name) for name in setup.ears], longest, None if by_hand else horizon)
    parts = assemble(setup, start.step)
    adjoint = None
    if setup.controller is not None:
        adjoint = dfx.RecursiveCheckpointAdjoint() if autodiff == "reverse" else dfx.ForwardMode()
    carry = filled(setup, parts, start)
    samples: dict[str, list[Array]] = {name: [] for name in setup.ears}
    # Segment after segment, each with an engine of its own.
    for segment in segments:
        sampling = setup.sampling(first, now)
        engine = _engine(setup, segment, sampling, lags)
        engine = dataclasses.replace(engine, horizon=horizon, diffrax_adjoint=adjoint, known=setup.known)
        carry, found = _segment(engine, parts, carry, key, by_hand)
        for name, values in found.items():
            samples[name].append(values[sampling.due(name, segment)])
        now = {name: (passed + segment.steps) % setup.ears[name].period for name, passed in now.items()}
    return carry, {name: jnp.concatenate(pieces) for name, pieces in samples.items()}, now


def _engine(setup: Setup, segment: Segment, sampling: Sampling, lags: dict[str, Lags]) -> Engine:
    """The loops of one segment."""
    network, depth = setup.network, setup.depth
    features = {name: _rows_sent(setup, name) for name in lags}
    states, n = network.n_rows, network.n_nodes
    edges = {name: own for name in lags if (own := edges_of(network.couplings[name])) is not None}
    heard = _rows_kept(features, edges, depth, segment.tick)
    # Memory of a gradient that recomputes: first values of every chunk, path of one. Equal shares are the least.
    ahead = states + depth * sum(features.values())
    path = 3 * (states + len(network.noisy) + heard)
    best = max(_CHUNK // 4, min(8 * _CHUNK, math.isqrt(segment.steps * ahead // path)))
    return Engine(
        setup.dt,
        segment,
        sampling,
        max(1, best // segment.tick),
        {name: ear.source for name, ear in setup.ears.items()},
        any(monitor.afferent for monitor in setup.monitors.values()),
        setup.listens_to_couplings,
        lags,
        depth,
        features,
        (states - network.n_living, n),
        network.n_living,
        network.n_regions,
        edges,
    )


def _rows_kept(features: dict[str, int], pairs: Collection[str], depth: int, tick: int) -> int:
    """Rows that the way back keeps of a step for what is heard; of couplings of pairs, what was sent before each tick."""
    return sum(rows * (1 + (depth // tick if name in pairs else 0)) for name, rows in features.items())


def _rows_sent(setup: Setup, name: str) -> int:
    """Rows that a coupling sends."""
    network = setup.network
    return jax.eval_shape(lambda: network.sent(name, network.whole(network.start()))).shape[0]


def _segment(engine: Engine, parts: Parts, carry: Carry, key: Any, by_hand: bool) -> tuple[Carry, dict[str, Array]]:
    """All ticks: chunks of equal length, then the ticks that are left; samples by tick."""
    segment = engine.segment
    per_chunk = min(engine.per_chunk, segment.ticks)
    fitting = max(k for k in divisors(segment.ticks) if k <= per_chunk)
    if fitting * 4 >= per_chunk:
        per_chunk = fitting
    lengths = [(segment.ticks // per_chunk, per_chunk), (1, segment.ticks % per_chunk)]
    rows = _rows_kept(engine.features, engine.edges, engine.depth, segment.tick) + engine.shape[0] + engine.living
    rows *= 1 if by_hand else _RESIDUALS
    keep = segment.steps * rows * engine.shape[1] * jnp.result_type(float).itemsize <= _KEPT
    through = run_segment if by_hand else plain_segment
    pieces = []
    # The equal chunks, then one of the ticks that are left.
    for chunks, ticks in lengths:
        if chunks * ticks:
            step = carry.step + chunks * ticks * segment.tick
            carry, found = through(dataclasses.replace(engine, per_chunk=ticks), parts, carry, key, chunks, keep)
            carry = dataclasses.replace(carry, step=step)
            pieces.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), found))
    return carry, jax.tree.map(lambda *x: jnp.concatenate(x), *pieces)
