"""Connectomes: what they accept, what they refuse and how they say so, and that files give back what was saved."""

from typing import Any

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from jax.test_util import check_grads

from gyrax.anatomy.connectome import Connectome, spectral_radius
from gyrax.io.connectomes import read_matrix

matplotlib.use("Agg")

WEIGHTS = np.array([[0.0, 2.0, 0.5], [1.0, 0.0, 4.0], [0.0, 3.0, 0.0]])
LENGTHS = np.array([[0.0, 20.0, 30.0], [20.0, 0.0, 40.0], [30.0, 40.0, 0.0]])
CENTRES = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0], [7.0, 8.0, -9.0]])
LABELS = ("V1", "V2", "MT")


@pytest.fixture
def full():
    return Connectome(WEIGHTS, LENGTHS, LABELS, CENTRES)


@st.composite
def parts(draw):
    """Arguments of a connectome."""
    n = draw(st.integers(1, 5))
    values = st.floats(0, 1e6, width=32, allow_subnormal=False)
    tracts = st.just(0.0) | st.floats(1.0, 1000.0, width=32)
    # commas, quotes and '#' are where tables go wrong; controls cannot be saved, and are refused
    text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(",;'\"#"), min_size=1)
    positions = arrays(np.float32, (n, 3), elements=st.floats(-200, 200, width=32, allow_subnormal=False))
    return {
        "weights": draw(arrays(np.float32, (n, n), elements=values)),
        "lengths": draw(st.none() | arrays(np.float32, (n, n), elements=tracts)),
        "labels": draw(st.none() | st.lists(text, min_size=n, max_size=n, unique=True)),
        "centres": draw(st.none() | positions),
    }


def same(one, two):
    return bool(eqx.tree_equal(one, two))


class TestConstruction:
    @pytest.mark.parametrize(
        "convert",
        [np.asarray, jnp.asarray, np.ndarray.tolist, pd.DataFrame, lambda w: w.astype(np.float16), lambda w: tuple(w)],
        ids=["numpy", "jax", "lists", "pandas", "float16", "tuple of rows"],
    )
    def test_accepts_array_likes(self, convert):
        made = Connectome(convert(WEIGHTS), lengths=convert(LENGTHS), centres=convert(CENTRES))
        for value, expected in ((made.weights, WEIGHTS), (made.lengths, LENGTHS), (made.centres, CENTRES)):
            assert isinstance(value, jax.Array) and value.dtype == jnp.result_type(float) and not value.weak_type
            np.testing.assert_array_equal(value, expected)
        assert made.labels == ("region_0", "region_1", "region_2")

    def test_accepts_integers_booleans_and_objects(self):
        for entries in (
            [[0, 1], [1, 0]],
            np.array([[False, True], [True, False]]),
            np.array([[0, 1], [1.0, 0]], object),
        ):
            np.testing.assert_array_equal(Connectome(entries).weights, [[0, 1], [1, 0]])
        for dtype in (jnp.int32, jnp.bool_, jnp.float16, jnp.bfloat16):
            weights = Connectome(jnp.array([[0, 1], [1, 0]], dtype)).weights
            assert weights.dtype == jnp.result_type(float)
            np.testing.assert_array_equal(weights, [[0, 1], [1, 0]])

    def test_labels_of_a_dataframe(self):
        frame = pd.DataFrame(WEIGHTS, index=list(LABELS), columns=list(LABELS))
        assert Connectome(frame).labels == LABELS
        assert Connectome(frame, lengths=pd.DataFrame(LENGTHS, LABELS, LABELS), labels=LABELS).labels == LABELS
        assert Connectome(pd.DataFrame(WEIGHTS, columns=list(LABELS))).labels == LABELS
        assert Connectome(pd.DataFrame(WEIGHTS, index=list(LABELS))).labels == LABELS
        assert Connectome(WEIGHTS, centres=pd.DataFrame(CENTRES, LABELS, list("xyz"))).labels == LABELS
        assert Connectome(pd.DataFrame(WEIGHTS, [1001, 1002, 7], [1001, 1002, 7])).labels == ("1001", "1002", "7")

    def test_blanks_around_labels_go(self):
        assert Connectome(WEIGHTS, labels=[" V1", "V2\n", "MT"]).labels == LABELS

    def test_rows_receive(self):
        state = jnp.array([0.0, 1.0, 0.0])  # only V2 is active
        np.testing.assert_array_equal(Connectome(WEIGHTS, labels=LABELS).weights @ state, [2.0, 0.0, 3.0])


