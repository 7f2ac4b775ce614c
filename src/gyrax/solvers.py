"""Fixed-step solvers as diffrax solvers, written out stage by stage.

They take any diffrax terms and work in `diffrax.diffeqsolve` too; any other diffrax solver works in `simulate`. Written
out, a step costs a third of diffrax's general Runge-Kutta loop on a CPU (docs/design.md).
"""

from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax

from ._kinds import flag


def _plus(y, share, k):
    """A state, which may be a tree, with a share of an increment."""
    return jax.tree.map(lambda y, k: y + k if share == 1 else y + share * k, y, k)


class _Explicit(dfx.AbstractSolver):
    """What the solvers below share: no state of their own, linear dense output."""

    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar = dfx.LocalLinearInterpolation

    def init(self, terms, t0, t1, y0, args):
        return None

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        y1 = self.advance(terms, t0, t1, y0, args)
        return y1, None, dict(y0=y0, y1=y1), None, dfx.RESULTS.successful

    def advance(self, terms, t0, t1, y0, args):
        """The state at t1."""
        raise NotImplementedError


class EulerMaruyama(_Explicit, dfx.AbstractItoSolver):
    """One evaluation a step; multiplicative noise in the sense of Ito. Orders 1 (ODE) and 0.5 (SDE; 1 if additive).

    Example:
        >>> EulerMaruyama()
        EulerMaruyama()
    """

    def order(self, terms):
        return 1

    def strong_order(self, terms):
        return 0.5

    def advance(self, terms, t0, t1, y0, args):
        return _plus(y0, 1, terms.vf_prod(t0, y0, args, terms.contr(t0, t1)))


class _Staged(_Explicit, dfx.AbstractStratonovichSolver):
    """What the solvers of several stages share.

    Attributes:
        coupling_once: whether what regions feed to each other is evaluated at the start of a step only and held through its stages.
    """

    coupling_once: bool = eqx.field(default=False, static=True, kw_only=True)

    def __check_init__(self):
        flag("coupling_once", self.coupling_once)

    def strong_order(self, terms):
        return 0.5

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, self._held(args))

    def _held(self, args):
        """The args, in which a run has put what it holds."""
        if self.coupling_once and getattr(args, "coupled", None) is None:
            raise ValueError(
                "coupling_once=True is for fixed steps of gx.simulate, which evaluates the couplings before each step: here, leave it out"
            )
        return args


class Heun(_Staged):
    """Two evaluations a step; multiplicative noise in the sense of Stratonovich. Orders 2 (ODE) and 0.5 (SDE; 1 if additive).

    Attributes:
        coupling_once: evaluates the couplings, delayed, instantaneous and local, at the start of a step only and holds what they
            feed through both evaluations: the scheme of The Virtual Brain and of tvboptim's default. A run without delays takes
            about a sixth less time; but the order is 1 in what regions feed to each other, as Euler's.

    Example:
        >>> Heun()
        Heun()
        >>> Heun(coupling_once=True)
        Heun(coupling_once=True)
    """

    def order(self, terms):
        return 1 if self.coupling_once else 2

    def advance(self, terms, t0, t1, y0, args):
        args, control = self._held(args), terms.contr(t0, t1)
        k1 = terms.vf_prod(t0, y0, args, control)
        k2 = terms.vf_prod(t1, _plus(y0, 1, k1), args, control)
        return _plus(y0, 0.5, _plus(k1, 1, k2))


class RungeKutta4(_Staged):
    """The classic four-evaluation scheme. Order 4 without delays; delayed input is interpolated linearly, order 2.

    Attributes:
        coupling_once: as in `Heun`.

    Example:
        >>> RungeKutta4()
        RungeKutta4()
    """

    def order(self, terms):
        return 1 if self.coupling_once else 4

    def advance(self, terms, t0, t1, y0, args):
        args, control = self._held(args), terms.contr(t0, t1)
        middle = t0 + 0.5 * (t1 - t0)
        k1 = terms.vf_prod(t0, y0, args, control)
        k2 = terms.vf_prod(middle, _plus(y0, 0.5, k1), args, control)
        k3 = terms.vf_prod(middle, _plus(y0, 0.5, k2), args, control)
        k4 = terms.vf_prod(t1, _plus(y0, 1, k3), args, control)
        return jax.tree.map(lambda y, a, b, c, d: y + (a + 2 * b + 2 * c + d) / 6, y0, k1, k2, k3, k4)
