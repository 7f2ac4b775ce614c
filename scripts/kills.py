"""Kills `gyrax fit`, `gx.fit(checkpoint=)`, `gx.tune(checkpoint=)` and `gx.sweep(store=)`, alone and with workers, at random moments, until each is done.

What comes out must be what comes out undisturbed, to the bit, and every file must be whole: `nox -s kills`, minutes.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PREPARE = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np, optax
import gyrax as gx

out = Path(sys.argv[1])
connectome = gx.Connectome(np.ones((4, 4)) - np.eye(4), labels=list("ABCD"))
"""
FIT = f"""{PREPARE}
net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), connectome, noise=gx.noise.White(sigma=0.01))
monitor = gx.monitors.TemporalAverage(source="S", period=50.0)

def loss(net, key):
    run = gx.simulate(net, 4000.0, 5.0, monitors={{"s": monitor}}, key=key)
    return jnp.mean((gx.features.fc(run["s"].values[:, 0]) - 0.3) ** 2)

spec = gx.select(gx.per_region(net, "model.w"), "model.w")
result = gx.fit(gx.per_region(net, "model.w"), loss, spec, optax.adam(0.01), steps=1500, key=jax.random.key(1),
                checkpoint=out / "fit.npz", progress=False)
np.savez(out / "end.npz", w=result.model.model.w, last=result.last.model.w, **result.history)
"""
TUNE = f"""{PREPARE}
lre = gx.couplings.Linear(source="S_e", target="c_lre", weights=connectome.weights, strength=0.1)
net = gx.Network(gx.models.WongWangExcInh(), {{"lre": lre}}, connectome, noise=gx.noise.White(sigma=0.01))
result = gx.tune(gx.per_region(net, "model.J_i"), [gx.FIC(rate=0.1)], steps=1000, period=720.0, dt=4.0,
                 key=jax.random.key(1), checkpoint=out / "tune.npz", progress=False)
np.savez(out / "end.npz", J_i=result.network.model.J_i, y=result.final.y, **result.history)
"""
STUDY = f"""{PREPARE}
from gyrax.cli import main
connectome.save(out / "brain")
np.savetxt(out / "fc.tsv", np.corrcoef(np.random.default_rng(0).normal(size=(4, 9))), delimiter="\\t")
begun = (out / "study" / "config.yaml").exists()
given = ["--connectome", str(out / "brain"), "--fit", str(out / "fc.tsv"), "--smoke", "--steps", "3"]
main(["fit", "--out", str(out / "study"), *(["--resume"] if begun else given)])
"""
SWEEP = f"""{PREPARE}
net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), connectome, noise=gx.noise.White(sigma=0.01))

def found(net, key):
    run = gx.simulate(net, 400000.0, 5.0, monitors=gx.monitors.TemporalAverage(source="S", period=50.0), key=key)
    return {{"mean": run["monitor"].values.mean(), "fc": gx.features.fc(run["monitor"].values[:, 0])}}

def sweep(client=None):
    space = {{"model.w": np.linspace(0.4, 1.0, 40), "seed": gx.scale.Seeds(8)}}
    swept = gx.sweep(net, found, space, key=1, batch=4, store=out / "study.zarr", client=client)
    np.savez(out / "end.npz", **{{name: values.values for name, values in swept.data_vars.items()}})
"""
#: Workers are killed from within, at random moments too; the driver and all that is left of them from outside.
WORKERS = f"""{SWEEP}
import multiprocessing, os, random, signal, threading, time
from distributed import Client, LocalCluster

def kill():
    while True:
        time.sleep(random.uniform(5.0, 25.0))  # a worker takes seconds to come back
        workers = multiprocessing.active_children()
        if workers:
            os.kill(random.choice(workers).pid, signal.SIGKILL)
            with open(out / "killed", "a") as file:
                file.write("x")

with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, preload=["gyrax.scale.workers"]) as cluster:
    with Client(cluster) as client:
        client.wait_for_workers(2)
        threading.Thread(target=kill, daemon=True).start()
        sweep(client)
        os.kill(os.getpid(), signal.SIGUSR1)  # done: what closes while workers are killed may wait for them for long
"""
WHAT = {
    "fit": (FIT, "end.npz"),
    "tune": (TUNE, "end.npz"),
    "study": (STUDY, "study/model.npz"),
    "sweep": (SWEEP + "sweep()", "end.npz"),
    "workers": (WORKERS, "end.npz"),
}


def run(code: str, folder: Path, seconds: float | None) -> bool:
    """Whether it came to its end, before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode not in (0, -signal.SIGUSR1):
        sys.exit(f"it did not go on: {told.decode()}")
    return True


def check_whole(folder: Path) -> None:
    """Every file is whole, or says by its name that it is not."""
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".npz":
            with np.load(path) as file:
                assert all(file[name] is not None for name in file)
        if path.suffix == ".yaml":
            assert path.read_text().endswith("\n"), f"{path} is cut off"


def same(one: Path, other: Path) -> bool:
    with np.load(one) as a, np.load(other) as b:
        pairs = [(np.asarray(a[name]), np.asarray(b[name])) for name in a]  # members that are no arrays are bytes
        return set(a) == set(b) and all(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc") for x, y in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each")
    parser.add_argument("--only", choices=WHAT)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    for name in [asked.only] if asked.only else WHAT:
        code, end = WHAT[name]
        with tempfile.TemporaryDirectory() as whole:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(whole, "compiled"))  # else most kills meet the compiler
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            run(code, Path(whole), None)
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as again:  # how long one takes that has nothing to compile
                run(code, Path(again), None)
            most, kills, ends = time.perf_counter() - began, 0, 0
            while kills < asked.kills:
                with tempfile.TemporaryDirectory() as cut:
                    kills += killed_until_done(code, Path(cut), most, rng, asked.kills - kills)
                    ends += 1
                    assert same(Path(whole, end), Path(cut, end)), f"{name} ends otherwise after {kills} kills"
            print(f"{name}: {ends} times the same, after {kills} kills", flush=True)


def killed_until_done(code: str, folder: Path, most: float, rng: random.Random, limit: int) -> int:
    """How often one was killed, at most so often, before it came to its end."""
    kills = 0
    while kills < limit and not run(code, folder, most * rng.uniform(0.3, 1.0)):
        kills += 1
        check_whole(folder)
    run(code, folder, None)
    left = [str(path) for path in folder.rglob("*") if path.suffix in (".partial", ".lock")]
    assert not left, f"left behind: {left}"
    if (workers := folder / "killed").exists():
        print(f"  {kills} kills, and {len(workers.read_text())} of workers", flush=True)
    return kills


if __name__ == "__main__":
    main()
