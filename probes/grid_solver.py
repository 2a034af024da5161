"""Logistic regression for many training masks and regularisation strengths of one layer at once.

All problems share the activations, so each step multiplies them once with one matrix that has a column per
problem, instead of once per problem with a vector. The method is L-BFGS on every problem side by side, with
three things that fit the case:

- the line search costs no pass over the activations, because scores along a step are linear in its length;
- the leading principal directions of the activations, whose huge variance makes real activations badly
  conditioned, are deflated by a low-rank preconditioner;
- most steps run in single precision, and the last ones in double until the gradient of the mean loss is
  below `tol` everywhere, so the answers are those of a plain loop of converged fits.

Each mask's own standardisation enters as its own penalty metric: with `u = w / sigma` in place of `w`, the
activations stay shared and the penalty becomes `sum_j sigma_j^2 u_j^2 / 2`.

Where activations are wider than the rows are many, a solution is a combination of the rows, and each mask is
solved in coordinates of its own rows, of which there are fewer (`_solve_by_rows`); a few hundred rows take
Newton's method instead (`probes.newton_solver`).

Runs on NumPy arrays, or on torch tensors of any device; both offer what is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from probes.newton_solver import solve_by_newton
from probes.solvers import ConvergenceError

__all__ = ["solve_logistic_grid"]

HISTORY = 6
RANK = 64  # principal directions that are deflated
ROUGH = 3e-8  # single precision carries the gradient of the mean loss about this far
ROUGH_STEPS = 300  # and where it does not, double precision takes over here
WIDE = 2.0  # columns per row from which one Gram matrix per mask costs less than it saves
FEW = 300  # rows up to which Newton's steps, a third of n^3 each, are the cheaper ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Problems:
    """The state of all unfinished problems: `P` rows each, activations shared."""

    X: Any  # [row, d]
    XT: Any  # [d, row], contiguous
    y: Any  # [row]
    load: Any  # [P, row]: C where the row is trained on, else 0
    metric: Any  # [P, d]: weight of each squared coordinate in the penalty
    scale: Any  # [P]: C times training rows, which turns gradients into those of the mean loss
    W: Any  # [P, d]
    b: Any  # [P]
    z: Any  # [P, row]: scores

    def keep(self, which: Any) -> Problems:
        """Return the problems selected by a boolean vector."""
        per_problem = ("load", "metric", "scale", "W", "b", "z")
        return replace(self, **{name: getattr(self, name)[which] for name in per_problem})


def solve_logistic_grid(
    X: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    masks: Bool[np.ndarray, "mask row"],
    Cs: Float[np.ndarray, " C"],
    metric: Float[np.ndarray, "mask d"],
    *,
    tol: float = 1e-8,
    max_iter: int = 5000,
    device: str = "cpu",
) -> tuple[Float[np.ndarray, "mask C d"], Float[np.ndarray, "mask C"]]:
    """Return directions and intercepts of every mask and C.

    Minimises `C sum_i log(1 + exp(-(2 y_i - 1)(w.x_i + b))) + sum_j metric_j w_j^2 / 2` over the rows of each
    mask. `X` should have columns of similar size (standardise it over all rows first). Raises
    ConvergenceError when `max_iter` steps do not reach `tol`.

    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), np.array([0, 0, 1, 1])
    >>> masks = np.ones((1, 4), dtype=bool)
    >>> W, b = solve_logistic_grid(X, y, masks, np.array([1.0]), np.ones((1, 1)))
    >>> W.shape, bool(W[0, 0, 0] > 0)
    ((1, 1, 1), True)
    """
    if device == "cpu" and X.shape[1] > WIDE * masks.sum(1).max():
        return _solve_by_rows(X, y, masks, Cs, metric, tol=tol, max_iter=max_iter)
    xp = _namespace(device)
    n_masks, n_cs, width = len(masks), len(Cs), X.shape[1]
    C = np.tile(Cs, n_masks)
    load = np.repeat(masks, n_cs, axis=0) * C[:, None]
    given = {"y": y, "load": load, "metric": np.repeat(metric, n_cs, axis=0), "scale": load.sum(1)}
    W, b = np.zeros((len(C), width)), np.zeros(len(C))
    leading: tuple[Any, ...] | None = None
    stages = (("float32", max(tol, ROUGH), min(ROUGH_STEPS, max_iter)), ("float64", tol, max_iter))
    for kind, goal, steps in stages:
        arrays = {
            name: _array(xp, value, kind, device) for name, value in {**given, "X": X, "W": W, "b": b}.items()
        }
        XT = _array(xp, np.ascontiguousarray(X.T), kind, device)
        z = arrays["W"] @ XT + arrays["b"][:, None]
        problems = Problems(**arrays, XT=XT, z=z)
        if leading is None:
            leading = _leading_directions(problems.X, xp)
        cast = tuple(_array(xp, _numpy(part), kind, device) for part in leading)
        W, b, left = _minimise(problems, xp, goal, steps, _Preconditioner.of(problems, *cast))
        if left and kind == "float64":
            raise ConvergenceError(
                f"{left} of {len(C)} logistic regressions did not reach tol={tol} in {max_iter} steps; "
                "raise max_iter, lower the largest C, or check the activations for extreme columns"
            )
    return W.reshape(n_masks, n_cs, width), b.reshape(n_masks, n_cs)


def _solve_by_rows(
    X: np.ndarray, y: np.ndarray, masks: np.ndarray, Cs: np.ndarray, metric: np.ndarray, **limits: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Solve every mask in coordinates `v = F'a` of its own rows, where `F F'` is their Gram matrix.

    With the metric drawn into the activations the penalty is a plain norm, so the solution is `w = X'a` for
    some weights `a` of the rows, its scores are `F v`, and its penalty is that of `v`.
    """
    W, b = np.empty((len(masks), len(Cs), X.shape[1])), np.empty((len(masks), len(Cs)))
    for m, mask in enumerate(masks):
        spread = np.sqrt(metric[m])
        rows = X[mask] / spread
        if len(rows) <= FEW:
            V, b[m] = solve_by_newton(rows, y[mask], Cs, **limits)
            W[m] = V / spread
            continue
        F, back = _row_factor(rows @ rows.T)
        everything = np.ones((1, len(F)), dtype=bool)
        V, b[m] = solve_logistic_grid(F, y[mask], everything, Cs, np.ones((1, F.shape[1])), **limits)
        W[m] = back(V[0]) @ rows / spread
    return W, b


