"""Figure for the flashcards on the reparameterisation trick: where the gradient stops, and how much its estimates vary."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from derivations.engine.numerics import complex_step, noise
from derivations.figures.common import point, shows
from derivations.figures.nodes import Node, draw_arrow, draw_legend, draw_node
from minivae.figures.style import BLUE, DARK, GREY, ORANGE, Drawn, explain, page, styled
from minivae.gaussian import log_normal_backward, reparameterize, reparameterize_backward

MU, LOG_VAR = 1.0, 0.0                                      # sigma = 1
DRAWS = 500
TRUTH = 2 * MU                                              # d/dmu E[z^2], where E[z^2] = mu^2 + sigma^2


def drawn_z(mu, log_var, eps: NDArray) -> dict[str, NDArray]:
    """Return a constant z, as if a generator had drawn z from N(mu, sigma^2). The derivatives of z in mu, sigma are 0."""
    return {"z": reparameterize(MU, LOG_VAR, eps)}


def computed_z(mu, log_var, eps: NDArray) -> dict[str, NDArray]:
    """Return the noise eps, and z computed from mu, sigma and eps. Only eps is random."""
    return {"eps": eps, "z": reparameterize(mu, log_var, eps)}


def estimates(eps: NDArray) -> dict[str, NDArray]:
    """Return three estimates of d/dmu E f(z) with f(z) = z^2, for each of the n numbers in eps. Each estimate uses one z."""
    mu, log_var = np.full_like(eps, MU), np.full_like(eps, LOG_VAR)
    z = reparameterize(mu, log_var, eps)
    _, d_log_q, _ = log_normal_backward(np.ones((1, len(eps))), z[None, :, None], mu[:, None], log_var[:, None])
    d_mu, _ = reparameterize_backward(2 * z[None], mu, log_var, eps[None])      # f'(z) = 2 z
    return {
        "constant z": complex_step(lambda mu: drawn_z(mu, LOG_VAR, eps)["z"] ** 2, MU),
        "score": z**2 * d_log_q[:, 0],
        "path": d_mu,
    }


def behind(sampler, eps: NDArray) -> dict[str, set[str]]:
    """Return {name of a sampler's result: the parameters, mu or log_var, that change the result if the noise is fixed}."""
    slopes = {
        "mu": lambda name: complex_step(lambda mu: sampler(mu, LOG_VAR, eps)[name], MU),
        "log_var": lambda name: complex_step(lambda log_var: sampler(MU, log_var, eps)[name], LOG_VAR),
    }
    return {name: {of for of, slope in slopes.items() if np.any(slope(name))} for name in sampler(MU, LOG_VAR, eps)}


def check_arrows(eps: NDArray, left, right, backward) -> tuple[set[str], set[str]]:
    """Check the arrows of both schematics. Raise NotShown if an arrow is wrong.

    Return two sets of parameters, for the left and the right schematic: the parameters that get a gradient through z.
    """
    same = np.array_equal(*(sampler(MU, LOG_VAR, eps)["z"] for sampler in (left, right)))
    shows(same, "both sides draw the same z")
    stopped, made = behind(left, eps)["z"], behind(right, eps)
    shows(not stopped, f"a gradient stops at a drawn z: it reaches {', '.join(sorted(stopped))}")
    shows(made["z"] == {"mu", "log_var"}, "a gradient reaches mu and sigma through a computed z")
    shows(not made["eps"], "no parameter changes the noise")
    mu, log_var = np.full_like(eps, MU), np.full_like(eps, LOG_VAR)
    found = dict(zip(("mu", "log_var", "eps"), backward(np.ones((1, len(eps))), mu, log_var, eps[None])))
    shows(set(found) == made["z"], "the implemented backward has gradients for mu and sigma and none for eps")
    slopes = (
        complex_step(lambda mu: right(mu, LOG_VAR, eps)["z"], MU),
        complex_step(lambda log_var: right(MU, log_var, eps)["z"], LOG_VAR),
    )
    for name, slope in zip(("mu", "log_var"), slopes):
        shows(np.allclose(found[name], slope, rtol=1e-12), f"the implemented gradient in {name} is correct")
    return stopped, set(found)


def check_spread(eps: NDArray, estimate) -> tuple[dict[str, NDArray], dict[str, tuple[float, float]]]:
    """Check the three estimators. Return the values at `eps` and the exact mean and standard deviation of each."""
    nodes, weights = noise(1, 12)                           # exact for polynomials up to degree 23
    at_nodes, exact = estimate(nodes[:, 0]), {}
    drawn = estimate(eps)
    for name, mean, variance in (("constant z", 0, 0), ("score", TRUTH, 30), ("path", TRUTH, 4)):
        away = at_nodes[name] - weights @ at_nodes[name]
        exact[name] = weights @ at_nodes[name], (weights @ away**2) ** 0.5
        shows(abs(exact[name][0] - mean) < 1e-9, f"the {name} estimate has mean {mean:g}")
        shows(abs(exact[name][1] ** 2 - variance) < 1e-9, f"the {name} estimate has variance {variance:g}")
        fourth, n = weights @ away**4, len(eps)
        shows(abs(drawn[name].mean() - mean) <= 5 * (variance / n) ** 0.5, f"the drawn {name} estimates have mean {mean:g}")
        error = 5 * ((fourth - variance**2) / n) ** 0.5
        shows(abs(drawn[name].var() - variance) <= error, f"the drawn {name} estimates have variance {variance:g}")
    return drawn, exact


@styled
def trick(*, left=drawn_z, right=computed_z, backward=reparameterize_backward, estimate=estimates) -> Drawn:
    """cards-30: show that a gradient stops at a sampled z but passes through a computed z; plot three estimators."""
    eps = np.random.default_rng(29).standard_normal(DRAWS)
    reached = check_arrows(eps, left, right, backward)
    drawn, exact = check_spread(eps, estimate)
    figure = page(8.4, 6.4)
    panels = figure.subplot_mosaic([["left", "right"], ["spread", "spread"]], height_ratios=(1.05, 1))
    for name, names in zip(("left", "right"), reached):
        schematic(panels[name], names, name == "right")
    strips(panels["spread"], drawn, exact)
    explain(
        figure,
        "The gradient stops at a z drawn from q, and passes through a z computed from noise",
        f"Below: {DRAWS} estimates of dE[z²]/dμ = 2 at μ = σ = 1, each from one z. Bars: exact mean ± standard deviation. "
        "The score-function estimate f(z) d log q(z)/dμ needs no gradient of z. Its mean is correct, but it varies more.",
    )
    return figure, (
        "Schematics: the gradient goes from f(z) back to a drawn z and stops; through z = mu + sigma eps it reaches mu and "
        f"log sigma^2. Below, {DRAWS} estimates of the gradient 2: a constant z gives 0; variance of the score function "
        f"{exact['score'][1] ** 2:.3g}, reparameterised {exact['path'][1] ** 2:.3g}."
    )


def schematic(axes: Axes, reached: set[str], computed: bool) -> None:
    """Draw dark arrows for values. Draw orange arrows for the gradient: from f(z) to z, and from z to each of `reached`."""
    nodes = {
        "mu": Node((0.6, 2.45), r"$\mu$", "value", 13),
        "log_var": Node((0.6, 0.95), r"$\log\,\sigma^2$", "value"),
        "z": Node((3.1, 1.7), "$z$", "value" if computed else "noise", 13),
        "f": Node((5.2, 1.7), "$f(z)$", "value", 12),
    } | ({"eps": Node((3.1, 3.0), r"$\varepsilon$", "noise", 13)} if computed else {})
    axes.set(xlim=(0.1, 5.8), ylim=(0.55, 3.4), aspect="equal")
    axes.set_title("$z$ computed from noise" if computed else "$z$ drawn from $q$")
    axes.set_axis_off()
    patches = {name: draw_node(axes, name, node) for name, node in nodes.items()}
    for start, end in [(name, "z") for name in nodes if name not in ("z", "f")] + [("z", "f")]:
        places = nodes[start].place, nodes[end].place
        draw_arrow(axes, patches, start, end, places, both=start in reached | {"z"})
    text = {"ha": "center", "va": "center", "size": 10.5}
    if computed:
        axes.text(3.1, 1.18, r"$= \mu + \sigma\varepsilon$", **text)
        axes.text(3.65, 3.0, r"$\sim N(0, 1)$", color=GREY, **text | {"ha": "left"})
    else:
        axes.text(3.1, 1.18, r"$\sim N(\mu, \sigma^2)$", color=GREY, **text)
        bar = [2.62, 2.4, np.nan, 2.4, 2.4], [1.7, 1.7, np.nan, 1.52, 1.88]
        axes.plot(*bar, color=ORANGE, lw=2.6, solid_capstyle="butt", label="stop")
        axes.text(2.3, 1.7, "stops here", color=ORANGE, **text | {"ha": "right"})
        draw_legend(axes, 3.9, 3.2)


ROWS = {                                                    # {estimator: (height of its dots, name in the figure, colour)}
    "constant z": (2, "$z$ as a constant", GREY),
    "score": (1, "score function", BLUE),
    "path": (0, "reparameterised", ORANGE),
}
FIRST, LOW, HIGH = -25, -9, 49                              # left end of the estimators' names; the two ends of the x axis


def strips(axes: Axes, drawn: dict[str, NDArray], exact: dict[str, tuple[float, float]]) -> None:
    """Draw every estimate as a dot. Draw a bar for each estimator, one standard deviation to each side of the mean."""
    ends = min(values.min() for values in drawn.values()), max(values.max() for values in drawn.values())
    shows(LOW < ends[0] and ends[1] < HIGH, "every estimate lies within the axis")
    axes.plot([TRUTH, TRUTH], [-0.55, 2.7], color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=1)
    axes.text(TRUTH + 0.5, 2.55, f"truth: {TRUTH:g}", va="center", size=10, color=GREY)
    scatter = (0.618034 * np.arange(DRAWS) % 1 - 0.5) * 0.42
    for name, (y, text, colour) in ROWS.items():
        mean, deviation = exact[name]
        axes.plot(drawn[name], y + scatter, ".", color=colour, ms=4, alpha=0.5, mew=0, label=name)
        axes.plot([mean - deviation, mean + deviation], [y - 0.34] * 2, color=DARK, lw=2, label=f"{name} bar")
        point(axes, mean, y - 0.34, ms=5)
        numbers = "always 0" if deviation == 0 else f"mean {mean:.0f}, variance {deviation**2:.0f}"
        axes.text(FIRST, y + 0.12, text, color=colour, va="center", size=11)
        axes.text(FIRST, y - 0.16, numbers, va="center", size=10)
    axes.set(xlim=(FIRST, HIGH), ylim=(-0.55, 2.7), yticks=(), xticks=range(0, 41, 10))
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_bounds(LOW, HIGH)
    axes.set_xlabel(r"estimate of $dE[z^2]/d\mu$", x=0.61)