FRAME = pd.DataFrame(WEIGHTS, LABELS, LABELS)
REFUSED = {
    "not square": ({"weights": WEIGHTS[:2]}, ValueError, ["weights has shape (2, 3)", "square", "target"]),
    "one dimension": ({"weights": WEIGHTS[0]}, ValueError, ["weights has shape (3,)", "square"]),
    "a number": ({"weights": 1.0}, ValueError, ["weights has shape ()", "square"]),
    "empty": ({"weights": np.zeros((0, 0))}, ValueError, ["weights has shape (0, 0)"]),
    "ragged": ({"weights": [[0, 1], [1]]}, ValueError, ["weights", "rows differ in length"]),
    "nan": (
        {"weights": np.where(WEIGHTS == 4, np.nan, WEIGHTS), "labels": LABELS},
        ValueError,
        ["weights: entry [1, 2] (row 'V2', column 'MT') is nan", "finite", "put 0 where"],
    ),
    "infinite": (
        {"weights": np.where(WEIGHTS == 4, np.inf, WEIGHTS)},
        ValueError,
        ["[1, 2] (row 'region_1', column 'region_2') is inf"],
    ),
    "negative": (
        {"weights": jnp.asarray(-WEIGHTS), "labels": LABELS},
        ValueError,
        ["[0, 1] (row 'V1', column 'V2') is -2", "(and 4 more like it)", "zero or more", "functional"],
    ),
    "masked": ({"weights": np.ma.masked_greater(WEIGHTS, 3)}, ValueError, ["[1, 2]", "is nan"]),
    "text": ({"weights": [["0", "1"], ["1", "0"]]}, TypeError, ["weights: entry [0, 0] is", "'0'", "real number"]),
    "none": ({"weights": [[0, 1], [None, 0]]}, TypeError, ["weights: entry [1, 0] is None"]),
    "complex": ({"weights": WEIGHTS * 1j}, TypeError, ["weights: entry [0, 0]", "real number"]),
    "complex jax": ({"weights": jnp.ones((2, 2), complex)}, TypeError, ["weights has dtype complex"]),
    "lengths shape": (
        {"weights": WEIGHTS, "lengths": np.ones((2, 2))},
        ValueError,
        ["lengths has shape (2, 2)", "expected (3, 3)", "weights has 3 regions"],
    ),
    "lengths negative": (
        {"weights": WEIGHTS, "lengths": -LENGTHS, "labels": LABELS},
        ValueError,
        ["lengths: entry [0, 1] (row 'V1', column 'V2') is -20", "put 0 where there is no tract"],
    ),
    "lengths nan": ({"weights": WEIGHTS, "lengths": LENGTHS * np.nan}, ValueError, ["lengths: entry [0, 0]", "nan"]),
    "centres shape": (
        {"weights": WEIGHTS, "centres": np.ones((3, 2))},
        ValueError,
        ["centres has shape (3, 2)", "expected (3, 3)"],
    ),
    "centres nan": (
        {"weights": WEIGHTS, "centres": np.where(CENTRES == 8, np.nan, CENTRES), "labels": LABELS},
        ValueError,
        ["centres: entry [2, 1] (row 'MT', column 'y') is nan", "x, y, z in mm"],
    ),
    "too few labels": (
        {"weights": WEIGHTS, "labels": ["V1"]},
        ValueError,
        ["labels: 1 labels", "weights has 3 regions"],
    ),
    "no labels": ({"weights": WEIGHTS, "labels": []}, ValueError, ["labels: 0 labels"]),
    "a word as labels": ({"weights": WEIGHTS, "labels": "ABC"}, ValueError, ["labels: 1 labels"]),
    "empty label": ({"weights": WEIGHTS, "labels": ["V1", " ", "MT"]}, ValueError, ["labels: label 1 is ''"]),
    "two lines": ({"weights": WEIGHTS, "labels": ["V1", "a\nb", "MT"]}, ValueError, [r"labels: label 1 is 'a\nb'"]),
    "same label": (
        {"weights": WEIGHTS, "labels": ["V1", "V2", "V1"]},
        ValueError,
        ["'V1' is both label 0 and label 2", "of its own"],
    ),
    "label no text": ({"weights": WEIGHTS, "labels": ["V1", 2, "MT"]}, TypeError, ["labels: label 1 is 2", "str("]),
    "index and columns": (
        {"weights": pd.DataFrame(WEIGHTS, LABELS, ["V1", "MT", "V2"])},
        ValueError,
        ["region 1 is 'V2' in the rows of weights, but 'MT' in the columns of weights", "same order"],
    ),
    "index and labels": (
        {"weights": FRAME, "labels": ["V1", "V2", "V3"]},
        ValueError,
        ["region 2 is 'V3' in labels, but 'MT' in weights"],
    ),
    "index of lengths": (
        {"weights": FRAME, "lengths": pd.DataFrame(LENGTHS, LABELS[::-1], LABELS[::-1])},
        ValueError,
        ["region 0 is 'V1' in weights, but 'MT' in lengths"],
    ),
    "text in a frame": ({"weights": pd.DataFrame([["V1", 0.0], ["V2", 1.0]])}, TypeError, ["[0, 0] is 'V1'"]),
}


