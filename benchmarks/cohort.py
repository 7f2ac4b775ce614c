"""Twenty simulated subjects: shared and own parameters found again by gradient, and partial pooling beside separate fits and complete pooling.

    python benchmarks/cohort.py [--smoke] [--out docs/studies]

Wong and Wang's model in 20 regions of dk84, each subject with weights, tract lengths and a w of its own, all with one G. `nox -s studies -- cohort` runs it,
some minutes. It writes cohort.md and cohort.json.
"""

import argparse
import datetime
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from table import cpu, table

import gyrax as gx

jax.config.update("jax_enable_x64", True)
ROOT = Path(__file__).resolve().parent.parent
W, G = "network.model.w", "network.coupling.strength"
#: Of the truth: shared coupling, mean w, and sd of w between subjects, on the real line of its domain (about 0.05 in w).
STRENGTH, MEAN, BETWEEN = 0.25, 0.38, 0.166
DOMAIN = gx.Positive(0.6)
SIGMA = 0.001
#: ms from one sample to the next, after which the activity of S has forgotten itself.
PERIOD = 1000.0


def connectomes(count, seed):
    """Subjects' own: weights times a log-normal of 0.3 a connection, lengths times one factor a subject, of 10 %."""
    rng = np.random.default_rng(seed)
    whole = gx.datasets.load("dk84").connectome
    base = gx.study.scaled(whole.subset(list(whole.labels[:20]))).connectome
    for _ in range(count):
        factor = np.exp(0.3 * rng.normal(size=base.weights.shape))
        weights = np.asarray(base.weights) * np.sqrt(factor * factor.T)
        yield gx.Connectome(weights, np.asarray(base.lengths) * np.exp(0.1 * rng.normal()), base.labels)


def networks(values, strength, seed, delay=None):
    """By the subject's name."""
    noise = gx.noise.White(sigma=SIGMA)
    return {
        f"sub-{i + 1:02d}": gx.Network(
            gx.models.WongWang(w=w), gx.couplings.Linear(source="S", strength=strength), connectome, delay, noise
        )
        for i, (w, connectome) in enumerate(zip(values, connectomes(len(values), seed), strict=True))
    }


def drawn(count, seed):
    """True w of each subject."""
    real = DOMAIN.to_real(jnp.asarray(MEAN)) + BETWEEN * np.random.default_rng(seed).normal(size=count)
    return np.asarray(DOMAIN.from_real(jnp.asarray(real)))


# Short recordings


def likelihood(network, recorded, key):
    """Minus the log-likelihood of samples that know nothing of each other, by the theory of linear noise, up to a constant; in nats."""
    covariance = gx.analysis.linear_noise(network).covariance("S").values
    root = jnp.linalg.cholesky(covariance)
    half = jax.scipy.linalg.solve_triangular(root, recorded["scatter"], lower=True)
    return (
        0.5
        * recorded["count"]
        * (2 * jnp.log(jnp.diag(root)).sum() + jnp.trace(jax.scipy.linalg.solve_triangular(root, half.T, lower=True)))
    )


def recordings(truth, samples, key):
    """S of each subject every second, `(subject, time, region)`, its first seconds left out."""
    cohort = gx.Cohort(truth)

    def recorded(network, data, key):
        run = gx.simulate(
            network,
            PERIOD * (samples + 5),
            1.0,
            key=key,
            monitors={"S": gx.monitors.Subsample(source="S", period=PERIOD)},
        )
        return run["S"].values[5:, 0]

    return np.asarray(jax.jit(lambda key: cohort.map(recorded, key))(key))


def scatters(series, names):
    """What the likelihood needs: the mean product of deviations from the mean, and the degrees of freedom."""
    return {
        name: {"scatter": np.cov(one.T), "count": float(len(one) - 1)} for name, one in zip(names, series, strict=True)
    }


def fitted(cohort, loss, *free):
    began = time.perf_counter()
    found = gx.search.minimise(cohort, loss, gx.select(cohort, *free), steps=60, progress=False)
    return found.model, time.perf_counter() - began


