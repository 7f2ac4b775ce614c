"""Fronts against those known in closed form."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import gyrax as gx
from gyrax.search import plans
from gyrax.search.fronts import Front
from gyrax.search.genetic import Genetic
from gyrax.search.pareto import Downhill, common_descent

MODEL = {"x": jnp.array([0.3, 0.5])}
SPEC = gx.select(MODEL, "x")
GOALS = {"left": "min", "right": "max"}


def two(m, key):
    """Schaffer's two bowls: unbeaten are the points on the line between (-1, 0) and (1, 0)."""
    far = (m["x"] - jnp.array([-1.0, 0.0])) ** 2, (m["x"] - jnp.array([1.0, 0.0])) ** 2
    return far[0].sum() + far[1].sum(), {"left": far[0].sum(), "right": -far[1].sum(), "other": m["x"][0]}


def noisy(m, key):
    value, terms = two(m, key)
    return value, {"left": terms["left"] + 0.1 * jax.random.normal(key), "right": terms["right"]}


def front(loss=two, terms=GOALS, **options):
    return gx.search.front(
        MODEL, loss, SPEC, **{"terms": terms, "generations": 15, "population": 16, "progress": False} | options
    )


@pytest.mark.slow("float32")
def test_lies_on_the_front_that_is_known():
    found = front()
    points = np.stack([m["x"] for m in found.models])
    assert len(found) >= 8 and (np.abs(points[:, 1]) < 0.02).all() and (np.abs(points[:, 0]) <= 1.02).all()
    np.testing.assert_allclose(np.sqrt(found.terms[:, 0]) + np.sqrt(-found.terms[:, 1]), 2.0, atol=0.02)
    assert (np.diff(found.terms[:, 0]) >= 0).all() and (np.diff(found.terms[:, 1]) >= 0).all()
    assert np.ptp(points[:, 0]) > 1.0 and abs(points[found.balanced(), 0]) < 0.35
    assert "left (min)" in repr(found) and found.to_xarray()["mean"].dims == ("point", "term")
    assert found.plot().get_xlabel() == "left"


@pytest.mark.slow("float32")
def test_gradients_bring_what_the_search_left_nearer_to_it():
    rough = front(refine=0, generations=4)
    fine = front(refine=20, generations=4)

    def off(found):
        return np.mean(np.sqrt(found.terms[:, 0]) + np.sqrt(-found.terms[:, 1]) - 2.0)

    assert off(fine) < 0.2 * off(rough)


@pytest.mark.slow("float32")
def test_is_judged_on_noise_that_it_never_heard():
    found = front(noisy, validation=gx.Validation(keys=8))
    keys = gx.Validation(keys=8).drawn(jax.random.key(0))
    each = np.array([[noisy(m, k)[1]["left"] for k in keys] for m in found.models])
    np.testing.assert_allclose(found.terms[:, 0], each.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sd[:, 0], each.std(1, ddof=1), rtol=1e-3)
    beaten = [(found.terms[:, 0] <= p[0]) & (found.terms[:, 1] >= p[1]) for p in found.terms]
    assert all(np.sum(b) == 1 for b in beaten)


@pytest.mark.slow("float32")
@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=2, max_size=3))
def test_the_common_descent_is_the_shortest_mean(rows):
    gradients = np.array(rows)
    found = np.asarray(common_descent(jnp.asarray(gradients)), float)
    shares = optimize.minimize(
        lambda w: ((w @ gradients) ** 2).sum(),
        np.full(len(rows), 1 / len(rows)),
        bounds=[(0, 1)] * len(rows),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 200},
    ).x
    shortest = ((shares @ gradients) ** 2).sum()
    assert (found**2).sum() <= shortest + 0.02 * (1 + (gradients**2).sum(1).max())
    if len(rows) == 2:  # Frank and Wolfe's steps are exact there
        np.testing.assert_allclose((found**2).sum(), shortest, atol=1e-4)
        assert (gradients @ found >= -1e-4 * (1 + (gradients**2).sum())).all()