@pytest.mark.once
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    arguments, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        Connectome(**arguments)
    for word in words:
        assert word in str(caught.value)


def test_a_float64_too_large_for_float32_is_refused():
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        assert Connectome([[1e39]]).weights[0, 0] == 1e39
    else:
        with pytest.raises(ValueError, match=r"is 1e\+39, expected a finite float32"):
            Connectome([[1e39]])


class TestPytree:
    def test_tree_operations_do_not_validate(self, full):
        negative = jax.tree.map(lambda x: -x, full)
        np.testing.assert_array_equal(negative.weights, -WEIGHTS)
        assert negative.labels == LABELS
        assert jax.tree.map(lambda _: True, full).lengths is True
        assert same(eqx.tree_at(lambda c: c.weights, full, full.weights), full)

    def test_vmap(self, full):
        batch = jax.vmap(lambda s: eqx.tree_at(lambda c: c.weights, full, full.weights * s))(jnp.array([1.0, 2.0]))
        sums = eqx.filter_vmap(lambda c: c.normalised("max").weights.sum())(batch)
        np.testing.assert_allclose(sums, WEIGHTS.sum() / 4, rtol=1e-6)
        assert batch.n_regions == 3

    def test_built_inside_jit(self):
        made = jax.jit(lambda w: Connectome(w, LENGTHS, LABELS))(-WEIGHTS)  # values are not known, so not refused
        np.testing.assert_array_equal(made.weights, -WEIGHTS)
        made = jax.jit(lambda w: Connectome([[0, w], [w, 0]]))(2)
        np.testing.assert_array_equal(made.weights, [[0, 2], [2, 0]])
        with pytest.raises(ValueError, match="square"):
            jax.jit(lambda w: Connectome(w))(WEIGHTS[:2])
        with pytest.raises(ValueError, match=r"lengths: entry \[0, 1\]"):
            jax.jit(lambda w: Connectome(w, -LENGTHS))(WEIGHTS)

    def test_same_labels_do_not_retrace(self, full):
        count = 0

        @eqx.filter_jit
        def f(c):
            nonlocal count
            count += 1
            return c.weights.sum()

        f(full)
        f(Connectome(2 * WEIGHTS, LENGTHS, list(LABELS), CENTRES))
        assert count == 1

    def test_repr(self, full):
        text = repr(full)
        assert text == (
            "Connectome(3 regions, density 0.833, weights 0.5 to 4, directed, lengths 20 to 40 mm, centres)"
        )
        assert "symmetric" in repr(Connectome(WEIGHTS + WEIGHTS.T)) and "mm" not in repr(Connectome(WEIGHTS))
        assert "all zero" in repr(Connectome([[0.0]]))
        for odd in (jax.tree.map(lambda _: True, full), jax.tree.map(lambda x: jnp.stack([x, x]), full)):
            assert repr(odd).startswith("Connectome(")
        seen = []
        jax.jit(lambda c: seen.extend([repr(c), repr(full)]))(full)
        assert seen[0].startswith("Connectome(") and seen[1] == text


