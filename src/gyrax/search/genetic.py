"""NSGA-II (Deb et al. 2002; pymoo's), which can be gone through again from the values that it was told."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .._extras import need

#: What a term counts that is not finite: more than any that is.
_WORST = np.finfo(float).max


def unbeaten(values: Float[np.ndarray, "point term"]) -> np.ndarray:
    """The points that no other beats, in the order of the first term; each once.

    Example:
        >>> unbeaten(np.array([[2.0, 0.0], [0.0, 1.0], [2.0, 1.0], [np.nan, 0.0]])).tolist()
        [1, 0]
    """
    finite = np.flatnonzero(np.isfinite(values).all(1))
    _, first = np.unique(values[finite], axis=0, return_index=True)
    some = finite[first]
    beaten = [bool(((values[some] <= values[i]).all(1) & (values[some] < values[i]).any(1)).any()) for i in some]
    return some[~np.array(beaten, bool)] if len(some) else some


class Genetic:
    """A population, generation by generation: `ask` for points, `tell` their values, all of which are to become small.

    What it asks for follows from its seed and from what it was told, so that nothing else of it need be kept in a file.

    Args:
        first: the points of the first generation, `(point, number)`.
        low: the least of each number.
        high: the most.
        terms: how many values a point has.
        seed: of its draws.
        within: how far its points lie around the start, for what is said where none of them has finite values.
    """

    def __init__(self, first: np.ndarray, low: np.ndarray, high: np.ndarray, terms: int, seed: int, within: float):
        core = need("pymoo.core.problem", "search")
        nsga2 = need("pymoo.algorithms.moo.nsga2", "search")
        endless = need("pymoo.core.termination", "search").NoTermination()
        self._problem = core.Problem(n_var=first.shape[1], n_obj=terms, xl=low, xu=high)
        self._algorithm: Any = nsga2.NSGA2(pop_size=len(first), sampling=first, eliminate_duplicates=True)
        self._algorithm.setup(self._problem, termination=endless, seed=seed, verbose=False)
        self._size, self._within = len(first), within
        self._asked: Any = None
        #: The best of each term, of each generation.
        self.history: list[np.ndarray] = []

    def ask(self) -> Float[np.ndarray, "point number"]:
        """The points of the next generation: always as many, so that one compiled call serves all.

        Raises:
            ValueError: if there is none that was not looked at already.
        """
        self._asked = self._algorithm.ask()
        if self._asked is None or not len(self._asked):
            raise ValueError(
                f"after {len(self.history)} generations there are no candidates within {self._within:g} of the start that differ from "
                "those before: give a larger within=, or fewer generations="
            )
        points = np.asarray(self._asked.get("X"), float)
        return np.concatenate([points, np.repeat(points[-1:], self._size - len(points), 0)])

    def tell(self, values: Float[np.ndarray, "point term"]) -> None:
        """The values of what was asked for.

        Raises:
            FloatingPointError: if in the first generation no point has finite values.
        """
        values = values[: len(self._asked)]
        finite = np.atleast_1d(np.isfinite(values).all(1))
        if not self.history and not finite.any():
            raise FloatingPointError(
                f"no candidate within {self._within:g} of the start on the real line has finite terms: give a smaller within="
            )
        evaluator, static = need("pymoo.core.evaluator", "search"), need("pymoo.problems.static", "search")
        told = static.StaticProblem(self._problem, F=np.where(finite[:, None], values, _WORST))
        evaluator.Evaluator().eval(told, self._asked)
        self._algorithm.tell(infills=self._asked)
        found = self._algorithm.pop.get("F")
        self.history.append(np.where(found < _WORST, found, np.inf).min(0))

    def unbeaten(self) -> Float[np.ndarray, "point number"]:
        """The unbeaten points so far."""
        values = self._algorithm.pop.get("F")
        return self._algorithm.pop.get("X")[unbeaten(np.where(values < _WORST, values, np.nan))]
