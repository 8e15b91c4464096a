"""Minimise many functions of a few numbers each, in parallel, by the quasi-Newton method BFGS."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SUFFICIENT = 1e-4                                           # Armijo's rule: f must fall by this share of the predicted fall
CAREFUL = 0.3                                               # with `scale`: longest first step, in units of sqrt(scale)
SMALLEST = 2.0**-40                                         # the line search ends at this fraction of the full step


def minimise(
    f: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]],
    start: NDArray,
    tolerance: float,
    max_steps: int = 200,
    scale: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Return a local minimum of each of N functions of P numbers: the points (N, P) and the values (N,).

    The search begins at `start` (N, P). The method is BFGS (Nocedal and Wright 2006, chapter 6). Each function has its own
    step length and its own estimate of the inverse Hessian. The call f(points, indices) evaluates n functions:
    function number indices[i] at points[i], for points (n, P). It returns their values (n,) and gradients (n, P).

    No step increases the value of a function. The descent of a function ends when the predicted decrease of a step is below
    `tolerance`, when no step decreases the value enough, or after `max_steps` steps. `scale` (N, P) estimates the diagonal
    of the inverse Hessian; a good estimate halves the number of steps.
    """
    points, active = start.copy(), np.arange(len(start))
    values, gradients = f(points, active)
    values, gradients = values.copy(), gradients.copy()
    diagonal = np.ones(start.shape) if scale is None else scale
    length = np.sqrt((gradients * gradients * diagonal).sum(axis=1))                        # length of the first step
    diagonal = diagonal / np.maximum(length / (1 if scale is None else CAREFUL), 1)[:, None]
    inverse = diagonal[:, :, None] * np.eye(start.shape[1])                                 # (N, P, P)
    for step in range(max_steps):
        g = gradients[active]
        direction = -(inverse[active] @ g[:, :, None])[:, :, 0]
        slope = (g * direction).sum(axis=1)
        descends = slope < -tolerance
        active, direction, slope = active[descends], direction[descends], slope[descends]
        if not len(active):
            break
        moved, new_values, new_gradients = _line_search(f, points, values, active, direction, slope)
        s, y = moved - points[active], new_gradients - gradients[active]
        _update(inverse, active, s, y, first=step == 0 and scale is None)
        points[active], values[active], gradients[active] = moved, new_values, new_gradients
        active = active[(s != 0).any(axis=1)]               # a descent ends if its point did not move: no step was good
    return points, values


def _line_search(f, points, values, active, direction, slope):
    """Halve the step of each function until the step decreases the value enough. If no step does, return the old point."""
    length, waiting = np.ones(len(active)), np.arange(len(active))
    moved = points[active].copy()
    new_values, new_gradients = values[active].copy(), np.zeros_like(moved)
    while len(waiting):
        trial = points[active[waiting]] + length[waiting, None] * direction[waiting]
        value, gradient = f(trial, active[waiting])
        enough = value <= values[active[waiting]] + SUFFICIENT * length[waiting] * slope[waiting]     # False for NaN
        good = waiting[enough]
        moved[good], new_values[good], new_gradients[good] = trial[enough], value[enough], gradient[enough]
        waiting = waiting[~enough]
        length[waiting] /= 2
        waiting = waiting[length[waiting] > SMALLEST]
    return moved, new_values, new_gradients


def _update(inverse, active, s, y, first):
    """Update the inverse Hessians in place:  H <- (I - r s y') H (I - r y s') + r s s',   r = 1 / s'y > 0

    s is the step, y the change of the gradient. A function whose s'y is negative or near 0 is skipped: its H would not stay
    positive definite.
    """
    sy = (s * y).sum(axis=1)
    curved = sy > 1e-10 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    which, s, y, sy = active[curved], s[curved], y[curved], sy[curved]
    if first:                                               # without `scale`, the first step sets the magnitude of H
        inverse[which] = np.eye(s.shape[1]) * (sy / (y * y).sum(axis=1))[:, None, None]
    Hy = (inverse[which] @ y[:, :, None])[:, :, 0]
    a = (1 + (y * Hy).sum(axis=1) / sy)[:, None] * s / 2 - Hy                               # new H = H + (s a' + a s') / s'y
    half = s[:, :, None] * (a / sy[:, None])[:, None, :]
    inverse[which] += half + np.swapaxes(half, 1, 2)