def test_density_leaves_out_the_diagonal():
    assert Connectome(WEIGHTS).density == pytest.approx(5 / 6)
    assert Connectome(np.eye(3)).density == 0
    assert Connectome([[1.0]]).density == 0


NORMALISED = {
    "max": lambda w: w / w.max(),
    "region": lambda w: w / w.sum(1, keepdims=True),
    "spectral": lambda w: w / np.abs(np.linalg.eigvals(w)).max(),
}


class TestNormalised:
    @pytest.mark.parametrize("how", NORMALISED)
    def test_against_numpy(self, how, full):
        scaled = full.normalised(how)
        np.testing.assert_allclose(scaled.weights, NORMALISED[how](WEIGHTS), rtol=1e-6)
        assert scaled.weights.dtype == full.weights.dtype
        assert same(eqx.tree_at(lambda c: c.weights, scaled, full.weights), full)
        np.testing.assert_allclose(jax.jit(lambda c: c.normalised(how).weights)(full), scaled.weights, rtol=1e-6)
        np.testing.assert_allclose(scaled.normalised(how).weights, scaled.weights, rtol=1e-6)

    @pytest.mark.slow("float32")
    @pytest.mark.parametrize("how", NORMALISED)
    @pytest.mark.slow("float64")
    def test_gradient(self, how, full):
        def f(w):
            return jnp.sum(jnp.sin(eqx.tree_at(lambda c: c.weights, full, jnp.asarray(w)).normalised(how).weights))

        w = jnp.asarray(WEIGHTS + np.arange(9).reshape(3, 3) / 7)
        tolerance = 1e-6 if w.dtype == jnp.float64 else 2e-2
        check_grads(f, (w,), order=1, atol=tolerance, rtol=tolerance)

    @pytest.mark.slow
    @given(arrays(np.float64, (6, 6), elements=st.floats(0.01, 1)), st.permutations(range(6)))
    @settings(deadline=None, max_examples=25)
    def test_order_of_regions_does_not_matter(self, w, order):
        c = Connectome(w)
        for how in NORMALISED:
            one = c.subset(order).normalised(how)
            two = c.normalised(how).subset(order)
            assert one.labels == two.labels
            np.testing.assert_allclose(one.weights, two.weights, rtol=1e-4)

    def test_impossible(self):
        silent = Connectome([[0, 0, 0], [1, 0, 1], [0, 0, 0]], labels=LABELS)
        with pytest.raises(ValueError, match=r"by region: 2 receive nothing.*: 'V1', 'MT'; leave them out with subset"):
            silent.normalised("region")
        with pytest.raises(ValueError, match=r"by max: all weights are zero"):
            Connectome(np.zeros((2, 2))).normalised("max")
        with pytest.raises(ValueError, match=r"by spectral: there is no loop"):
            Connectome(np.triu(np.ones((20, 20)), 1)).normalised("spectral")
        with pytest.raises(ValueError, match="how is 'max', 'region' or 'spectral', got 'sum'"):
            silent.normalised("sum")
        # inside jit nothing can be raised, but the trouble must be seen
        assert jnp.isnan(jax.jit(lambda c: c.normalised("region").weights)(silent)[0]).all()

    def test_gradient_of_the_spectral_radius_of_a_loop(self):
        # eigenvalues 2 and -2, and a chain into the loop without an eigenvector of its own
        w = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2.0], [0, 0, 2.0, 0]])
        expected = np.outer([0, 0, 1, 1], [0.25, 0.5, 1, 1]) / 2
        np.testing.assert_allclose(jax.grad(spectral_radius)(jnp.asarray(w)), expected, atol=1e-6)
        step = 1e-6 * np.eye(16).reshape(16, 4, 4)
        moved = np.abs(np.linalg.eigvals(w + step)).max(1) - 2  # the weights can only grow from zero
        np.testing.assert_allclose(moved.reshape(4, 4) / 1e-6, expected, atol=1e-3)


