"""Parameters along maps and by groups: what they are made of, and that a fit moves nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx

LABELS = ["L.V1", "L.M1", "L.A1", "R.V1", "R.M1", "R.A1"]
N = len(LABELS)
MAPS = np.random.default_rng(3).normal(size=(2, N))


@pytest.fixture(scope="module")
def net():
    connectome = gx.Connectome(np.ones((N, N)) - np.eye(N), labels=LABELS)
    return gx.Network(gx.models.WongWang(w=0.7), gx.couplings.Linear(source="S", strength=0.05), connectome)


def scored(x):
    return (x - x.mean()) / x.std()


def test_a_parameter_along_maps_is_its_base_and_coefficients_on_the_real_line(net):
    along = gx.by_maps(net, "model.w", {"myelin": MAPS[0], "gradient": MAPS[1]})
    free, fixed = gx.split(net, gx.select(net, along))
    domain = gx.Interval(0.0, 2.0).scaled_to(0.6)
    base = float(domain.to_real(jnp.asarray(0.7)))
    np.testing.assert_allclose(free.model.w, [base, 0.0, 0.0], atol=1e-6)
    moved = jax.tree.map(lambda x: x + jnp.array([0.1, 0.2, -0.3]), free)
    w = gx.join(moved, fixed).model.w
    expected = domain.from_real(jnp.asarray(base + 0.1 + 0.2 * scored(MAPS[0]) - 0.3 * scored(MAPS[1])))
    np.testing.assert_allclose(w, expected, rtol=1e-5)
    told = along.coefficients(gx.join(moved, fixed))
    assert list(told.index) == ["base", "myelin", "gradient"]
    np.testing.assert_allclose(told[1:], [0.2, -0.3], atol=1e-5)
    np.testing.assert_allclose(told["base"], domain.from_real(jnp.asarray(base + 0.1)), rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "maps",
    [
        pd.DataFrame(MAPS.T, index=LABELS, columns=["a", "b"]).iloc[::-1],
        {"a": pd.Series(MAPS[0], LABELS)[::-1], "b": gx.LabelledArray(MAPS[1], [LABELS]).for_regions(LABELS[::-1])},
        {"a": xr.DataArray(MAPS[0], dims="region", coords={"region": LABELS})[::-1], "b": MAPS[1]},
        MAPS,
        MAPS.tolist(),
    ],
    ids=["table", "series and labelled", "xarray", "array", "lists"],
)
def test_maps_are_put_in_the_order_of_the_network(net, maps):
    found = gx.by_maps(net, lambda n: n.model.w, maps)
    np.testing.assert_allclose(found.basis, np.stack([np.ones(N), scored(MAPS[0]), scored(MAPS[1])], 1), atol=1e-12)


def test_groups_share_a_value(net):
    by = gx.by_groups(net, "model.w", ["v", "m", "a", "v", "m", "a"])
    regional = gx.per_region(net, "model.w")
    w = jnp.asarray([0.5, 0.6, 0.7] * 2)
    start = gx.Network(gx.models.WongWang(w=w), net.coupling, net.connectome)
    free, fixed = gx.split(start, gx.select(start, by))
    assert free.model.w.shape == (3,)
    np.testing.assert_allclose(gx.join(free, fixed).model.w, w, rtol=1e-6)
    assert by.coefficients(start).round(6).to_dict() == {"v": 0.5, "m": 0.6, "a": 0.7}
    mirrored = gx.by_groups(net, "model.w", "mirrored")
    np.testing.assert_array_equal(mirrored.basis, np.tile(np.eye(3), (2, 1)))
    with pytest.raises(ValueError, match=r"model.w differs between regions as .* does not, most at number"):
        gx.split(start, gx.select(start, gx.by_groups(start, "model.w", list("xxyyzz"))))
    assert gx.split(regional, gx.select(regional, by))[0].model.w.shape == (3,)


@pytest.mark.once
@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (["7Networks_LH_Vis_1", "7Networks_RH_Vis_1", "stem"], [(0, 1), (2,)]),
        (["lh-a", "rh-a", "lh-b", "rh-b"], [(0, 1), (2, 3)]),
        (["A_L", "B_L", "B_R", "A_R"], [(0, 3), (1, 2)]),
        (["Left V1", "Right V1"], [(0, 1)]),
    ],
)
def test_hemispheres_are_told_by_the_names(labels, pairs):
    n = len(labels)
    net = gx.Network(
        gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.Connectome(np.ones((n, n)), labels=labels)
    )
    basis = gx.by_groups(net, "model.w", "mirrored").basis
    assert sorted(tuple(np.flatnonzero(column).tolist()) for column in basis.T) == pairs


def test_a_fit_along_maps_finds_what_was_put_in(net):
    truth = np.array([0.3, -0.2])
    domain = gx.Interval(0.0, 2.0).scaled_to(0.6)
    goal = domain.from_real(jnp.asarray(domain.to_real(jnp.asarray(0.6)) + truth @ np.array([scored(m) for m in MAPS])))
    along = gx.by_maps(net, "model.w", MAPS)
    spec = gx.select(net, along)
    result = gx.fit(
        net, lambda n, key: jnp.mean((n.model.w - goal) ** 2), spec, optax.adam(0.05), steps=300, progress=False
    )
    np.testing.assert_allclose(along.coefficients(result.model)[["map_0", "map_1"]], truth, atol=0.01)
    assert result.model.model.w.shape == (N,) and float(result.model.coupling.strength) == float(net.coupling.strength)


def test_a_gradient_along_maps_is_that_of_a_simulation(net):
    along = gx.by_maps(net, "model.w", MAPS)
    free, fixed = gx.split(net, gx.select(net, along))

    def loss(free):
        run = gx.simulate(gx.join(free, fixed), 20.0, 1.0)
        return jnp.sum(run["raw"].values[-1] * jnp.arange(1.0, N + 1))

    slope = jax.grad(loss)(free).model.w
    h = 1e-2 if slope.dtype == jnp.float32 else 1e-5
    for i in range(3):
        up, down = (loss(jax.tree.map(lambda x, s=s, i=i: x.at[i].add(s * h), free)) for s in (1, -1))
        np.testing.assert_allclose(slope[i], (up - down) / (2 * h), rtol=2e-2 if h > 1e-4 else 1e-6, atol=1e-3 * h)


@pytest.mark.once
@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_whatever_the_coefficients_the_parameter_stays_in_its_domain(numbers):
    connectome = gx.Connectome(np.ones((N, N)) - np.eye(N), labels=LABELS)
    net = gx.Network(gx.models.WongWang(w=0.7), gx.couplings.Linear(source="S"), connectome)
    free, fixed = gx.split(net, gx.select(net, gx.by_maps(net, "model.w", MAPS)))
    w = gx.join(jax.tree.map(lambda x: jnp.asarray(10 * np.array(numbers), x.dtype), free), fixed).model.w
    assert bool(((w > 0) & (w < 2)).all())


@pytest.mark.once
@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        (MAPS.T, ValueError, "expected .map, region. with 6 regions: transpose it, maps.T"),
        (MAPS[:, :4], ValueError, r"the map 'map_0' has shape \(4,\), expected one value for each of 6 regions"),
        ({"flat": np.ones(N)}, ValueError, "the map 'flat' is 1 in every region"),
        ({"gap": [1, 2, np.nan, 4, 5, 6]}, ValueError, r"'gap' is not finite in 1 regions: L\.A1"),
        ({"a": MAPS[0], "b": 2 * MAPS[0] + 1}, ValueError, "are not independent"),
        ({"a": np.ma.array(MAPS[0], mask=MAPS[0] > 0)}, ValueError, "entries are masked"),
        (pd.DataFrame(MAPS[:, 1:].T, index=LABELS[1:]), ValueError, r"has no value of 1 regions: L\.V1"),
        (pd.DataFrame(MAPS.T, index=[*LABELS[:-1], "L.V1"]), ValueError, "has region 'L.V1' twice"),
        ({"words": ["x"] * N}, TypeError, "expected numbers"),
        ({}, ValueError, "maps= holds no map"),
        ("maps.csv", TypeError, "maps"),
    ],
)
def test_maps_that_cannot_be_are_one_sentence(net, maps, error, message):
    with pytest.raises(error, match=message):
        gx.by_maps(net, "model.w", maps)


@pytest.mark.once
@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (["a"] * 5, ValueError, "expected one value for each of 6 regions"),
        (["a", None, "b", "b", "b", "b"], ValueError, r"region L\.M1 is in no group"),
        (["a", "", "b", "b", "b", "b"], ValueError, r"region L\.M1 is in no group"),
        ("hemispheres", TypeError, "or 'mirrored'; got 'hemispheres'"),
        (3, TypeError, "the name of each region's group"),
    ],
)
def test_groups_that_cannot_be_are_one_sentence(net, groups, error, message):
    with pytest.raises(error, match=message):
        gx.by_groups(net, "model.w", groups)


@pytest.mark.once
def test_names_of_regions_are_never_lost(net):
    """Whatever carries them: reviewers found seven forms in which they were."""
    series = [pd.Series(MAPS[i][::-1], LABELS[::-1], name=name) for i, name in enumerate(("myelin", "size"))]
    both = xr.DataArray(MAPS, dims=("map", "region"), coords={"region": LABELS})[:, ::-1]
    expected = gx.by_maps(net, "model.w", MAPS).basis
    for maps in (series, both, [gx.LabelledArray(row, [LABELS]).for_regions(LABELS[::-1]) for row in MAPS]):
        np.testing.assert_allclose(gx.by_maps(net, "model.w", maps).basis, expected)
    assert gx.by_maps(net, "model.w", series).parts == ("base", "myelin", "size")
    one = xr.DataArray(MAPS[0], dims="region", coords={"region": list("UVWXYZ")})
    with pytest.raises(ValueError, match="has no value of 6 regions"):
        gx.by_maps(net, "model.w", one)
    with pytest.raises(ValueError, match=r"calls its regions 5, 0, \.\.\.: expected their names, as text"):
        gx.by_maps(net, "model.w", pd.Series(MAPS[0], index=range(N)[::-1]))
    with pytest.raises(ValueError, match=r"calls its regions 5, 0, \.\.\."):
        gx.by_groups(net, "model.w", pd.Series(list("aabbcc"), index=range(N)[::-1]))
    for maps in ({"base": MAPS[0]}, pd.DataFrame(MAPS.T, columns=[1, "1"])):
        with pytest.raises(ValueError, match="maps have a name of their own each"):
            gx.by_maps(net, "model.w", maps)
    with pytest.raises(TypeError, match="complex"):
        gx.by_maps(net, "model.w", MAPS + 1j)
    with pytest.raises(ValueError, match=r"region L\.M1 is in no group"):
        gx.by_groups(net, "model.w", ["a", np.nan, "b", "b", "b", "b"])


@pytest.mark.once
def test_names_without_hemispheres_are_refused(net):
    other = gx.Network(net.model, net.coupling, gx.Connectome(np.ones((3, 3)), labels=["V1", "M1", "A1"]))
    with pytest.raises(ValueError, match="the names tell no hemisphere"):
        gx.by_groups(other, "model.w", "mirrored")
    same = gx.Network(net.model, net.coupling, gx.Connectome(np.ones((3, 3)), labels=["L.V1", "L-V1", "R.V1"]))
    assert len(gx.by_groups(same, "model.w", "mirrored").parts) == 2


@pytest.mark.once
def test_a_basis_and_a_mask_exclude_each_other(net):
    with pytest.raises(ValueError, match="leave basis= or mask= out"):
        gx.Free("model.w", mask=np.ones(N, bool), basis=np.ones((N, 1)))
    with pytest.raises(ValueError, match=r"has no basis"):
        gx.Free("model.w").coefficients(net)


@pytest.mark.once
def test_a_checkpoint_knows_the_maps(net, tmp_path):
    def go(maps):
        spec = gx.select(net, gx.by_maps(net, "model.w", maps))
        loss = lambda n, key: jnp.mean((n.model.w - 0.5) ** 2)  # noqa: E731
        return gx.fit(net, loss, spec, optax.adam(0.01), steps=2, progress=False, checkpoint=tmp_path / "fit.npz")

    go(MAPS)
    with pytest.raises(ValueError, match=r"what model\.w is made of differs"):
        go(MAPS[::-1])
