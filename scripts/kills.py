"""Kills `gyrax fit`, `gx.fit(checkpoint=)` and `gx.tune(checkpoint=)` at random moments, again and again, until each is done.

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
WHAT = {"fit": (FIT, "end.npz"), "tune": (TUNE, "end.npz"), "study": (STUDY, "study/model.npz")}


def run(code: str, folder: Path, seconds: float | None) -> bool:
    """Whether it came to its end, before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
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
    parser.add_argument("--kills", type=int, default=20, help="of each at most")
    parser.add_argument("--only", choices=WHAT)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    for name in [asked.only] if asked.only else WHAT:
        code, end = WHAT[name]
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as cut:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(whole, "compiled"))  # else most kills meet the compiler
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            began = time.perf_counter()
            run(code, Path(whole), None)
            most, kills = time.perf_counter() - began, 0
            while kills < asked.kills and not run(code, Path(cut), most * rng.uniform(0.2, 1.0)):
                kills += 1
                check_whole(Path(cut))
            run(code, Path(cut), None)
            assert same(Path(whole, end), Path(cut, end)), f"{name} ends otherwise after {kills} kills"
            left = [str(path) for path in Path(cut).rglob("*") if path.suffix in (".partial", ".lock")]
            assert not left, f"left behind: {left}"
            print(f"{name}: the same after {kills} kills", flush=True)


if __name__ == "__main__":
    main()