class TestSubset:
    @pytest.mark.parametrize(
        ("regions", "index"),
        [
            (["MT", "V1"], [2, 0]),
            (("V2",), [1]),
            (np.array(["MT", "V2"]), [2, 1]),
            (pd.Index(["MT", "V2"]), [2, 1]),
            ([2, 0], [2, 0]),
            (range(2), [0, 1]),
            (np.array([-1, 0]), [2, 0]),
            (jnp.array([1, 0]), [1, 0]),
            ([True, False, True], [0, 2]),
            (np.array([False, True, True]), [1, 2]),
            (jnp.array([False, True, True]), [1, 2]),
        ],
    )
    def test_against_numpy(self, regions, index, full):
        part = full.subset(regions)
        assert part.labels == tuple(LABELS[i] for i in index)
        np.testing.assert_array_equal(part.weights, WEIGHTS[np.ix_(index, index)])
        np.testing.assert_array_equal(part.lengths, LENGTHS[np.ix_(index, index)])
        np.testing.assert_array_equal(part.centres, CENTRES[index])

    def test_under_jit_and_without_extras(self, full):
        np.testing.assert_array_equal(jax.jit(lambda c: c.subset(["V2"]).weights)(full), [[0]])
        part = Connectome(WEIGHTS).subset([0, 1])
        assert part.lengths is None and part.centres is None

    @pytest.mark.parametrize(
        ("regions", "error", "words"),
        [
            (["V1", "V22"], ValueError, "no region 'V22': did you mean 'V2'?"),
            (["mt"], ValueError, "no region 'mt': did you mean 'MT'?"),
            (["thalamus"], ValueError, "no region 'thalamus': choose from 'V1', 'V2', 'MT'"),
            ([0, 3], ValueError, "region 3 is out of range: the regions are 0 to 2"),
            ([-4], ValueError, "region -4 is out of range"),
            ([True, False], ValueError, "the mask has 2 entries, 1 of them true: expected 3"),
            ([False] * 3, ValueError, "0 of them true"),
            (["V1", "V1"], ValueError, "region 'V1' is asked for twice"),
            ([0, -3], ValueError, "region 'V1' is asked for twice"),
            ([], ValueError, "one region or more"),
            ([[0, 1]], ValueError, "flat list"),
            ("V1", TypeError, "write ['V1']"),
            (1, TypeError, "write [1]"),
            ([0.0, 1.0], TypeError, "labels, indices or a boolean mask, got float64"),
        ],
    )
    def test_refused(self, regions, error, words, full):
        with pytest.raises(error) as caught:
            full.subset(regions)
        assert words in str(caught.value)