def pooled(seed, series, w):
    """Errors of w by every way of pooling, and what else is to tell of one set of recordings."""
    start = networks(np.full(len(w), 0.36), 0.2, seed)  # of the subjects' own connectomes
    shared = gx.Cohort(start, scatters(series, start))
    own = gx.per_subject(shared, W)
    plain = gx.scale.cohort_loss(likelihood)
    alone, _ = fitted(gx.per_subject(own, G), plain, W, G)
    complete, _ = fitted(shared, plain, W, G)
    unpooled, _ = fitted(own, plain, W, G)
    found = gx.scale.random_effects(*gx.scale.standard_errors(unpooled, plain, [W])[W])
    sd = max(found.sd, 1e-3)
    partial, seconds = fitted(own, gx.scale.cohort_loss(likelihood, {W: sd}), W, G)
    oracle, _ = fitted(own, gx.scale.cohort_loss(likelihood, {W: BETWEEN}), W, G)
    ways = {"separate fits, each with its own G": alone, "G shared, w unpooled": unpooled, "complete pooling": complete}
    ways |= {"partial pooling, sd estimated": partial, "partial pooling, true sd": oracle}
    return {
        "error": {name: float(np.sqrt(np.mean((np.asarray(c.network.model.w) - w) ** 2))) for name, c in ways.items()},
        "G": {name: float(np.mean(c.network.coupling.strength)) for name, c in ways.items()},
        "sd": found.sd,
        "seconds": seconds,
    }


# Recovery by simulation

DT = 2.0


def features(series, weights):
    """Each region's logarithm of the variance, and its mean correlation with those it hears, by their weights."""
    away = series - series.mean(0)
    variance = (away**2).mean(0)
    correlations = away.T @ away / len(away) / jnp.sqrt(jnp.outer(variance, variance))
    return {"level": jnp.log(variance), "alike": (weights * correlations).sum(1) / weights.sum(1)}


def simulated(network, duration, key):
    """S every 10 ms, `(time, region)`, its first second left out."""
    run = gx.simulate(
        network, duration + 1000.0, DT, key=key, monitors={"S": gx.monitors.Subsample(source="S", period=10.0)}
    )
    return run["S"].values[100:, 0]


class Distance:
    """How far a simulation of a subject is from what was recorded, in squares of standard errors, about.

    Products of how far each half of a run is off: what is the run's noise in them adds nothing in the mean, where squares would reward
    parameters that make less of it.
    """

    def __init__(self, duration):
        self.duration = duration

    def __call__(self, network, recorded, key):
        halves = jnp.split(simulated(network, self.duration, key), 2)
        one, two = (jax.tree.map(jnp.subtract, features(half, network.connectome.weights), recorded) for half in halves)
        count = (
            self.duration / 240
        )  # samples that know nothing of each other, about; 6 regions are heard, as much as by weights
        level = (one["level"] * two["level"]).sum() * count / 4
        alike = (one["alike"] * two["alike"]).sum() * 6 * count / 2
        return level + alike, {"level": level, "alike": alike}


def recovered(smoke):
    """G and every w from long recordings, through runs with delays."""
    count, duration, steps = (3, 2000.0, 3) if smoke else (20, 10_000.0, 90)
    delay, w = gx.Delay(speed=3.0), drawn(count, 100)
    truth = gx.Cohort(networks(w, STRENGTH, 100, delay))

    def measured(network, data, key):
        """Means over pieces as long as half a simulation: shorter ones vary less, and by how much is not what is to be fitted."""
        pieces = jnp.split(simulated(network, 12 * duration, key), 24)
        each = [features(piece, network.connectome.weights) for piece in pieces]
        return jax.tree.map(lambda *x: sum(x) / len(x), *each)

    recorded = jax.jit(lambda key: truth.map(measured, key))(jax.random.key(100))
    data = {name: jax.tree.map(lambda x, i=i: np.asarray(x[i]), recorded) for i, name in enumerate(truth)}
    start = gx.per_subject(gx.Cohort(networks(np.full(count, 0.3), 0.15, 100, delay), data), W)
    loss, spec = gx.scale.cohort_loss(Distance(duration)), gx.select(start, G, W)
    # all subjects move G, each its own w: along the valley where G makes up for all w, G is to lead
    optimiser = {
        G: optax.adam(optax.cosine_decay_schedule(0.1, steps)),
        W: optax.adam(optax.cosine_decay_schedule(0.06, steps)),
    }
    began = time.perf_counter()
    found = gx.fit(start, loss, spec, optimiser, steps=steps, key=1, validation=None, progress=False)
    seconds = time.perf_counter() - began
    judged = gx.evaluate(found.last, loss.each, jax.random.split(jax.random.key(7), 4))
    print(found.last.table(evaluation=judged).assign(true=w).round(3).to_string())
    values = np.asarray(found.last.network.model.w)
    return {
        "subjects": count,
        "G": float(found.last.network.coupling.strength),
        "r": float(np.corrcoef(values, w)[0, 1]),
        "error": float(np.sqrt(np.mean((values - w) ** 2))),
        "bias": float(np.mean(values - w)),
        "sd": float(np.std(w)),
        "seconds": seconds,
        "steps": steps,
    }


