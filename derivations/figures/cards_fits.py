"""Figures of Gaussians fitted to a mixture: the fit with the lowest forward KL, and fits with the lowest reverse KL."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from derivations.cards.fits import fit_forward, fit_reverse, kl_forward, kl_reverse, log_mixture
from derivations.engine.numerics import normal
from derivations.figures.common import shows
from minivae.figures.style import GREY, HALO, ORANGE, Drawn, explain, page, styled

APART, NEAR = 3.0, 0.8                                      # p = N(-a, 1)/2 + N(a, 1)/2; with a = 0.8, p has one peak
STEP = 0.02
Z = STEP * np.arange(-1000, 1001)
LN_2 = np.log(2)


def mixture(apart: float) -> NDArray:
    """Return p = N(-apart, 1) / 2 + N(apart, 1) / 2 on the grid Z."""
    return np.exp(log_mixture(Z, apart))


def area(density: NDArray, within: float = np.inf) -> float:
    """Return the area under a curve between -within and within, by the trapezoid rule on the grid Z."""
    f = density[abs(Z) < within + STEP / 2]
    return float((f[1:] + f[:-1]).sum() * STEP / 2)


def moments(density: NDArray) -> tuple[float, float]:
    """Return mean and standard deviation of a density that is given on the grid Z."""
    mean = area(Z * density)
    return mean, area((Z - mean) ** 2 * density) ** 0.5


def divergence(a: NDArray, b: NDArray) -> float:
    """Return KL(a || b) of two densities on the grid Z, without the points at which a or b underflows to 0."""
    positive = (a > 0) & (b > 0)
    return area(np.where(positive, a * np.log(np.where(positive, a, 1) / np.where(positive, b, 1)), 0))


def is_least(value: float, kl, apart: float) -> bool:
    """Return True if `value` is at most 1e-6 above the least KL of all Gaussians on a grid of (mu, sigma)."""
    mu, sigma = np.linspace(-4, 4, 41)[:, None], np.geomspace(0.4, 5, 41)
    return value <= kl(apart, mu, sigma).min() + 1e-6


def is_near(values, expected, tolerance: float = 1e-5) -> bool:
    """Return True if every number in `values` differs from the expected number by at most the tolerance."""
    return np.allclose(values, expected, rtol=0, atol=tolerance)


# cards-23


def covering() -> dict[str, NDArray]:
    """Return the curves of cards-23: p, and the Gaussian q with the least KL(p || q)."""
    return {"p": mixture(APART), "q": normal(Z, *fit_forward(APART))}


def check_forward(p: NDArray, q: NDArray, kl: float, valley: tuple[float, float]) -> None:
    """Check that q has the least KL(p || q). Also check that the mean and variance of q are those of p.

    A quarter of the mass of q must lie in the valley, |z| < 1.
    """
    shows(is_near(p, mixture(APART)), "p has its modes at -3 and 3")
    shows(is_near(valley, (0.02272, 0.24817)), "q has a quarter of its mass in the valley, p hardly any")
    shows(is_least(kl, kl_forward, APART), "no Gaussian has a smaller KL(p || q)")
    shows(is_near(kl, 0.461995), "KL(p || q) = 0.461995")
    shows(is_near(moments(q), moments(p), 1e-4), "p and q have the same mean and variance")
    shows(is_near(q, normal(Z, 0, 10**0.5)), "q is N(0, 10)")


@styled
def forward(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """cards-23: draw p, and the Gaussian q with the least KL(p || q). q covers both modes of p, and the valley between."""
    p, q = (drawn or covering()).values()
    (mean, sd), kl, valley = moments(q), divergence(p, q), (area(p, 1), area(q, 1))
    check_forward(p, q, kl, valley)
    figure = page(6.8, 4.6)
    axes = figure.subplots()
    hill(axes, p)
    axes.plot(Z, q, color=ORANGE, lw=2, label="q")
    axes.fill_between(Z, q, where=abs(Z) < 1 + STEP / 2, color=ORANGE, alpha=0.25, lw=0, label="valley")
    axes.set(xlim=(-9, 9), ylim=(0, 0.225), xlabel="$z$", yticks=(0, 0.1, 0.2), ylabel="density")
    label = {"size": 12, "path_effects": HALO}
    axes.text(4.15, 0.17, "$p$", color=GREY, **label)
    axes.text(5.6, 0.045, f"$q = N({abs(mean):.0f}, {sd**2:.0f})$", color=ORANGE, **label)
    words = f"in the valley:\n{100 * valley[1]:.1f} % of $q$\n{100 * valley[0]:.1f} % of $p$"
    axes.text(0, 0.142, words, ha="center", va="bottom", size=10.5, linespacing=1.4)
    explain(
        figure,
        "Forward KL: q covers both modes and the valley between them",
        "p = ½N(−3, 1) + ½N(3, 1). Among all Gaussians, the one with the mean and the variance of p has the smallest "
        f"KL(p ‖ q), {kl:.3f} nats: q must not be small where p is large, so it wastes mass in the valley, "
        "−1 < z < 1.",
    )
    return figure, (
        "Density p with two equal modes at -3 and 3, and the Gaussian q with the least KL(p || q), N(0, 10): a broad bell. "
        f"{100 * valley[1]:.1f} % of q and {100 * valley[0]:.1f} % of p lie between -1 and 1. The KL is {kl:.3f} nats."
    )


def hill(axes: Axes, p: NDArray) -> None:
    """Draw the density p to which q is fitted."""
    axes.fill_between(Z, p, color="#d9d9d9", lw=0, label="p")
    axes.plot(Z, p, color=GREY, lw=1.2)


# cards-24


def on_one_mode() -> dict[str, NDArray]:
    """Return the curves of cards-24: p with distant bells and its two best fits, and p with near bells and its best fit."""
    right, left = fit_reverse(APART, APART), fit_reverse(APART, -APART)
    return {
        "p": mixture(APART),
        "right": normal(Z, *right),
        "left": normal(Z, *left),
        "near_p": mixture(NEAR),
        "near_q": normal(Z, *fit_reverse(NEAR, NEAR)),
    }


def check_reverse(p: NDArray, right: NDArray, left: NDArray, near_p: NDArray, near_q: NDArray) -> None:
    """Check that all three fits have the least KL(q || p). If the bells are near, the fit must cover both bells."""
    shows(is_near(p, mixture(APART)) and is_near(near_p, mixture(NEAR)), "the bells of p lie at +-3, and at +-0.8")
    shows(is_near((area(right, 1), area(p, 1)), (0.02620, 0.02272)), "2.6 % of q and 2.3 % of p lie in the valley")
    kls = [divergence(q, p) for q in (right, left)]
    shows(all(is_least(kl, kl_reverse, APART) for kl in kls), "no Gaussian has a smaller KL(q || p)")
    shows(is_near(kls, 0.688769), "both fits have KL(q || p) = 0.688769, just below log 2")
    shows(is_near(left, right[::-1], 1e-8), "the fit on the left is the mirror image")
    shows(is_near(right, normal(Z, 2.984306, 1.023369)), "the fit on the right is N(2.984306, 1.023369^2)")
    shows(is_least(divergence(near_q, near_p), kl_reverse, NEAR), "with near bells, no Gaussian has a smaller KL(q || p)")
    shows(is_near(near_q, normal(Z, 0, 1.273423)), "with near bells the fit is N(0, 1.273423^2)")


@styled
def reverse(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """cards-24: for two mixtures p, draw the Gaussians q with the least KL(q || p).

    In the left panel, the bells of p are distant. Two Gaussians q are equally good, and each covers only one bell. In the
    right panel, the bells are near, and one q covers both bells.
    """
    drawn = drawn or on_one_mode()
    check_reverse(**drawn)
    p, right, left, near_p, near_q = drawn.values()
    (mu, sigma), kl = moments(right), divergence(right, p)
    figure = page(8.4, 4.5)
    wide, narrow = figure.subplots(1, 2, sharey=True, width_ratios=(17, 7.2))     # z has the same scale in both panels
    hill(wide, p)
    wide.plot(Z, left, color=ORANGE, lw=2, ls=(0, (5, 2.5)), label="left")
    wide.plot(Z, right, color=ORANGE, lw=2, label="right")
    wide.set(xlim=(-8.5, 8.5), xticks=range(-8, 9, 2), xlabel="$z$")
    wide.set(ylim=(0, 0.43), yticks=(0, 0.1, 0.2, 0.3, 0.4), ylabel="density")
    hill(narrow, near_p)
    narrow.plot(Z, near_q, color=ORANGE, lw=2, label="near q")
    narrow.set(xlim=(-3.6, 3.6), xticks=(-2, 0, 2), xlabel="$z$")
    label = {"size": 11, "color": ORANGE, "va": "center", "linespacing": 1.4}
    wide.text(4.25, 0.3, f"$q$ =\n$N({mu:.3f},\\,{sigma:.3f}^2)$", **label)
    wide.text(-4.25, 0.3, "its mirror image\nis as good", ha="right", **label)
    (_, near_sigma), near_kl = moments(near_q), divergence(near_q, near_p)
    narrow.text(0, 0.35, f"$q = N(0,\\,{near_sigma:.3f}^2)$", ha="center", **label)
    for axes, x in ((wide, 3), (wide, -3), (narrow, 0)):
        axes.text(x, 0.07, "$p$", color=GREY, size=12, ha="center")
    wide.set_title(f"bells at ±3: KL = {kl:.3f} nats")
    narrow.set_title(f"at ±{NEAR}: KL = {near_kl:.3f} nats")
    explain(
        figure,
        "Reverse KL: if the modes are far apart, q covers only one of them",
        "p = ½N(−a, 1) + ½N(a, 1). With a = 3 there are two optima, each with a KL(q ‖ p) just below log 2 = "
        f"{LN_2:.3f}, since q leaves out half of p. q must not be large where p is small: {100 * area(right, 1):.1f} % of q "
        f"and {100 * area(p, 1):.1f} % of p lie between −1 and 1. With a = 0.8 there is no valley, and q covers both bells.",
    )
    return figure, (
        f"Densities. Left: p has modes at -3 and 3; two Gaussians have the least KL(q || p), {kl:.3f} nats: N({mu:.3f}, "
        f"{sigma:.3f}^2) and its mirror image. Right: with bells at -0.8 and 0.8 the best, N(0, {near_sigma:.3f}^2), covers "
        f"both: {near_kl:.3f} nats."
    )