class TestSaveAndLoad:
    @pytest.mark.slow
    @given(parts())
    @settings(deadline=None, max_examples=30)
    def test_round_trip(self, tmp_path_factory, given_parts):
        c = Connectome(**given_parts)
        folder = tmp_path_factory.mktemp("connectome")
        for path in (folder / "c.npz", folder / "tables"):
            c.save(path)
            assert same(Connectome.load(path), c)

    def test_every_kind_of_file(self, tmp_path, full):
        np.save(tmp_path / "weights.npy", WEIGHTS)
        np.savetxt(tmp_path / "lengths.txt", LENGTHS, header="written by numpy")
        pd.DataFrame(CENTRES, LABELS, list("xyz")).to_csv(tmp_path / "centres.csv")
        (tmp_path / "labels.txt").write_text("V1\nV2\nMT\n\n")
        (tmp_path / "notes.md").write_text("not ours")
        assert same(Connectome.load(tmp_path), full)

    def test_folder_of_the_virtual_brain(self, tmp_path, full):
        np.savetxt(tmp_path / "weights.txt", WEIGHTS)
        np.savetxt(tmp_path / "tract_lengths.txt", LENGTHS)
        rows = (f"{label} " + " ".join(map(str, row)) for label, row in zip(LABELS, CENTRES, strict=True))
        (tmp_path / "centres.txt").write_text("\n".join(rows))
        assert same(Connectome.load(tmp_path), full)

    def test_one_table_and_further_paths(self, tmp_path, full):
        Connectome(WEIGHTS, LENGTHS, LABELS, CENTRES).save(tmp_path)
        moved = (tmp_path / "weights.tsv").rename(tmp_path / "sub-01.tsv")
        assert same(Connectome.load(moved), Connectome(WEIGHTS))
        paths = {
            field: str(tmp_path / name)
            for field, name in (("lengths", "lengths.tsv"), ("labels", "labels.txt"), ("centres", "centres.tsv"))
        }
        assert same(Connectome.load(str(moved), **paths), full)

    def test_save_refuses_to_mix(self, tmp_path, full):
        full.save(tmp_path)
        full.save(tmp_path)  # the same files: written anew
        with pytest.raises(FileExistsError, match=r"centres\.tsv is there already"):
            Connectome(WEIGHTS, LENGTHS, LABELS).save(tmp_path)
        (tmp_path / "weights.csv").touch()
        with pytest.raises(FileExistsError, match=r"weights\.csv is there already"):
            full.save(tmp_path)
        with pytest.raises(ValueError, match=r"c\.csv: give an \.npz file, or a folder"):
            full.save(tmp_path / "c.csv")

    @pytest.mark.parametrize(
        ("files", "error", "words"),
        [
            ({"notes.txt": "x"}, FileNotFoundError, ["has no 'weights', only ['notes']"]),
            ({"weights.csv": "0", "weights.tsv": "0"}, ValueError, ["both weights.csv and weights.tsv"]),
            ({"weights.tsv": "0", "length.tsv": "0"}, ValueError, ["'length' but no 'lengths'", "rename"]),
            ({"weights.tsv": "0\t1\n-1\t0"}, ValueError, ["weights.tsv: entry [1, 0] (row 'region_1',", "is -1"]),
            ({"weights.tsv": "0\t1\n1\t0", "lengths.csv": "0"}, ValueError, ["lengths.csv has shape (1, 1)", "(2, 2)"]),
            ({"weights.tsv": "0", "labels.txt": "A\nB"}, ValueError, ["labels.txt: 2 labels", "weights.tsv has 1"]),
            (
                {"weights.csv": ",A,B\nA,0,1\nB,1,0", "labels.txt": "A\nC"},
                ValueError,
                ["region 1 is 'C' in labels in", "labels.txt, but 'B' in weights in", "weights.csv"],
            ),
            (
                {"weights.tsv": "0\t1\n1\t0", "centres.tsv": "1 2 3\n4 5 6\n7 8 9"},
                ValueError,
                ["centres.tsv has shape"],
            ),
        ],
    )
    def test_folder_refused(self, tmp_path, files, error, words):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        with pytest.raises(error) as caught:
            Connectome.load(tmp_path)
        for word in [*words, str(tmp_path)]:
            assert word in str(caught.value)

    def test_npz_refused(self, tmp_path):
        def saved(**arrays: Any):
            np.savez(tmp_path / "c.npz", **arrays)
            return tmp_path / "c.npz"

        with pytest.raises(FileNotFoundError, match=r"c\.npz has no 'weights', only \['fc'\]"):
            Connectome.load(saved(fc=WEIGHTS))
        with pytest.raises(ValueError, match=r"c\.npz has 'label' but no 'labels'"):
            Connectome.load(saved(weights=WEIGHTS, label=np.array(LABELS)))
        with pytest.raises(ValueError, match=r"lengths in .*c\.npz: entry \[0, 1\] .* is -20"):
            Connectome.load(saved(weights=WEIGHTS, lengths=-LENGTHS))
        with pytest.raises(ValueError, match=r"c\.npz.labels\.npy: cannot be read as \.npy: it holds Python objects"):
            Connectome.load(saved(weights=WEIGHTS, labels=np.array(LABELS, object)))
        (tmp_path / "c.npz").write_text("no zip")
        with pytest.raises(ValueError, match=r"c\.npz: cannot be read as \.npz"):
            Connectome.load(tmp_path / "c.npz")

    def test_given_twice(self, tmp_path, full):
        full.save(tmp_path / "c.npz")
        np.savetxt(tmp_path / "other.tsv", LENGTHS)
        with pytest.raises(ValueError, match=r"lengths are given twice: .*c\.npz .*other\.tsv"):
            Connectome.load(tmp_path / "c.npz", lengths=tmp_path / "other.tsv")


