"""LM's figure of the loss: reconstruction and KL of one latent dimension, and the minimum of their sum."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from derivations.engine.numerics import expect, log_density
from derivations.engine.worlds import linear_elbo, linear_log_evidence, linear_posterior
from derivations.figures.common import point, shows
from minivae.figures.style import GREY, HALO, ORANGE, Drawn, explain, page, styled
from minivae.gaussian import kl_diagonal, kl_standard_normal

W, S, X = 1.0, 0.5, 2.0                                     # x = w z + s eps
STEP = 0.02                                                 # spacing of the grid in mu and in sigma
BETAS = {0.25: "1/4", 1.0: "1", 4.0: "4"}
AROUND = 1e-4 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
LEVELS = (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16)              # nats
SHADES = LinearSegmentedColormap.from_list("loss", ["#9cc3e2", "#dceaf5", "#ffffff"])


def reconstruction(mu: NDArray, sigma: NDArray) -> NDArray:
    """Return E_q[-ln p(x|z)], by quadrature over z."""
    mu, sigma = np.broadcast_arrays(mu, sigma)
    return expect(lambda z: -log_density(X, W * z, S), mu[..., None], sigma[..., None])[..., 0]


def kl_to_prior(mu: NDArray, sigma: NDArray) -> NDArray:
    """Return KL( N(mu, sigma^2) || N(0, 1) )."""
    return kl_standard_normal(*np.broadcast_arrays(mu, 2 * np.log(sigma)))


def terms() -> dict[str, NDArray]:
    """Return the numbers of lm-43: both terms of the loss, one row for each sigma, one column for each mu.

    "best" and "path" contain points (mu, sigma) at which reconstruction + beta KL is least. "best" has one point for each
    beta in BETAS, and "path" has one point for each of 400 values of beta. Each point is the posterior of a model with
    beta s^2 instead of s^2.
    """
    mu, sigma = STEP * np.arange(-50, 151), STEP * np.arange(1, 101)[:, None]
    least = lambda beta: np.stack(linear_posterior(W, S * np.sqrt(beta), X), axis=1)  # noqa: E731
    return {
        "mu": mu,
        "sigma": sigma,
        "reconstruction": reconstruction(mu, sigma),
        "kl": kl_to_prior(mu, sigma),
        "best": least(np.array(list(BETAS))),
        "path": least(np.geomspace(1e-4, 1e4, 400)),
    }


def check_sum(mu: NDArray, sigma: NDArray, total: NDArray) -> None:
    """Raise NotShown if `total`, the sum of reconstruction and KL, is not -ELBO."""
    coarse = [values[::9, ::9, None] for values in np.broadcast_arrays(mu, sigma)]  # quadrature at all points is slow
    elbo = linear_elbo(W, S, X, *coarse)[..., 0]
    shows(np.allclose(total[::9, ::9], -elbo, rtol=1e-9), "the sum is -ELBO")
    m, s = linear_posterior(W, S, X)
    to_posterior = kl_diagonal(*np.broadcast_arrays(mu, 2 * np.log(sigma)), m, 2 * np.log(s))
    exact = to_posterior - linear_log_evidence(W, S, X)
    shows(np.allclose(total, exact, rtol=1e-9), "the sum is -ln p(x) + KL(q || p(z|x)) everywhere")


def lowest(mu: NDArray, sigma: NDArray, values: NDArray) -> NDArray:
    """Return the grid point (mu, sigma) at which `values` is least."""
    row, column = np.unravel_index(values.argmin(), values.shape)
    return np.array([mu[column], sigma[row, 0]])


def check_minima(mu: NDArray, sigma: NDArray, fit: NDArray, kl: NDArray, best: NDArray, path: NDArray) -> None:
    """Raise NotShown if a minimum is not where it is drawn."""
    near = lambda place, values: np.all(abs(lowest(mu, sigma, values) - place) < 1.01 * STEP)  # noqa: E731
    shows(near(linear_posterior(W, S, X), fit + kl), "the sum is least at the posterior")
    shows(near((X / W, 0), fit), "the reconstruction is best at mu = x / w, sigma = 0")
    shows(near((0, 1), kl) and abs(kl.min()) < 1e-12, "the KL has its minimum, 0, at mu = 0, sigma = 1")
    shows(np.all(np.diff(kl_to_prior(*best.T)) < 0), "the KL at the minimum falls with beta")
    shows(np.allclose(best[1], linear_posterior(W, S, X)), "the minimum at beta = 1 is the posterior")
    for beta, place in zip(BETAS, best):
        here, *around = reconstruction(*(place + AROUND).T) + beta * kl_to_prior(*(place + AROUND).T)
        least = near(place, fit + beta * kl) and here < min(around)
        shows(least, f"the loss with beta = {beta:g} is least at the drawn point")
        shows(np.hypot(*(path - place).T).min() < STEP, f"the path of minima passes the minimum for beta = {beta:g}")
    shows(np.all(np.diff(kl_to_prior(*path.T)) < 0), "the KL falls along the path")
    ends = np.allclose(path[[0, -1]], [(X / W, 0), (0, 1)], atol=0.02)
    shows(ends, "the path leads from the best reconstruction to the prior")


@styled
def loss(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """lm-43: for one latent dimension and one x, draw reconstruction, KL, their sum (the loss), and one minimum per beta."""
    drawn = drawn or terms()
    mu, sigma, fit, kl, best, path = drawn.values()
    check_sum(mu, sigma, fit + kl)
    check_minima(*drawn.values())
    figure = page(8.4, 5.9)
    panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    places, names = ((X / W, 0), (0, 1), best[1]), ("$x/w$", "prior", "posterior")
    titles = (
        r"reconstruction  $E_q[-\ln\,p(x|z)]$", r"+  KL$(q(z|x)\,\Vert\,p(z))$",
        "=  loss, the negative ELBO", r"KL where reconstruction + $\beta\,$KL is least",
    )  # fmt: skip
    for axes, title, values, place, end in zip(panels, titles, (fit, kl, fit + kl, kl), (*places, (0, 1)), LABEL_ENDS):
        axes.set(xlim=(-1, 3), ylim=(0, 2), xticks=range(-1, 4), yticks=range(3), aspect="equal", title=title)
        shade(axes, mu, sigma, values, place, end)
    for axes, place, name, values in zip(panels, places, names, (fit, kl, fit + kl)):
        point(axes, *place, ORANGE)
        axes.annotate(f"{name}: {values.min():.2f}", place, (0, 7), ha="center", va="bottom", **NAME)
    panels[3].plot(*path.T, color=ORANGE, lw=2, label="path")
    kls = kl_to_prior(*best.T)
    for place, text, value in zip(best, BETAS.values(), kls):
        point(panels[3], *place, ORANGE)
        panels[3].annotate(rf"$\beta$ = {text}: {value:.2f}", place, (8, 3), **NAME)
    for axes in panels:
        axes.set(xlabel=r"$\mu$" if axes in panels[2:] else "")
        axes.set_ylabel(r"$\sigma$" if axes in panels[::2] else "", rotation=0)
    explain(
        figure,
        "The reconstruction is best at σ = 0, the KL at the prior; β sets the balance",
        f"One latent dimension, q = N(μ, σ²), one x. Model: x = wz + sε with w = {W:g}, s = {S:g}, x = {X:g}. Contours in "
        "nats. The sum has its minimum, −ln p(x), at the exact posterior. A weight β moves the minimum along the line, to "
        "the posterior of a model with βs² in place of s²; a larger β means a smaller KL.",
    )
    return figure, alt_of(fit + kl, best, kls)


def alt_of(total: NDArray, best: NDArray, kls: NDArray) -> str:
    """Return a description of the four panels."""
    falling = ", ".join(f"{kl:.3f} for {beta}" for kl, beta in zip(kls, BETAS.values()))
    return (
        "Contour charts over mu and sigma. The reconstruction is least at mu = 2, sigma = 0, the KL at mu = 0, sigma = 1, "
        f"their sum at the posterior, mu = {best[1][0]:.3f}, sigma = {best[1][1]:.3f}: {total.min():.2f}. "
        f"The KL at the minimum, by beta: {falling}."
    )


# In each of the four panels, the labels of the contours are along a line from the minimum to a point of LABEL_ENDS.
LABEL_ENDS = ((-1, 1.7), (3, 0.2), (-1, 1.7), (3, 1.9))
NAME = {"textcoords": "offset points", "size": 10, "path_effects": HALO, "zorder": 7}


def shade(axes: Axes, mu: NDArray, sigma: NDArray, values: NDArray, lowest, end) -> None:
    """Draw contours in nats, with labels along a line from the point `lowest` to `end`; lower values are darker."""
    lines = [level for level in LEVELS if level > values.min()]
    shades = SHADES(np.linspace(0, 1, len(lines) + 1))
    axes.contourf(mu, sigma.ravel(), values, (-1, *lines, 1e3), colors=shades)
    contours = axes.contour(mu, sigma.ravel(), values, lines, colors=GREY, linewidths=0.6)
    places = np.linspace(lowest, end, 400)
    row, column = np.round(places[:, 1] / STEP - 1).astype(int), np.round((places[:, 0] + 1) / STEP).astype(int)
    on_line = values[np.maximum(row, 0), column]
    labelled = [level for level in lines if level < on_line.max() and level > on_line[60]]
    manual = [places[np.argmax(on_line >= level)] for level in labelled]
    axes.clabel(contours, fontsize=8, fmt="%g", inline_spacing=3, manual=manual)