HEAD = """# A cohort of simulated subjects

This page is written by `nox -s studies -- cohort`, on one machine; it is not edited by hand. Wong and Wang's model in 20 regions of dk84, {count}
subjects: each has weights of its own (log-normal, 0.3 a connection), tract lengths of its own (10 %), and its own recurrent strength w, of mean {mean} and a standard deviation of about
0.05; the coupling strength G = {strength} is the same for all. One `gx.Cohort` holds them, and one program fits them all.

"""
RECOVERY = """## Recovered through simulations

Delays (3 mm/ms), recordings of two minutes, gradients through simulations of 10 s with new noise at every step ({steps} steps of Adam, {seconds:.0f} s in all), which are compared in
each region's variance and its correlation with those it hears. From
w = 0.3 for all and G = 0.15: G = {G:.3f} (true: {strength}), w with r = {r:.3f} to the true ones, root mean square error {error:.3f} (mean {bias:+.3f}) beside {sd:.3f} between
subjects.

"""
POOLING = """## Partial pooling on short recordings

Samples of S a second apart, which know next to nothing of each other, so that minus the log-likelihood of a recording is known by the theory of linear noise
(`gx.analysis.linear_noise`), to first order, in nats. The data are simulated. `gx.search.minimise` finds G and w; sd of partial pooling is estimated from the curvature at
the unpooled fit (`gx.scale.standard_errors`, `gx.scale.random_effects`). Root mean square error of w over subjects, mean over {repeats} sets of subjects and recordings ± its standard error; in
brackets how many of these partial pooling (sd estimated) was nearer than.

"""


def page(record):
    text = HEAD.format(mean=MEAN, strength=STRENGTH, count=record["recovery"]["subjects"])
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    text += f"{record['date']}, {record['cpu']}, {record['cores']} cores; {versions}.\n\n"
    text += RECOVERY.format(**record["recovery"], strength=STRENGTH)
    text += POOLING.format(repeats=record["repeats"])
    names = list(record["pooling"][0]["found"][0]["error"])
    ours = "partial pooling, sd estimated"
    rows = []
    for name in names:
        cells = []
        for case in record["pooling"]:
            errors, best = (np.array([one["error"][n] for one in case["found"]]) for n in (name, ours))
            scatter = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
            beaten = "" if name == ours else f" ({int((best < errors).sum())})"
            cells.append(f"{errors.mean():.4f} ± {scatter:.4f}{beaten}")
        rows.append([name, *cells])
    for what, of in (
        (f"sd between subjects, estimated (true: {BETWEEN})", lambda one: one["sd"]),
        ("G, partial pooling", lambda one: one["G"][ours]),
    ):
        values = [np.array([of(one) for one in case["found"]]) for case in record["pooling"]]
        rows.append([what, *(f"{v.mean():.3f} ± {v.std():.3f} (sd)" for v in values)])
    return text + table(["", *(f"{case['samples']} samples" for case in record["pooling"])], rows).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few subjects, steps and sets, to see that all works")
    parser.add_argument("--out", type=Path, help="folder of the page, docs/studies")
    arguments = parser.parse_args()
    if arguments.smoke and not arguments.out:
        parser.error("--smoke needs --out, so that its page does not replace that of a full run")
    out = arguments.out or ROOT / "docs" / "studies"
    count, repeats, lengths = (4, 2, (20, 60)) if arguments.smoke else (20, 10, (20, 60, 240))
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("gyrax", "jax", "optimistix", "optax")},
        "smoke": arguments.smoke,
        "repeats": repeats,
        "recovery": recovered(arguments.smoke),
        "pooling": [{"samples": length, "found": []} for length in lengths],
    }
    for seed in range(repeats):
        w = drawn(count, seed)
        series = recordings(networks(w, STRENGTH, seed), max(lengths), jax.random.key(seed))
        for case in record["pooling"]:
            case["found"].append(pooled(seed, series[:, : case["samples"]], w))
            print(seed, case["samples"], case["found"][-1], flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "cohort.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "cohort.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
