"""Sweeps on disk: what is kept, what is refused, and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import gyrax as gx
from gyrax.scale import computing, stores, sweeping

MODEL = gx.models.WongWang()
SPACE = {"w": np.linspace(0.1, 1.0, 7), "I_o": [0.1, 0.2, 0.3]}


def noisy(model, key):
    return {"v": model.w * model.I_o + jax.random.normal(key), "series": model.w * jnp.arange(3.0)}


def kept(folder: Path, space=SPACE, function=noisy, model=MODEL, **options):
    return gx.sweep(model, function, space, key=3, store=folder / "study.zarr", batch=5, **options)


def test_a_store_holds_what_a_sweep_in_memory_gives(tmp_path):
    plain, found = gx.sweep(MODEL, noisy, SPACE, key=3, batch=5), kept(tmp_path)
    assert set(found.data_vars) == {"v", "series", "status"}
    assert found["v"].dims == ("w", "I_o") and found["series"].dims == ("w", "I_o", "series_0")
    for name in plain.data_vars:
        np.testing.assert_array_equal(found[name].values, plain[name].values)
        assert found[name].dtype == plain[name].dtype
    for name in plain.coords:
        np.testing.assert_array_equal(found[name].values, plain[name].values)
    assert (found["status"] == computing.FINE).all()
    assert gx.best(found, MODEL, 2, by="v")[0].w == gx.best(plain, MODEL, 2, by="v")[0].w


def test_names_of_regions_are_kept(tmp_path):
    net = gx.Network(MODEL, gx.couplings.Linear(source="S"), gx.Connectome(np.ones((2, 2)), labels=["V1", "V2"]))

    def features(net, key):
        return gx.LabelledArray(net.model.w * jnp.ones((3, 2)), (None, ("V1", "V2")))

    found = gx.sweep(net, features, {"model.w": [0.5, 1.0]}, store=tmp_path / "study.zarr")
    assert list(found["value_1"].values) == ["V1", "V2"]


@pytest.mark.parametrize("options", [{}, {"axis": True}], ids=["grid", "seeds"])
def test_a_sweep_goes_on_where_it_was(tmp_path, monkeypatch, options):
    space = SPACE | ({"seed": gx.scale.Seeds(2)} if options else {})
    whole = gx.sweep(MODEL, noisy, space, key=3, batch=5)
    written = stores.Store.write

    def stopping(self, block, found):
        if len([*self.path.glob("v/c/*/*")]) >= 2:
            raise KeyboardInterrupt
        written(self, block, found)

    with monkeypatch.context() as patch:
        patch.setattr(stores.Store, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            kept(tmp_path, space)
    before = gx.scale.status(tmp_path / "study.zarr")
    assert 0 < before.done < before.total == whole["v"].size
    counted = []
    monkeypatch.setattr(
        stores.Store,
        "write",
        lambda self, block, found: (counted.append(len(found.status)), written(self, block, found)),
    )
    found = kept(tmp_path, space)
    np.testing.assert_array_equal(found["v"].values, whole["v"].values)
    assert sum(counted) == before.total - before.done
    assert gx.scale.status(tmp_path / "study.zarr").done == before.total


def test_a_block_without_its_status_is_computed_again(tmp_path):
    whole = kept(tmp_path)["v"].values
    store = stores.Store(tmp_path / "study.zarr")
    store.group["v"][:2] = np.nan  # what a process that was killed between two files leaves
    store.group["status"][:2] = computing.TO_DO
    np.testing.assert_array_equal(kept(tmp_path)["v"].values, whole)


def other(model, key):
    return {"v": model.w * model.I_o + 2 * jax.random.normal(key), "series": model.w * jnp.arange(3.0)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"function": other}, "the function differs"),
        ({"model": gx.models.WongWang(J_N=0.3)}, "J_N differs: 0.2609 there, 0.3 here"),
        ({"space": SPACE | {"w": np.linspace(0.1, 1.1, 7)}}, "the values of w differs"),
        ({"space": {"w": SPACE["w"]}}, r"the axes differs: w \(7\), I_o \(3\) there, w \(7\) here"),
        ({"realisations": 2}, "realisations differs: 1 there, 2 here"),
        (
            {"model": gx.models.Hopf(), "space": {"a": [0.1]}, "function": lambda m, key: m.a},
            "the class of the model differs",
        ),
    ],
)
def test_another_sweep_is_refused_with_the_difference(tmp_path, changed, said):
    kept(tmp_path)
    with pytest.raises(ValueError, match=said):
        kept(tmp_path, **changed)


def test_another_version_is_refused(tmp_path, monkeypatch):
    kept(tmp_path)
    monkeypatch.setattr(
        sweeping, "surroundings", lambda: {"the precision": str(jnp.result_type(float)), "made with": "jax 0.1"}
    )
    with pytest.raises(ValueError, match=r"it was made with gyrax .*, and here are jax 0\.1"):
        kept(tmp_path)


def test_what_is_no_store_is_left_alone(tmp_path):
    (tmp_path / "study.zarr").mkdir()
    (tmp_path / "study.zarr" / "thesis.txt").write_text("words")
    with pytest.raises(ValueError, match=r"is no store of gx\.sweep"):
        kept(tmp_path)
    with pytest.raises(ValueError, match=r"is no store of gx\.sweep.* and no folder of gx\.scale\.fit_many"):
        gx.scale.status(tmp_path / "study.zarr")
    assert (tmp_path / "study.zarr" / "thesis.txt").read_text() == "words"


def test_points_that_are_not_finite_or_fail_stop_nothing(tmp_path):
    def fragile(model, key):
        w = eqx.error_if(model.w, model.w > 0.9, "w is too large")
        return {"v": jnp.where(w < 0.3, jnp.nan, w), "n": jnp.arange(2)}

    found = kept(tmp_path, {"w": np.linspace(0.1, 1.0, 7)}, fragile)
    w = found["w"].values
    expected = np.where(w > 0.9, computing.FAILED, np.where(w < 0.3, computing.NOT_FINITE, computing.FINE))
    np.testing.assert_array_equal(found["status"].values, expected)
    np.testing.assert_array_equal(np.isnan(found["v"].values), expected != computing.FINE)
    state = gx.scale.status(tmp_path / "study.zarr")
    assert (state.done, state.failed, state.not_finite) == (7, 1, 2)
    assert "point 6" in state.words[0] and "too large" in " ".join(state.words)
    assert "2 not finite" in repr(state) and "1 failed" in repr(state)


def test_memory_that_runs_out_makes_the_batch_smaller(tmp_path, monkeypatch):
    compute, sizes = computing.Job.compute, []

    def small(self, rows):
        sizes.append(self.size)
        if self.size > 2:
            raise MemoryError("Unable to allocate 9 GB")
        return compute(self, rows)

    monkeypatch.setattr(computing.Job, "compute", small)
    np.testing.assert_array_equal(kept(tmp_path)["v"].values, gx.sweep(MODEL, noisy, SPACE, key=3, batch=5)["v"].values)
    assert {5, 2} <= set(sizes)


def test_a_function_that_fails_everywhere_ends_the_sweep(tmp_path):
    with pytest.raises(TypeError, match="expected an array"):
        kept(tmp_path, function=lambda model, key: "what")


def test_how_far_fits_are(tmp_path):
    fits = gx.scale.fit_many(lambda w: {"loss": w}, {"a": 0.5, "b": 0.7}, out=tmp_path / "fits", progress=False)
    assert list(gx.scale.status(tmp_path / "fits")["loss"]) == list(fits.table["loss"]) == [0.5, 0.7]


def test_two_at_one_store(tmp_path):
    from gyrax._formats.locking import held

    with held(tmp_path / "study.zarr"), pytest.raises(BlockingIOError, match="is in use by process"):
        kept(tmp_path)


DRIVER = """
import sys, jax, jax.numpy as jnp, numpy as np, gyrax as gx
def function(model, key):
    x = jax.lax.fori_loop(0, 40_000, lambda i, x: jnp.sin(x + model.w), model.I_o + jax.random.normal(key, (300,)))
    return {"mean": x.mean(), "x": x}
