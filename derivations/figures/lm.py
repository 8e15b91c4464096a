"""LM's figures: lm-3 compares ln p(x) with the printed integral, and lm-11 shows a map from a Gaussian to a ring."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle
from numpy.typing import NDArray

from derivations.engine.numerics import complex_step, expect, log_density
from derivations.engine.worlds import linear_elbo, linear_log_evidence, linear_posterior
from derivations.figures.common import point, shows
from minivae.figures.style import BLUE, DARK, GREY, HALO, ORANGE, Drawn, at_right, explain, minus, page, styled
from minivae.gaussian import kl_diagonal

# lm-3: the error of a logarithm inside the integral

BIAS_S, BIAS_X = 0.5, 1.0


def three_lines() -> dict[str, NDArray]:
    """Return the curves of figure lm-3 for w from -2 to 2. The model is x = w z + s eps with s = 1/2; the datum is x = 1."""
    w = np.arange(-200, 201) / 100
    mu, sigma = linear_posterior(w, BIAS_S, BIAS_X)
    each = w[:, None]                                       # (n, 1): quadrature needs one more axis
    printed = expect(lambda z: log_density(BIAS_X, each * z, BIAS_S), 0 * each, 1 + 0 * each)
    elbo = linear_elbo(each, BIAS_S, BIAS_X, mu[:, None], sigma[:, None])
    return {
        "w": w,
        "evidence": linear_log_evidence(w, BIAS_S, BIAS_X),
        "printed": printed[:, 0],
        "elbo": elbo[:, 0],
        "kl": kl_diagonal(0.0, 0.0, mu, 2 * np.log(sigma)),  # KL(p(z) || p(z|x))
    }


@styled
def bias(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """lm-3: draw three curves: ln p(x), the integral of ln p(x|z) p(z) that the source prints, and the ELBO.

    The ELBO is computed with q = p(z|x), so it is equal to ln p(x).
    """
    w, evidence, printed, elbo, kl = (drawn or three_lines()).values()
    gap, at_0, at_2 = evidence - printed, np.flatnonzero(w == 0), np.flatnonzero(w == 2)
    shows(len(at_0) == len(at_2) == 1, "w = 0 and w = 2 are among the points")
    shows(np.allclose(gap, kl, rtol=1e-9, atol=1e-9), "the gap is KL( p(z) || p(z|x) ) for every w")
    shows(np.allclose(elbo, evidence, rtol=1e-9), "the ELBO with q = p(z|x) is ln p(x)")
    shows(abs(gap[at_0[0]]) < 1e-9 and np.all(np.delete(gap, at_0) > 1e-5), "the gap is 0 at w = 0 only")
    best = abs(w[np.argmax(evidence)])
    shows(abs(best - 0.75**0.5) < 0.01, "ln p(x) is largest at w^2 = x^2 - s^2")
    shows(w[np.argmax(printed)] == 0, "the printed integral is largest at w = 0")
    true, false = evidence[at_2[0]], printed[at_2[0]]
    shows(abs(true + 1.760045) < 1e-6 and abs(false + 10.225791) < 1e-6, "at w = 2 both sides are -1.76 and -10.23")
    figure = page(6.8, 5.0)
    axes = figure.subplots()
    axes.fill_between(w, evidence, printed, color=BLUE, alpha=0.13, lw=0, label="gap")
    axes.plot(w, printed, color=ORANGE, lw=2, label="printed")
    axes.plot(w, evidence, color=BLUE, lw=4.5, alpha=0.55, solid_capstyle="butt", label="evidence")
    axes.plot(w, elbo, color=DARK, lw=1.3, ls=(0, (4, 3)), label="elbo")
    axes.set(xlim=(-2, 2), ylim=(-11, 0), xlabel="$w$", ylabel="nats", xticks=range(-2, 3))
    for y in (true, false):
        point(axes, 2, y, ms=5)
        at_right(axes, y, minus(f"{y:.2f}"), DARK)
    label = {"size": 12, "path_effects": HALO}
    axes.text(-1.88, -0.75, r"$\ln\,p(x)$", color=BLUE, va="center", **label)
    axes.text(-1.3, -0.78, r"and, dashed, the ELBO at $q(z) = p(z|x)$", size=10.5, va="center")
    axes.text(0, -4.6, r"printed:  $\int \ln\,p(x|z)\; p(z)\, dz$", color=ORANGE, ha="center", **label)
    gap_is = "gap =\n" r"KL$(p(z)\,\Vert\,p(z|x))$"
    axes.text(1.52, -3.4, gap_is, color=BLUE, size=11, ha="center", va="center", linespacing=1.4)
    explain(
        figure,
        "The logarithm inside the integral gives less than ln p(x), unless w = 0",
        f"x = wz + sε with z ~ N(0, 1), s = {BIAS_S:g}, x = {BIAS_X:g}. ln p(x) is largest at w = ±{best:.2f}, the printed "
        f"integral at w = 0, where x does not depend on z. At w = 2 this integral is {true - false:.2f} nats too low.",
    )
    return figure, (
        "Line chart against the weight w of a linear decoder. ln p(x) and the ELBO with q = p(z|x) are one curve; the "
        f"printed integral touches this curve at w = 0 and is lower elsewhere: {false:.2f}, not {true:.2f} nats, at w = 2. "
        "The gap is KL(p(z) || p(z|x))."
    )


# lm-11: a Gaussian in the plane, and the ring to which g maps it

RHO = np.arange(1, 1201) / 200                              # radii in the latent space, up to 6
COLOURS = LinearSegmentedColormap.from_list("radius", ["#e8a33d", "#c0504d", "#6a2c70", "#1b1b3a"])


def to_ring(z: NDArray) -> NDArray:
    """Return g(z) = z / 10 + z / |z|, for z (..., 2)."""
    return z / 10 + z / np.sqrt((z * z).sum(axis=-1, keepdims=True))


def slope_area(rho: NDArray) -> NDArray:
    """Return |det dg/dz| at |z| = rho.

    g multiplies lengths along the radius by 1/10, and lengths at right angles to the radius by 1/10 + 1/rho.
    """
    return (0.1 + 1 / rho) / 10


def ring(count: int = 1500) -> dict[str, NDArray]:
    """Return the numbers of lm-11: samples z, their images g(z), |det dg/dz|, and the density of the radius |g(z)|."""
    z = np.random.default_rng(11).standard_normal((count, 2))
    area = slope_area(RHO)
    in_the_plane = np.exp(-(RHO**2) / 2) / (2 * np.pi) / area
    return {"z": z, "g": to_ring(z), "area": area, "density": 2 * np.pi * (1 + RHO / 10) * in_the_plane}


def check_ring(z: NDArray, g: NDArray, area: NDArray, density: NDArray) -> None:
    """Raise NotShown if the figure's text is false for these points, or if determinant, density or samples are wrong."""
    rho, radius, count = np.linalg.norm(z, axis=1), np.linalg.norm(g, axis=1), len(z)
    shows(np.all(radius > 1), "no point lies inside the circle")
    across = z[:, 0] * g[:, 1] - z[:, 1] * g[:, 0]
    shows(np.allclose(across, 0, atol=1e-12) and np.all((z * g).sum(axis=1) > 0), "every point keeps its direction")
    shows(np.allclose(radius, 1 + rho / 10, rtol=1e-12), "the new radius is 1 + |z| / 10")
    angle = np.sqrt(2) * np.arange(len(RHO))
    at = RHO[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    axis = [np.array([1.0, 0]), np.array([0, 1.0])]
    (a, b), (c, d) = (complex_step(lambda t: to_ring(at + t * e), 0.0).T for e in axis)  # noqa: B023
    shows(np.allclose(area, a * d - b * c, rtol=1e-9), "areas grow by the determinant of the Jacobian")
    shows(abs(density.sum() * (RHO[1] - RHO[0]) / 10 - 1) < 2e-5, "the density of the radius has mass 1")
    of_z = np.exp(-(RHO**2) / 2)                            # density of z at |z| = rho, times 2 pi
    shows(np.allclose(density * area, of_z * (1 + RHO / 10)), "the density is that of z divided by the determinant")
    mean, sd = 1 + (np.pi / 2) ** 0.5 / 10, (2 - np.pi / 2) ** 0.5 / 10
    shows(abs(radius.mean() - mean) < 5 * sd / count**0.5, f"the mean radius is {mean:.5f}")
    ranks = (np.arange(count) + 0.5) / count
    farthest = abs(1 - np.exp(-((10 * (np.sort(radius) - 1)) ** 2) / 2) - ranks).max()
    shows(farthest < 1.95 / count**0.5, "(radius - 1) 10 is Rayleigh distributed")


@styled
def doersch_ring(drawn: dict[str, NDArray] | None = None) -> Drawn:
    """lm-11: plot samples z ~ N(0, I) in the plane, and the points g(z)."""
    drawn = drawn or ring()
    check_ring(**drawn)
    z, g, _, density = drawn.values()
    rho = np.linalg.norm(z, axis=1)
    figure = page(8.4, 5.0)
    left, right = figure.subplots(1, 2)
    for axes, points, end, step in ((left, z, 4.2, 2), (right, g, 1.47, 1)):
        axes.scatter(*points.T, c=rho, cmap=COLOURS, s=5, lw=0, vmin=0, vmax=3.5, zorder=3)
        ticks = np.arange(-end // step + 1, end // step + 1) * step
        axes.set(xlim=(-end, end), ylim=(-end, end), xticks=ticks, yticks=ticks, aspect="equal")
    for r in (1, 2, 3):
        circle(left, r, f"{r}")
        circle(right, 1 + r / 10)
    circle(right, 1, colour=DARK, lw=1.3, gid="edge")
    left.set(xlabel="$z_1$", ylabel="$z_2$")
    right.set(xlabel="$g_1(z)$", ylabel="$g_2(z)$")
    left.set_title(r"$z \sim N(0, I)$, coloured by $|z|$")
    right.set_title(r"$g(z) = z/10 + z/|z|$, same colours")
    radius_inside(right, g, density)
    mean = np.linalg.norm(g, axis=1).mean()
    explain(
        figure,
        "One simple map turns a Gaussian into a ring, with no point in the middle",
        "Each point keeps its direction and its colour, and |z| becomes 1 + |z|/10: the circles of radius 1, 2 and 3 become "
        "circles of radius 1.1, 1.2 and 1.3, and every distance from the middle is above 1. Inside the ring: a histogram of "
        "the distances, and their exact density, computed from the density of z and the Jacobian determinant "
        "(0.1 + 1/|z|)/10.",
    )
    return figure, (
        f"Scatter charts of {len(z)} points: z from a Gaussian in the plane, and z/10 + z/|z|, a ring around an empty disc "
        f"of radius 1. Mean distance of the ring's points from 0: {mean:.3f} (expected 1.125). A histogram of the distances."
    )


def circle(axes: Axes, r: float, text: str = "", colour=GREY, lw=0.7, **look) -> None:
    """Draw a circle around 0, with a text at its upper left."""
    axes.add_patch(Circle((0, 0), r, fill=False, ec=colour, lw=lw, zorder=4, **look))
    axes.text(-r / 2**0.5, r / 2**0.5, text, ha="center", va="center", size=10, path_effects=HALO, zorder=5)


def radius_inside(axes: Axes, g: NDArray, density: NDArray) -> None:
    """Plot the distances of the points from 0: a histogram and the exact density. Use the empty space inside the ring."""
    inside = axes.inset_axes((-0.55, -0.3, 1.1, 0.62), transform=axes.transData)
    radius = np.linalg.norm(g, axis=1)
    inside.hist(radius, np.arange(1, 1.5, 0.025), density=True, color="#d9d9d9", ec="white", lw=0.6)
    inside.plot(1 + RHO / 10, density, color=DARK, lw=1.6, label="density")
    inside.set(xlim=(0.94, 1.45), ylim=(0, 7.2), yticks=(), xticks=(1, 1.2, 1.4), xlabel="distance from the middle")
    inside.spines["left"].set_visible(False)
    inside.patch.set_alpha(0)