FC = np.array([[0.0, -0.5, 0.25], [-0.5, 0.0, 0.75], [0.25, 0.75, 0.0]])
FC_FRAME = pd.DataFrame(FC, LABELS, LABELS)
TABLES = {
    "csv, labels twice": ("fc.csv", FC_FRAME.to_csv(), LABELS),
    "csv, labels on top": ("fc.csv", FC_FRAME.to_csv(index=False), LABELS),
    "csv, labels at the side": ("fc.csv", FC_FRAME.to_csv(header=False), LABELS),
    "csv, plain": ("fc.csv", FC_FRAME.to_csv(index=False, header=False), None),
    "csv, counted by pandas": ("fc.csv", pd.DataFrame(FC).to_csv(), None),
    "csv, ids": ("fc.csv", pd.DataFrame(FC, [7, 12, 1003], [7, 12, 1003]).to_csv(), ("7", "12", "1003")),
    "csv, named corner": ("fc.csv", FC_FRAME.to_csv(index_label="region"), LABELS),
    "csv, semicolons": ("fc.csv", FC_FRAME.to_csv(sep=";"), LABELS),
    "csv, byte order mark": ("fc.csv", "\ufeff" + FC_FRAME.to_csv(index=False, header=False), None),
    "csv, quoted": (
        "fc.csv",
        FC_FRAME.rename(index={"V1": "V,1"}, columns={"V1": "V,1"}).to_csv(),
        ("V,1", "V2", "MT"),
    ),
    "csv, some labels like numbers": (
        "fc.csv",
        "1,V2,MT\n" + FC_FRAME.to_csv(index=False, header=False),
        ("1", "V2", "MT"),
    ),
    "tsv": ("fc.tsv", FC_FRAME.to_csv(sep="\t"), LABELS),
    "tsv, mark at the end": ("fc.tsv", "0\t-0.5\t0.25\t\n-0.5\t0\t0.75\t\n0.25\t0.75\t0\t\n", None),
    "tsv, from R": ("fc.tsv", "V1\tV2\tMT\nV1\t0\t-0.5\t0.25\nV2\t-0.5\t0\t0.75\nMT\t0.25\t0.75\t0\n", LABELS),
    "txt, blanks": ("fc.txt", "  0 -0.5   0.25\n-0.5 0 0.75\n\n 0.25 7.5e-1 0\n\n", None),
    "txt, comment on top": ("fc.txt", "# command: tck2connectome\n0 -0.5 0.25\n-0.5 0 0.75\n0.25 0.75 0", None),
    "one region": ("fc.csv", ",V1\nV1,0.5\n", ("V1",)),
    "one region, label on top": ("fc.csv", "V1\n0.5\n", ("V1",)),
}


@pytest.mark.parametrize("name", TABLES)
def test_read_matrix(name, tmp_path):
    file, text, labels = TABLES[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / file)
    found = getattr(matrix, "labels", None)
    assert found == labels and matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, FC if len(matrix) == 3 else [[0.5]])


def test_read_matrix_npy(tmp_path):
    np.save(tmp_path / "fc.npy", FC.astype(np.float32))
    matrix = read_matrix(str(tmp_path / "fc.npy"))
    np.testing.assert_array_equal(matrix, FC)
    assert matrix.dtype == np.float64 and isinstance(matrix, np.ndarray)


@pytest.mark.filterwarnings("ignore:matrix in .* has values in its")
@given(st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=30)
def test_read_matrix_undoes_pandas(tmp_path_factory, n, data):
    names = st.text("aäZ9.,;'\"# -", min_size=1).map(lambda s: f"L.{s}x")  # no numbers, and no blanks around
    labels = data.draw(st.lists(names, min_size=n, max_size=n, unique=True))
    matrix = data.draw(arrays(np.float64, (n, n), elements=st.floats(-1e9, 1e9)))
    file = tmp_path_factory.mktemp("fc") / "fc.tsv"
    pd.DataFrame(matrix, labels, labels).to_csv(file, sep="\t")
    found = read_matrix(file)
    assert found.names == (tuple(labels),) * 2
    np.testing.assert_array_equal(found, matrix)


