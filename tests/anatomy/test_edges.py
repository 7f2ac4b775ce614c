"""Lists of connections: each connection once, whatever the rows, and what belongs to their ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gyrax.anatomy import edges
from gyrax.anatomy.edges import Edges

pytestmark = pytest.mark.once


@st.composite
def masks(draw):
    """Some hear hardly anybody, some nearly all."""
    n = draw(st.integers(1, 12))
    rng, shares = np.random.default_rng(draw(st.integers(0, 1000))), draw(arrays(float, n, elements=st.floats(0, 1)))
    return rng.uniform(size=(n, n)) < shares[:, None]


def lists(mask, dear):
    """Its lists where one more list costs this much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "_ONE_MORE", dear)
        return Edges.of(mask)


@settings(max_examples=100, deadline=None)
@given(mask=masks(), dear=st.sampled_from([0, 1, 8]))
def test_every_connection_is_there_once(mask, dear):
    found, n = lists(mask, dear), len(mask)
    pairs = np.stack([found.targets[found.counts], found.heard[found.counts]], 1).tolist()
    assert sorted(pairs) == np.argwhere(mask).tolist()
    np.testing.assert_array_equal(found.connected(n), mask)
    assert found.heard.size <= n * max(mask.sum(1).max(), 1)
    assert found.n_targets == n and found.heard.shape == found.counts.shape == found.shape
    for i, j in np.argwhere(~found.counts & mask.any(1)[found.targets]):  # what fills up is a connection of its target
        assert mask[found.targets[i, j], found.heard[i, j]]


@settings(max_examples=10, deadline=None)
@given(mask=masks(), dear=st.sampled_from([0, 1]))
def test_what_is_laid_out_is_what_was_given(mask, dear):
    found, n, rng = lists(mask, dear), len(mask), np.random.default_rng(0)
    matrix, rows = rng.normal(size=(n, n)), rng.normal(size=(2, n))
    taken = np.asarray(found.take(jnp.asarray(matrix)))
    np.testing.assert_array_equal(taken, matrix[found.targets, found.heard])
    np.testing.assert_array_equal(found.put(jnp.asarray(taken), n, 7.0), np.where(mask, matrix, 7.0))
    np.testing.assert_array_equal(found.gather(jnp.asarray(rows)), rows[:, found.heard])
    np.testing.assert_array_equal(found.laid(jnp.asarray(rows[0])), rows[0][found.targets])
    np.testing.assert_array_equal(found.laid(jnp.asarray(3.0)), np.full(found.shape, 3.0))
    packed = found.in_rows(jnp.asarray(taken))
    assert packed.shape == (found.rows, n)
    np.testing.assert_array_equal(found.from_rows(packed), taken)
    there = np.where(found.counts, taken, 0).sum(0)[None]  # what each list has heard
    np.testing.assert_allclose(found.of_targets(jnp.asarray(there)), [(matrix * mask).sum(1)], rtol=1e-12, atol=1e-12)
    good = rng.uniform(size=(3, found.shape[1])) < 0.8
    expected = [[row[found.targets[0] == i].all() for i in range(n)] for row in good]
    np.testing.assert_array_equal(found.for_all(jnp.asarray(good), 1), expected)


def test_copies_for_lists_and_sums_of_lists_are_each_others_transpose():
    mask = np.random.default_rng(0).uniform(size=(9, 9)) < np.linspace(0.05, 1, 9)[:, None]
    found = lists(mask, 0)
    assert len(found.owners)
    x, bar = (jnp.asarray(np.random.default_rng(1).normal(size=(2, width))) for width in (9, found.shape[1]))
    copied = found.for_lists(x)
    np.testing.assert_array_equal(copied, np.asarray(x)[:, found.targets[0]])
    np.testing.assert_allclose(jax.vjp(found.for_lists, x)[1](bar)[0], found.of_targets(bar), rtol=1e-12)
    np.testing.assert_allclose(jax.vjp(found.of_targets, bar)[1](x)[0], copied, rtol=1e-12)
    many = jnp.stack([bar, 2 * bar, -bar])
    np.testing.assert_allclose(jax.vmap(found.of_targets)(many), [found.of_targets(b) for b in many], rtol=1e-12)


def test_lists_are_shorter_than_the_longest_row_only_where_much_is_saved():
    rng, n = np.random.default_rng(0), 84
    few = rng.uniform(size=(n, n)) < 0.05
    few[:4] = True
    hubs = Edges.of(few)
    assert hubs.heard.size < 2 * few.sum() + 8 * n < few.sum(1).max() * n
    for mask in (np.ones((n, n), bool), ~np.eye(n, dtype=bool), rng.uniform(size=(n, n)) < 0.6):
        assert Edges.of(mask).shape == (mask.sum(1).max(), n)