@pytest.mark.slow
def test_no_step_downhill_leaves_a_term_worse():
    def function(points):
        def one(x):
            def terms(x):
                return jnp.stack(
                    [jnp.sin(3 * x[0]) + x[1] ** 2, jnp.where(x[0] > 0.4, jnp.nan, 1.0) * jnp.cos(2 * x[0])]
                )

            return terms(x), jax.jacrev(terms)(x)

        return jax.vmap(one)(points)

    points = jnp.array([[0.3, 1.0], [-2.0, -0.5]])
    state = Downhill.at(points, 2, 0.5).moved(function)
    np.testing.assert_array_equal(state.points, points)
    np.testing.assert_array_equal(state.length, 0.5)
    for _ in range(6):
        later = state.moved(function)
        assert (np.asarray(later.terms) <= np.asarray(state.terms)).all() and np.isfinite(later.gradients).all()
        state = later


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"terms": {"left": "min"}}, "two terms or more"),
        ({"terms": {"left": "min", "r": "max"}}, "no term 'r'; it has loss, left, other, right"),
        ({"terms": {"left": "min", "right": "up"}}, "'min' or 'max'"),
        ({"within": 0.0}, "within"),
        ({"population": 3}, "population"),
        ({"validation": 4}, "validation"),
    ],
)
def test_refuses_what_makes_no_front(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        front(**options)


@pytest.mark.once
def test_says_what_is_not_finite_or_missing(monkeypatch):
    def broken(m, key):
        value, terms = two(m, key)
        return value, {"left": terms["left"] * jnp.nan, "right": terms["right"]}

    with pytest.raises(FloatingPointError, match="give a smaller within="):
        front(broken)
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(ImportError, match=r"pip install 'gyrax\[search\]'"):
        front()


@pytest.mark.once
def test_the_balanced_point_is_that_nearest_to_the_best_of_each():
    terms = np.array([[0.0, 0.0], [0.2, 9.0], [1.0, 10.0]])
    assert Front([None] * 3, terms, terms, {"a": "min", "b": "max"}, terms, 0.0).balanced() == 1


def same(one, two):
    np.testing.assert_array_equal(one.terms, two.terms)
    np.testing.assert_array_equal(one.history, two.history)
    for a, b in zip(one.models, two.models, strict=True):
        np.testing.assert_array_equal(a["x"], b["x"])


SHORT = {"loss": noisy, "generations": 3, "population": 6, "refine": 4, "validation": gx.Validation(keys=2)}


class Stopping:
    """A call that stops once, the so-and-so-many-th time that it is made for all points of the search."""

    def __init__(self, made, calls, error):
        self.made, self.left, self.error = made, calls, error

    def __call__(self, *args, **kwargs):
        keys = kwargs.get("keys", KEYS)
        judging = not np.array_equal(jax.random.key_data(keys), jax.random.key_data(KEYS))
        self.left -= not judging
        if self.left == -1 and not judging:
            raise self.error
        return self.made(*args, **kwargs)


KEYS = jax.random.key(0)[None]


@pytest.mark.once
@pytest.mark.parametrize(("phase", "calls"), [("terms_of", 2), ("_further", 0), ("_further", 2)])
def test_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path, monkeypatch, phase, calls):
    options, made = SHORT, getattr(plans, phase)
    through = front(**options)
    with monkeypatch.context() as patch:
        patch.setattr(plans, phase, Stopping(made, calls, KeyboardInterrupt()))
        part = front(**options, checkpoint=tmp_path / "stopped.npz")
        assert part.stopped == "interrupted" and "interrupted" in repr(part) and len(part)
        patch.setattr(plans, phase, Stopping(made, calls, MemoryError()))
        with pytest.raises(MemoryError):
            front(**options, checkpoint=tmp_path / "crashed.npz")
    for name in ("stopped", "crashed"):
        patch = Stopping(made, 10**6, None)
        monkeypatch.setattr(plans, phase, patch)
        same(front(**options, checkpoint=tmp_path / f"{name}.npz"), through)
        assert (
            10**6 - patch.left == {("terms_of", 2): 1, ("_further", 0): 5, ("_further", 2): 3}[phase, calls]
        )  # the rest
    monkeypatch.setattr(plans, "_further", None)  # finished: nothing is left to do
    same(front(**options, checkpoint=tmp_path / "stopped.npz"), through)


@pytest.mark.once
def test_ctrl_c_before_there_is_anything_stops_it(monkeypatch):
    monkeypatch.setattr(plans, "terms_of", Stopping(plans.terms_of, 0, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt, match=r"after 0 of .* there is no front yet"):
        front(**SHORT)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    file = tmp_path_factory.mktemp("saved") / "front.npz"
    front(**SHORT, checkpoint=file)
    return file.read_bytes()


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"loss": two, "validation": None}, "another run: the loss differs"),
        (
            {"terms": {"left": "min", "right": "min"}},
            "the terms differs: left min, right max there, left min, right min",
        ),
        ({"population": 8}, "the method differs: NSGA-II of 6 within 2 there, NSGA-II of 8"),
        ({"within": 1.0}, "the method differs"),
        ({"starts": [MODEL, {"x": jnp.zeros(2)}]}, "the first generation differs"),
        ({"key": 1}, "the key differs"),
        ({"validation": gx.Validation(keys=3)}, "validation differs"),
        ({"generations": 2}, "generations=2 counts the 3 that the checkpoint has searched: give 3 or more"),
        ({"generations": 4}, "was refined after 3 generations and cannot be searched on: give generations=3"),
        ({"refine": 2}, "refine=2 counts the 4 steps that the checkpoint has taken: give 4 or more"),
    ],
)
def test_a_file_of_another_front_is_refused_with_what_differs(saved, tmp_path, change, text):
    file = tmp_path / "front.npz"
    file.write_bytes(saved)
    with pytest.raises(ValueError, match=text):
        front(**SHORT | change, checkpoint=file)
    assert file.read_bytes() == saved


