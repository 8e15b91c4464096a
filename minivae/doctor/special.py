"""Losses outside the dictionary that have a name: roots and logs of squared errors, free bits, capacities, guarded logs."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.findings import Finding
from minivae.doctor.probe import DRAWS, Target
from minivae.doctor.terms import READINGS, kl_of, noise, rounded


def straight(x: NDArray, y: NDArray, enough: float) -> tuple[float, float] | None:
    """Return (slope, constant) of the line through every second point if all points are on it up to `enough`, else None."""
    if not np.ptp(x) or np.ptp(y) <= 2 * enough:            # a level line is no evidence
        return None
    slope, constant = np.polyfit(x[::2], y[::2], 1)
    return (slope, constant) if np.abs(slope * x + constant - y).max() <= enough else None


SQUARES = {
    "all rows and features": lambda r: np.array([(r**2).mean()]),
    "the features of a row": lambda r: (r**2).mean(axis=1),
    "the rows of a feature": lambda r: (r**2).mean(axis=0),
    "one entry": lambda r: (r**2).ravel(),
}
FUNCTIONS = (
    ("optimal-sigma", "is", np.log, "log of the mean",
     "minus the log-density of a Gaussian with the optimal sigma, up to a factor and a constant"),
    ("root", "unusual", np.sqrt, "square root of the mean",
     "its slope does not go to 0 with the residual, unlike -log p(x|z) of a Gaussian with a fixed sigma"),
)


def residual(target: Target, sizes: Mapping[str, int], rng: np.random.Generator) -> Finding | None:
    """Return a finding if the cost is a sum of roots or of logs of mean squared errors, else None."""
    x, o, m, s = target.draw(rng, sizes, DRAWS)
    values = target.values(x, o, *(np.repeat(a[:1], DRAWS, axis=0) for a in (m, s)))
    enough = 10 * noise(values, target.call.single)
    for over, mean in SQUARES.items():
        squares = [mean(a - b) for a, b in zip(x, o)]
        for key, verdict, f, mean_of, meaning in FUNCTIONS:
            column = np.array([f(square).sum() for square in squares])
            if line := straight(column, values, enough):
                words = f"the reconstruction is {line[0]:.6g} x the sum of the {mean_of} of (x - o)^2 over {over}: {meaning}"
                return Finding(verdict, target.call.name, key, words, values[1], line[0] * column[1] + line[1])
    return None


TOTALS = {
    "every entry": lambda k: k.ravel(),
    "the latents of a row": lambda k: k.sum(axis=1),
    "a latent, mean over the rows": lambda k: k.mean(axis=0),
    "a row, mean over the rows": lambda k: np.array([k.sum(axis=1).mean()]),
    "the whole batch": lambda k: np.array([k.sum()]),
    "all entries, as a mean": lambda k: np.array([k.mean()]),
}
BENDS = {
    "free-bits": (np.maximum, "max(KL, {:.6g})", "free bits; below the level its gradient is 0"),
    "capacity": (lambda k, level: np.abs(k - level), "|KL - {:.6g}|", "a capacity; the KL is pulled towards it"),
}


def bent(target: Target, sizes: Mapping[str, int], rng: np.random.Generator) -> Finding | None:
    """Return a finding if the KL enters by max(KL, level) (free bits) or |KL - level| (a capacity), else None.

    The level is found on a scan that moves all entries together; fresh draws then have to confirm formula and level.
    """
    x, o, m, s = target.draw(rng, sizes, DRAWS)
    m = m * np.linspace(0.05, 1.5, DRAWS)[:, None, None]
    scan_m = np.linspace(0, 4, 161)[:, None, None] * np.ones(m.shape[1:])

    def values_at(means, seconds):
        return target.values(*(np.repeat(a[:1], len(means), axis=0) for a in (x, o)), means, seconds)

    measured = {}                                           # where sigma is 1 -> the draws and the scan
    for reading in READINGS:
        s_near = reading.neutral + (s - 1.6) * np.linspace(0, 0.3, DRAWS)[:, None, None]
        scan_s = np.full_like(scan_m, reading.neutral)
        if reading.neutral not in measured:
            measured[reading.neutral] = values_at(m, s_near), values_at(scan_m, scan_s)
        values, scanned = measured[reading.neutral]
        enough = 10 * noise(values, target.call.single)
        for over, total in TOTALS.items():
            along = np.array([total(kl)[0] for kl in kl_of(reading, scan_m, scan_s)])
            for key, level in levels(along, scanned, enough):
                bend, form, meaning = BENDS[key]
                column = np.array([bend(total(kl), level).sum() for kl in kl_of(reading, m, s_near)])
                if line := straight(column, values, enough):
                    words = f"the KL enters as {line[0]:.6g} x the sum of {form.format(level)}, KL over {over}: {meaning}"
                    return Finding("unusual", target.call.name, key, words, values[-1], line[0] * column[-1] + line[1])
    return None


def levels(k: NDArray, y: NDArray, enough: float) -> Iterator[tuple[str, float]]:
    """Yield ("free-bits", level) if y(k) is flat and then straight, ("capacity", level) if it is a V."""
    far = k > 0.6 * k[-1]
    if line := straight(k[far], y[far], enough):
        slope, constant = line
        if abs(y[0] - y[3]) <= enough:
            yield "free-bits", rounded((y[0] - constant) / slope, 10 * enough / abs(slope))
        elif y[1] < y[0]:
            yield "capacity", rounded((y[0] - constant) / (2 * slope), 10 * enough / abs(slope))