space = {"w": np.linspace(0.1, 1.0, 16), "I_o": np.linspace(0.1, 0.3, 6)}
found = gx.sweep(gx.models.WongWang(), function, space, store=sys.argv[1] if len(sys.argv) > 1 else None, batch=4, key=1)
if len(sys.argv) == 1:
    found.to_netcdf("plain.nc")
"""


@pytest.mark.long  # `nox -s kills` kills twenty times
def test_killed_at_any_moment_it_ends_with_the_same_numbers(tmp_path):
    random = np.random.default_rng(0)
    settings = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    subprocess.run([sys.executable, "-c", DRIVER], cwd=tmp_path, env=settings, check=True)
    done, kills = [], 0
    for _ in range(30):
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, "study.zarr"], cwd=tmp_path, env=settings)
        while driver.poll() is None and not (tmp_path / "study.zarr").exists():
            time.sleep(0.05)
        try:
            driver.wait(random.uniform(0.0, 1.5) if kills < 3 else None)
            break
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            kills += 1
            done.append(gx.scale.status(tmp_path / "study.zarr").done)
    assert kills and done == sorted(done)
    plain, found = xr.open_dataset(tmp_path / "plain.nc"), stores.opened(tmp_path / "study.zarr")
    for name in ("mean", "x"):
        np.testing.assert_array_equal(found[name].values, plain[name].values)
    assert (found["status"] == computing.FINE).all()


def begun_otherwise(folder: Path, monkeypatch, space, function=lambda m, key: m.w + 10 * m.I_o):
    """A store of a sweep that was stopped after its first block."""
    written, calls = stores.Store.write, []

    def write(self, block, found):
        if calls:
            raise KeyboardInterrupt
        calls.append(0)
        written(self, block, found)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(stores.Store, "write", write)
        gx.sweep(MODEL, function, space, store=folder / "s.zarr", batch=1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"p": gx.scale.Together({"w": [0.1, 0.2]}), "q": gx.scale.Together({"I_o": [0.3, 0.4]})},
            {"p": gx.scale.Together({"I_o": [0.3, 0.4]}), "q": gx.scale.Together({"w": [0.1, 0.2]})},
        ),
        (
            {"x": gx.scale.Seeds(2), "y": gx.scale.Together({"w": [0.1, 0.2]})},
            {"x": gx.scale.Together({"w": [0.1, 0.2]}), "y": gx.scale.Seeds(2)},
        ),
    ],
)
def test_the_same_values_along_other_axes_are_another_sweep(one, other, tmp_path, monkeypatch):
    begun_otherwise(tmp_path, monkeypatch, one)
    with pytest.raises(ValueError, match="holds another sweep: the axes"):
        gx.sweep(MODEL, lambda m, key: m.w + 10 * m.I_o, other, store=tmp_path / "s.zarr", batch=1)


def test_other_names_of_subjects_are_another_sweep(tmp_path):
    def net(weight):
        return gx.Network(MODEL, gx.couplings.Linear(source="S"), [[0, weight], [weight, 0]])

    def swept(names):
        cohort = gx.Cohort(dict(zip(names, (net(1.0), net(2.0)), strict=True)))
        axis = {"subject": gx.scale.Subjects(cohort)}
        return gx.sweep(cohort[names[0]], lambda n, key: n.connectome.weights.sum(), axis, store=tmp_path / "s.zarr")

    assert swept(("A", "B"))["value"].sel(subject="A") == 2
    with pytest.raises(ValueError, match="the names along subject"):
        swept(("B", "A"))


def test_files_that_are_gone_are_computed_again_and_changed_ones_refused(tmp_path):
    whole = kept(tmp_path)["v"].values
    store = tmp_path / "study.zarr"
    for file in ("v/c/1/0", "series/c/2/0/0", "ended/c/0/0"):
        (store / file).unlink()
    np.testing.assert_array_equal(kept(tmp_path)["v"].values, whole)
    assert np.isfinite(kept(tmp_path)["series"].values).all()
    chunk = store / "v" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[-8] ^= 255  # within the numbers, or their checksum
    chunk.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|zstd|corrupt|restored data"):
        kept(tmp_path)["v"].values.sum()


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_store_whose_coordinates_are_not_its_own_is_refused(how, tmp_path):
    import shutil

    import zarr

    kept(tmp_path)
    store = tmp_path / "study.zarr"
    if how == "gone":
        shutil.rmtree(store / "w")
    else:
        zarr.open_group(str(store), mode="r+")["w"][2] = 0.5
    with pytest.raises(ValueError, match=r"study.zarr is damaged \(.*'w'.*put back what it was, or name another store"):
        kept(tmp_path)


def test_a_store_without_its_status_is_damaged(tmp_path):
    import shutil

    kept(tmp_path)
    shutil.rmtree(tmp_path / "study.zarr" / "status")
    for call in (lambda: kept(tmp_path), lambda: gx.scale.status(tmp_path / "study.zarr")):
        with pytest.raises(ValueError, match=r"study\.zarr is damaged"):
            call()


def test_what_was_left_half_made_is_in_nobodys_way(tmp_path):
    left = tmp_path / ".study.zarr.123.partial"
    (left / "v").mkdir(parents=True)
    (left / "zarr.json").write_text("{}")
    assert (kept(tmp_path)["status"] == computing.FINE).all() and not left.exists()


@pytest.mark.parametrize(
    ("space", "function", "message"),
    [
        (SPACE, lambda m, key: {"ended": m.w}, "'ended' is a name that a store cannot take"),
        (SPACE, lambda m, key: {"": m.w}, "'' is a name"),
        (SPACE, lambda m, key: {"a/b": m.w}, "'a/b' is a name"),
        (SPACE, lambda m, key: {}, "the function gives nothing"),
        ({"w": [0.5], "status": gx.scale.Seeds(2)}, lambda m, key: m.w, "'status' is a name"),
        ({"ended": gx.scale.Together({"w": [0.5]})}, lambda m, key: m.w, "'ended' is a name"),
    ],
)
def test_names_that_no_store_can_have(space, function, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        gx.sweep(MODEL, function, space, store=tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize("store", ["", ".", "link.zarr"])
def test_what_is_no_name_of_a_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="store= takes the name of a folder"):
        gx.sweep(MODEL, noisy, SPACE, store=store)
