"""Many small problems minimised at once, each by its own quasi-Newton steps."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SUFFICIENT = 1e-4                                           # of the promised descent, for a step to be taken (Armijo)
CAREFUL = 0.3                                               # of `scale`, the most that a first step goes
SMALLEST = 2.0**-40                                         # of a step, before a problem is left where it is


def minimise(
    f: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]],
    start: NDArray,
    tolerance: float,
    most: int = 200,
    scale: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Local minima of N functions of P numbers each, from `start` (N, P): points (N, P) and values (N,).

    BFGS (Nocedal and Wright 2006, chapter 6), where every problem has its own step length and its own estimate of the
    inverse Hessian. f(points (n, P), which (n,)) returns values (n,) and gradients (n, P) of problems `which`. A value
    never increases. A problem is done when a step promises less than `tolerance`, and all are after `most` steps.
    `scale` (N, P) estimates the diagonal of the inverse Hessian; a good one halves the number of steps.
    """
    points, active = start.copy(), np.arange(len(start))
    values, gradients = f(points, active)
    values, gradients = values.copy(), gradients.copy()
    diagonal = np.ones(start.shape) if scale is None else scale
    length = np.sqrt((gradients * gradients * diagonal).sum(axis=1))                        # of the first step, in its scale
    diagonal = diagonal / np.maximum(length / (1 if scale is None else CAREFUL), 1)[:, None]
    inverse = diagonal[:, :, None] * np.eye(start.shape[1])                                 # (N, P, P)
    for step in range(most):
        g = gradients[active]
        direction = -(inverse[active] @ g[:, :, None])[:, :, 0]
        slope = (g * direction).sum(axis=1)
        going = slope < -tolerance
        active, direction, slope = active[going], direction[going], slope[going]
        if not len(active):
            break
        moved, new_values, new_gradients = _line_search(f, points, values, active, direction, slope)
        s, y = moved - points[active], new_gradients - gradients[active]
        _update(inverse, active, s, y, first=step == 0 and scale is None)
        points[active], values[active], gradients[active] = moved, new_values, new_gradients
        active = active[(s != 0).any(axis=1)]               # where no step goes down, rounding is all that is left
    return points, values


def _line_search(f, points, values, active, direction, slope):
    """Halve the step of every problem until its value has come down enough; where none does, the point stays."""
    length, waiting = np.ones(len(active)), np.arange(len(active))
    moved = points[active].copy()
    new_values, new_gradients = values[active].copy(), np.zeros_like(moved)
    while len(waiting):
        trial = points[active[waiting]] + length[waiting, None] * direction[waiting]
        value, gradient = f(trial, active[waiting])
        enough = value <= values[active[waiting]] + SUFFICIENT * length[waiting] * slope[waiting]     # NaN is not
        good = waiting[enough]
        moved[good], new_values[good], new_gradients[good] = trial[enough], value[enough], gradient[enough]
        waiting = waiting[~enough]
        length[waiting] /= 2
        waiting = waiting[length[waiting] > SMALLEST]
    return moved, new_values, new_gradients


def _update(inverse, active, s, y, first):
    """The BFGS update, in place:  H <- (I - r s y') H (I - r y s') + r s s',   r = 1 / s'y > 0"""
    sy = (s * y).sum(axis=1)
    curved = sy > 1e-10 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    which, s, y, sy = active[curved], s[curved], y[curved], sy[curved]
    if first:                                               # the first step tells the scale
        inverse[which] = np.eye(s.shape[1]) * (sy / (y * y).sum(axis=1))[:, None, None]
    Hy = (inverse[which] @ y[:, :, None])[:, :, 0]
    a = (1 + (y * Hy).sum(axis=1) / sy)[:, None] * s / 2 - Hy                               # H + (s a' + a s') / s'y
    half = s[:, :, None] * (a / sy[:, None])[:, None, :]
    inverse[which] += half + np.swapaxes(half, 1, 2)
