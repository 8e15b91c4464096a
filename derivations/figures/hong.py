"""The expression in brackets in Hong's KL for one latent dimension: with the correct sign of log sigma, and as printed."""

import numpy as np
from numpy.typing import NDArray

from derivations.engine.numerics import kl_normal
from derivations.figures.common import LEADER, point, shows
from minivae.figures.style import BLUE, DARK, GREY, HALO, ORANGE, Drawn, explain, minus, page, styled
from minivae.gaussian import kl_standard_normal


def brackets() -> dict[str, NDArray]:
    """Return the curves of hong-10 at mu = 0: the expression with -log sigma, and the printed expression with +log sigma."""
    sigma = np.arange(1, 501) / 200
    half = (sigma**2 - 1) / 2
    return {"sigma": sigma, "right": -np.log(sigma) + half, "printed": np.log(sigma) + half}


@styled
def sign(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """hong-10: draw the KL, which is least at sigma = 1, and the printed expression, which has no minimum."""
    sigma, right, printed = (drawn or brackets()).values()
    one, tenth = sigma == 1, sigma == 0.1
    shows(one.sum() == tenth.sum() == 1, "sigma = 1 and sigma = 0.1 are among the points")
    exact = kl_normal(np.zeros((len(sigma), 1)), sigma[:, None], 0.0, 1.0)[:, 0]
    shows(np.allclose(right, exact, rtol=1e-9, atol=1e-9), "the correct bracket is the KL")
    implemented = kl_standard_normal(0.0, 2 * np.log(sigma))
    shows(np.allclose(right, implemented, rtol=1e-12, atol=1e-12), "the correct bracket is minivae's KL")
    shows(right[one][0] == 0 and np.all(right[~one] > 0), "the correct bracket is 0 at sigma = 1 and positive elsewhere")
    shows(np.all(np.diff(printed) > 0), "the printed bracket always falls as sigma falls")
    below = np.all(printed[sigma < 1] < np.log(sigma[sigma < 1]))
    shows(below, "the printed bracket is below log sigma for sigma < 1, so it has no minimum")
    good, bad = right[tenth][0], printed[tenth][0]
    near = abs(good - 1.807585) < 1e-6 and abs(bad + 2.797585) < 1e-6
    shows(near, "at sigma = 0.1 the brackets are 1.807585 and -2.797585")
    shows(np.allclose(printed - right, 2 * np.log(sigma), rtol=1e-9), "only the sign of log sigma differs")
    figure = page(6.8, 5.0)
    axes = figure.subplots()
    axes.axhline(0, color=GREY, lw=0.6, zorder=1)
    axes.plot([0.1, 0.1], [bad, good], color=GREY, lw=0.8, zorder=1)
    axes.plot(sigma, printed, color=ORANGE, lw=2, label="printed")
    axes.plot(sigma, right, color=BLUE, lw=2, label="right")
    axes.set(xlim=(0, 2.5), ylim=(-4.4, 3.6), xlabel=r"$\sigma$", ylabel="nats", yticks=range(-4, 4))
    for y, colour in ((good, BLUE), (bad, ORANGE)):
        point(axes, 0.1, y, colour)
        axes.text(0.15, y, minus(f"{y:.3f}"), color=colour, size=10.5, va="center", path_effects=HALO)
    point(axes, 1, 0)
    axes.annotate(r"minimum 0 at $\sigma = 1$", (1, 0), (1.08, -0.75), color=DARK, size=10.5, arrowprops=LEADER)
    label = {"size": 12, "path_effects": HALO}
    axes.text(0.36, 1.15, r"KL:  $-\log\,\sigma + \frac{1}{2}(\sigma^2 - 1)$", color=BLUE, **label)
    axes.text(0.46, -1.9, r"printed:  $+\log\,\sigma + \frac{1}{2}(\sigma^2 - 1)$", color=ORANGE, **label)
    explain(
        figure,
        "As printed, Hong's bracket has no minimum: σ would go to 0",
        "The curves are the term of one latent dimension in the loss, at μ = 0. With a minus before log σ the term is "
        "KL(N(0, σ²) ‖ N(0, 1)), which is never negative. With a plus it goes to −∞ as σ goes to 0. Dots mark both curves "
        "at σ = 0.1, and the minimum.",
    )
    return figure, (
        "Line chart against sigma, at mu = 0. With a minus before log sigma the bracket is the KL, with minimum 0 at sigma "
        f"= 1. As printed, with a plus, it falls to minus infinity as sigma goes to 0: it is {bad:.3f} at 0.1, and the KL "
        f"is {good:.3f}."
    )
