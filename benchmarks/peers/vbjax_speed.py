"""vbjax: microseconds a step. run.py starts it (see harness.py) in an environment with vbjax.

vbjax has no Wong-Wang model: the equations below are those of Deco et al. (2013), given to its stochastic loops as it
asks a user to do.
"""

import jax
import jax.numpy as jnp
import vbjax
from harness import Job, main

NOTE = """
Wong-Wang written as its user would, in its `make_sdde` loop with `make_delay_helper` and `delay_apply`, or `make_sde`
without delays; unroll as it comes. Noise is drawn within the call, as its loops ask. It rounds delays down (half a step is
added to lengths, so that they are those of the others). Its delayed loop copies its buffer every step, so a long run goes
through `make_continuation` in chunks of 50 steps: of 20 to 500, about the fastest for both.
"""
CHUNK = 50


def drift(s, c):
    z = 0.270 * (0.6 * 0.2609 * s + 0.2609 * c + 0.33) - 0.108
    return -s / 100.0 + (1 - s) * 0.641 * z / (1 - jnp.exp(-154.0 * z))


def delayed(case, data, steps):
    lengths = data["lengths"] + 0.5 * case["speed"] * case["dt"]
    helper = vbjax.make_delay_helper(jnp.asarray(data["weights"]), jnp.asarray(lengths), case["dt"], case["speed"])
    depth = int(helper.max_lag)

    def dfun(buffer, s, t, strength):
        return drift(s, strength * vbjax.delay_apply(helper, t, buffer))

    _, loop = vbjax.make_sdde(case["dt"], depth, dfun, case["sigma"])

    goes_on = vbjax.make_continuation(loop, CHUNK, depth, helper.n_from, 1)

    def run(strength, key):
        start = jnp.full((depth + 1 + CHUNK, 1, helper.n_to), 0.1)
        keys = jax.random.split(key, steps // CHUNK)
        chunks = jax.lax.scan(lambda buffer, key: goes_on(buffer, strength, key), start, keys)[1]
        return chunks.reshape(steps, 1, helper.n_to)

    return run


def instant(case, data, steps):
    weights = jnp.asarray(data["weights"])

    def dfun(s, strength):
        return drift(s, strength * (weights @ s[0])[None])

    _, loop = vbjax.make_sde(case["dt"], dfun, case["sigma"])

    def run(strength, key):
        noise = jax.random.normal(key, (steps, 1, len(weights)))
        return loop(jnp.full((1, len(weights)), 0.1), noise, strength)

    return run


def jobs(case, data):
    data = {name: values.astype("float32") for name, values in data.items()}
    key = jax.random.key(0)
    for kind in case["kinds"]:
        steps = case["steps"]
        run = (delayed if case["delays"] else instant)(case, data, steps)
        function = jax.jit(
            jax.value_and_grad(lambda strength, run=run: jnp.mean(run(strength, key) ** 2))
            if kind == "gradient"
            else lambda strength, run=run: run(strength, key)
        )

        def call(strength, function=function):
            return jax.block_until_ready(function(jnp.asarray(strength, jnp.float32)))

        if kind == "trajectory":
            yield Job(kind, lambda strength, call=call: call(strength)[:, 0], steps, same_scheme=True)
        else:
            yield Job(kind, call, steps)


if __name__ == "__main__":
    main(jobs, ("vbjax", "jax", "numpy"), NOTE)