@pytest.mark.parametrize(
    ("file", "content", "error", "words"),
    [
        ("fc.csv", ",V1,V2\nV1,0,1\nV2,,0\n", ValueError, ["fc.csv: entry [1, 0] (row 'V2', column 'V1') is nan"]),
        ("fc.csv", "0,1\nNA,0\n", ValueError, ["fc.csv: entry [1, 0] is nan", "every pair"]),
        ("fc.tsv", "\t5\t1\n5\t0\t3\n1\t3\t0", ValueError, ["entry [0, 0] is nan"]),
        ("fc.tsv", "0\t1\ninf\t0", ValueError, ["entry [1, 0] is inf"]),
        ("fc.csv", ",V1,V2\n\nV1,0,1\nV2,x1,0\n", TypeError, ["entry [1, 0] (line 4 of the file) is 'x1'", "number"]),
        ("fc.csv", "0,x,1\n1,0,1\n1,1,0\n", TypeError, ["entry [0, 1] (line 1 of the file) is 'x'"]),
        ("fc.csv", "0;0,5\n0,5;0\n", TypeError, ["is '0,5'", "write decimals with a point"]),
        ("fc.csv", "0,1\n1,0\n1,1\n", ValueError, ["fc.csv has shape (3, 2), expected a square", "look like numbers"]),
        ("fc.csv", "0,1,2\n1,0\n", ValueError, ["line 2 has 2 entries, line 1 has 3"]),
        ("fc.csv", "V1,V2\n", ValueError, ["fc.csv has shape (0, 2)"]),
        ("fc.csv", "\n\n", ValueError, ["fc.csv: the file is empty"]),
        ("fc.csv", ",V1,V2\nV1,0,1\nV3,1,0\n", ValueError, ["'V2'", "'V3'", "rows of matrix", "columns of matrix"]),
        ("fc.csv", ",V1,V1\nV1,0,1\nV1,1,0\n", ValueError, ["'V1' is both label 0 and label 1"]),
        ("fc.csv", b"\xff\xfe0\x00", ValueError, ["fc.csv: not text in UTF-8"]),
        ("fc.xls", "0", ValueError, ["cannot read '.xls'", ".tsv, .csv, .txt or .npy"]),
        ("fc.npy", "0", ValueError, ["fc.npy: cannot be read as .npy"]),
    ],
)
def test_read_matrix_refuses(file, content, error, words, tmp_path):
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error) as caught:
        read_matrix(tmp_path / file)
    for word in [*words, str(tmp_path / file)]:
        assert word in str(caught.value)


def test_missing_files(tmp_path):
    (tmp_path / "weights.tsv").write_text("0")
    with pytest.raises(FileNotFoundError, match=r"there is no .*wieghts\.tsv: did you mean 'weights\.tsv'"):
        read_matrix(tmp_path / "wieghts.tsv")
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        Connectome.load(tmp_path / "nowhere" / "weights.tsv")
    with pytest.raises(ValueError, match="a folder"):
        read_matrix(tmp_path)


class TestPlot:
    @pytest.mark.slow
    def test_smoke(self, full):
        import matplotlib.pyplot as plt

        ax = full.plot()
        assert [tick.get_text() for tick in ax.get_yticklabels()] == list(LABELS)
        assert ax.get_xlabel() == "source" and ax.get_ylabel() == "target"
        np.testing.assert_array_equal(ax.images[0].get_array(), WEIGHTS)
        ax.figure.canvas.draw()
        own = plt.figure().subplots()
        assert full.plot(own, what="lengths") is own
        np.testing.assert_array_equal(own.images[0].get_array(), LENGTHS)
        for c in (Connectome(np.zeros((2, 2))), Connectome(np.ones((150, 150)))):
            c.plot(log=True).figure.canvas.draw()
        plt.close("all")

    def test_refused(self, full):
        with pytest.raises(ValueError, match="what='centres'"):
            full.plot(what="centres")
        with pytest.raises(ValueError, match="no lengths to plot"):
            Connectome(WEIGHTS).plot(what="lengths")