@pytest.mark.once
def test_more_steps_and_generations_go_on_where_they_can(saved, tmp_path):
    file = tmp_path / "front.npz"
    file.write_bytes(saved)
    same(front(**SHORT | {"refine": 6}, checkpoint=file), front(**SHORT | {"refine": 6}))
    longer = SHORT | {"refine": 0, "generations": 5}
    front(**longer | {"generations": 3}, checkpoint=tmp_path / "other.npz")
    same(front(**longer, checkpoint=tmp_path / "other.npz"), front(**longer))


@pytest.mark.once
def test_candidates_drawn_by_another_pymoo_are_not_mixed_in(saved, tmp_path, monkeypatch):
    (tmp_path / "front.npz").write_bytes(saved)
    ask = Genetic.ask
    monkeypatch.setattr(Genetic, "ask", lambda self: ask(self) + 1e-9)
    with pytest.raises(ValueError, match="another version of pymoo or NumPy"):
        front(**SHORT, checkpoint=tmp_path / "front.npz")


@pytest.mark.once
def test_starts_are_moved_downhill_with_or_without_a_search():
    starts = [{"x": jnp.array([at, 1.0])} for at in (-0.9, 0.0, 0.9)]
    found = front(starts=starts, generations=0, refine=0)
    np.testing.assert_array_equal([m["x"] for m in found.models], [s["x"] for s in starts])
    assert found.history.shape == (0, 2)
    moved = front(starts=starts, generations=0, refine=60)
    points = np.array([m["x"] for m in moved.models])
    assert (np.abs(points[:, 1]) < 0.02).all() and np.ptp(points[:, 0]) > 1.0
    beaten = front(starts=[{"x": jnp.array([9.0, 0.0])}, *starts], generations=1, refine=0)
    assert not any((np.asarray(m["x"]) == [9.0, 0.0]).all() for m in beaten.models)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"starts": []}, "starts is empty"),
        ({"starts": [{"x": jnp.zeros(3)}]}, r"x has shape \(3,\) in starts and \(2,\) in the model"),
        ({"starts": [{"y": jnp.zeros(2)}]}, r"starts\[0\]"),
        ({"validation": gx.Validation(loss=lambda m, key: (m["x"].sum(), {"left": m["x"][0]}))}, "no term 'right'"),
    ],
)
def test_refuses_starts_and_judges_that_do_not_fit(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        front(**options)


@pytest.mark.once
def test_one_model_alone_goes_downhill():
    found = front(generations=0)
    assert len(found) == 1 and (found.terms[0] * [1, -1]).sum() < two(MODEL, None)[0] and found.terms[0, 1] > -0.74


@pytest.mark.once
def test_before_anything_is_finished_ctrl_c_says_so_in_every_search(monkeypatch):
    from gyrax.search import walking

    for search, count in ((gx.search.evolve, "generations"), (gx.search.minimise, "steps")):
        monkeypatch.setattr(walking, "_advance", Stopping(walking._advance, 0, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt, match=rf"after 0 of 7 {count} of '\w+': there is no result yet"):
            search(MODEL, two, SPEC, **{count: 7}, progress=False)


@pytest.mark.once
def test_terms_above_any_size_are_finite():
    def large(m, key):
        value, terms = two(m, key)
        return value, {"left": 1e31 * terms["left"], "right": 1e31 * terms["right"]}

    found = front(large, generations=4, population=8, refine=0)
    np.testing.assert_allclose(found.terms / 1e31, front(generations=4, population=8, refine=0).terms, rtol=1e-6)
    assert np.isfinite(found.history).all()


def complex_term(m, key):
    value, terms = two(m, key)
    return value, terms | {"right": terms["right"] + 0j}


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"within": 1e-18}, ValueError, "within=1e-18 is less than float64 tells apart around the start"),
        ({"loss": complex_term}, TypeError, "term 'right' is a real number, got one of complex128"),
        ({"terms": {"left": "min", "right": "maximum"}}, TypeError, r"write terms=\{..., 'right': 'max'\}"),
        ({"starts": [np.ones(3)]}, ValueError, r"^starts\[0\] is built otherwise .* and not an array of shape \(3,\)$"),
    ],
)
def test_what_no_front_can_be_made_of_is_said_in_a_sentence(options, error, message):
    with pytest.raises(error, match=message) as told:
        front(**{"generations": 30, "population": 8, "refine": 0} | options)
    assert "\n" not in str(told.value)


@pytest.mark.once
def test_a_damaged_end_of_the_file_is_told_with_its_name(tmp_path):
    file = tmp_path / "front.npz"
    options = {"generations": 2, "population": 8, "refine": 0, "checkpoint": file}
    front(**options)
    whole = file.read_bytes()
    for place in (-6, -3, -10):  # by the first of these, the system itself is asked for a place before the file
        broken = bytearray(whole)
        broken[place] = 255
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"front\.npz is damaged"):
            front(**options)


@pytest.mark.once
def test_where_there_are_no_more_candidates_it_is_said():
    first = 0.5 + 1e-16 * np.arange(4.0)[:, None]
    search = Genetic(first, first.min(0), first.max(0), 2, 0, 3e-16)
    search.tell(np.stack([search.ask()[:, 0], -first[:, 0]], 1))
    with pytest.raises(ValueError, match="no candidates within 3e-16 of the start that differ from those before"):
        search.ask()