def _row_factor(gram: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return `F` with `F F' = gram`, and the function that finds `a` with `F'a = v` for rows `v`.

    Cholesky, or an eigendecomposition where rows depend on each other (duplicates, centred rows).
    """
    from scipy.linalg import cholesky, eigh, solve_triangular

    try:
        lower = cholesky(gram, lower=True)
    except np.linalg.LinAlgError:
        sizes, turn = eigh(gram)
        kept = sizes > len(gram) * np.finfo(float).eps * max(sizes[-1], np.finfo(float).tiny)
        root, turn = np.sqrt(sizes[kept]), turn[:, kept]
        return turn * root, lambda v: (v / root) @ turn.T
    return lower, lambda v: solve_triangular(lower, v.T, lower=True, trans=1).T


def _minimise(
    problems: Problems, xp: Any, tol: float, max_iter: int, inverse: _Preconditioner
) -> tuple[np.ndarray, np.ndarray, int]:
    """Run L-BFGS until every gradient is small; return `W`, `b` and how many problems were left."""
    done_W, done_b = _numpy(problems.W).copy(), _numpy(problems.b).copy()
    place = np.arange(len(done_b))
    history: list[tuple[Any, ...]] = []
    p = _sigmoid(problems.z, xp)
    last = None
    for _ in range(max_iter):
        residual = problems.load * (p - problems.y)
        gradient = residual @ problems.X
        gradient += problems.metric * problems.W
        slope = residual.sum(-1)
        if last is not None:
            history = _remember(history, last, gradient, slope)
        size = xp.maximum(xp.abs(gradient).max(-1) if xp is np else xp.abs(gradient).amax(-1), xp.abs(slope))
        open_ = _numpy(size > tol * problems.scale).astype(bool)
        if not open_.all():
            done = ~open_
            done_W[place[done]], done_b[place[done]] = _numpy(problems.W)[done], _numpy(problems.b)[done]
            if done.all():
                return done_W, done_b, 0
            # Dropping finished problems copies the history, so wait until it pays.
            if open_.mean() < 0.8:
                problems, inverse, place = problems.keep(open_), inverse.keep(open_), place[open_]
                history = [tuple(part[open_] for part in pair) for pair in history]
                p, gradient, slope = p[open_], gradient[open_], slope[open_]
        step, shift = _direction(history, gradient, slope, inverse)
        along = step @ problems.XT
        along += shift[:, None]
        t, p = _line_search(problems, p, gradient, slope, step, shift, along, xp)
        problems.W[...] += t[:, None] * step
        problems.b[...] += t * shift
        problems.z[...] += t[:, None] * along
        last = (t[:, None] * step, t * shift, gradient, slope)
    done_W[place], done_b[place] = _numpy(problems.W), _numpy(problems.b)
    return done_W, done_b, len(place)


def _remember(
    history: list[tuple[Any, ...]], last: tuple[Any, ...], gradient: Any, slope: Any
) -> list[tuple[Any, ...]]:
    """Append the newest (step, change of gradient) pair; a pair without curvature gets no weight."""
    step, shift, old_gradient, old_slope = last
    change, bend = gradient - old_gradient, slope - old_slope
    product = _dot(step, change) + shift * bend
    usable = product > 1e-30
    rho = usable / (product + ~usable)
    return [*history[-(HISTORY - 1) :], (step, change, shift, bend, rho)]


def _direction(
    history: list[tuple[Any, ...]], gradient: Any, slope: Any, inverse: _Preconditioner
) -> tuple[Any, Any]:
    """Return minus the L-BFGS approximation of inverse Hessian times gradient (two-loop recursion)."""
    q, c, weights = gradient + 0.0, slope, []
    for step, change, shift, bend, rho in reversed(history):
        a = rho * (_dot(step, q) + shift * c)
        q -= a[:, None] * change
        c = c - a * bend
        weights.append(a)
    q, c = inverse(q, c)
    if history:
        _, change, _, bend, rho = history[-1]
        preconditioned, part = inverse(change, bend)
        curvature = rho * (_dot(change, preconditioned) + bend * part)
        fit = (rho > 0) / (curvature + (curvature <= 0)) + (rho <= 0)
        q *= fit[:, None]
        c = c * fit
    for (step, change, shift, bend, rho), a in zip(history, reversed(weights), strict=True):
        rest = a - rho * (_dot(change, q) + bend * c)
        q += rest[:, None] * step
        c = c + rest * shift
    return -q, -c


def _line_search(
    problems: Problems, p: Any, gradient: Any, slope: Any, step: Any, shift: Any, along: Any, xp: Any
) -> tuple[Any, Any]:
    """Return step lengths that leave little slope along the step, and the probabilities there.

    Starts at 1 and takes safeguarded Newton steps in the length; needs no product with the activations.
    """
    start = _dot(gradient, step) + slope * shift
    weighted = problems.metric * step
    bend, rise = _dot(weighted, step), _dot(weighted, problems.W)
    pull = problems.load * along
    t = xp.ones_like(start)
    for _ in range(6):
        p = _sigmoid(problems.z + t[:, None] * along, xp)
        here = _dot(pull, p - problems.y) + rise + t * bend
        bad = xp.abs(here) > 0.9 * xp.abs(start)
        if not bad.any():
            break
        curvature = _dot(pull * along, p * (1 - p)) + bend
        moved = xp.clip(t - here / (curvature + (curvature <= 0)), 0.1 * t, 4.0 * t)
        t = xp.where(bad, moved, t)
    else:
        p = _sigmoid(problems.z + t[:, None] * along, xp)
    return t, p


@dataclass(frozen=True, kw_only=True, eq=False)
class _Preconditioner:
    """Approximate inverse Hessians at zero, `(C/4 X'X + I)^-1`, exact in the leading principal directions."""

    basis: Any  # [d, rank]
    basis_t: Any  # [rank, d]
    base: Any  # [P, 1]: inverse curvature outside the deflated directions
    extra: Any  # [P, rank]: what the deflated directions have on top
    intercept: Any  # [P]

    @classmethod
    def of(cls, problems: Problems, basis: Any, sizes: Any, rest: Any) -> _Preconditioner:
        """Make the preconditioners from what `_leading_directions` found."""
        load = problems.scale / len(problems.y) / 4
        base = 1 / (load * rest + 1)
        return cls(
            basis=basis,
            basis_t=basis.T,
            base=base[:, None],
            extra=1 / (load[:, None] * sizes + 1) - base[:, None],
            intercept=1 / (problems.scale / 4),
        )

    def keep(self, which: Any) -> _Preconditioner:
        """Return the preconditioners of some problems."""
        return replace(self, base=self.base[which], extra=self.extra[which], intercept=self.intercept[which])

    def __call__(self, q: Any, c: Any) -> tuple[Any, Any]:
        """Return the products with a gradient and its intercept part."""
        inner = (q @ self.basis) * self.extra
        return q * self.base + inner @ self.basis_t, c * self.intercept


def _leading_directions(X: Any, xp: Any, passes: int = 2) -> tuple[Any, Any, Any]:
    """Return an orthonormal basis `[d, rank]`, eigenvalues of X'X in it, and the mean of the other ones.

    Subspace iteration (Halko et al. 2011); the basis only has to be roughly right.
    """
    rows, width = X.shape
    rank = min(RANK, width // 2, rows // 2)
    total = (X * X).sum()
    if rank < 1:
        return X[:0].T, X[:0, 0], total / width
    start = np.random.default_rng(0).normal(size=(width, rank))
    Q = _array(xp, start, str(X.dtype).removeprefix("torch."), getattr(X, "device", "cpu"))
    for _ in range(passes):
        Q = xp.linalg.qr(X.T @ (X @ Q))[0]
    projected = X @ Q
    sizes, turn = xp.linalg.eigh(projected.T @ projected)
    return Q @ turn, sizes, (total - sizes.sum()) / (width - rank)


def _dot(a: Any, b: Any) -> Any:
    """Row-wise inner products."""
    if isinstance(a, np.ndarray):
        return np.einsum("pn,pn->p", a, b)
    return (a * b).sum(-1)


def _sigmoid(z: Any, xp: Any) -> Any:
    if xp is not np:
        return xp.sigmoid(z)
    small = np.exp(-np.abs(z))
    p = 1 / (1 + small)
    return np.where(z >= 0, p, small * p)


def _namespace(device: str) -> Any:
    if device == "cpu":
        return np
    import torch

    return torch


def _array(xp: Any, value: Any, kind: str, device: Any) -> Any:
    if xp is np:
        return np.asarray(value).astype(kind)
    return xp.as_tensor(np.asarray(value, dtype=np.float64), device=device).to(getattr(xp, kind))


def _numpy(array: Any) -> np.ndarray:
    return np.asarray(array) if isinstance(array, np.ndarray | np.generic) else array.detach().cpu().numpy()
