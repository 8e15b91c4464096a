"""Odaibo's two figures: the tangent of the logarithm, and the schematic of the VAE."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path

from derivations.engine.graph import Arrow, arrows, reaches
from derivations.figures.common import shows
from derivations.figures.nodes import Node, draw_arrow, draw_bent, draw_legend, draw_node
from minivae.figures.style import BLUE, DARK, GREY, HALO, ORANGE, Drawn, explain, page, styled
from minivae.vae import VAE

# Figure 1


def curves() -> dict[str, np.ndarray]:
    """Return the curves of Figure 1 for values of t in (0, 4]. One of these values is exactly 1."""
    t = np.unique(np.append(np.geomspace(0.001, 4, 4001), 1.0))
    return {"t": t, "log": np.log(t), "tangent": t - 1, "log2": np.log2(t)}


@styled
def log_and_tangent(drawn: dict[str, np.ndarray] | None = None) -> Drawn:
    """Figure 1: show that log t is at most t - 1, but log2 t can be larger than t - 1. `drawn` may replace `curves()`."""
    t, log, tangent, log2 = (drawn or curves()).values()
    one, gap = t == 1, log - tangent
    slope = (log[one] - log[np.flatnonzero(one) - 1]) / (1 - t[np.flatnonzero(one) - 1])
    shows(one.sum() == 1 and np.all(gap[one] == 0), "log t and t - 1 touch at t = 1")
    shows(np.all(gap[~one] < 0), "log t lies below t - 1 everywhere else")
    shows(abs(slope - 1).max() < 0.01, "t - 1 is the tangent at t = 1")
    between = (t > 1) & (t < 2)
    shows(np.all(log2[between] > tangent[between]), "log2 t lies above t - 1 on (1, 2)")
    shows(np.all(log2[t > 2] < tangent[t > 2]), "log2 t lies below t - 1 for t > 2")
    middle = float(np.interp(1.5, t, log2))
    shows(abs(middle - 0.584963) < 1e-5, "log2 1.5 = 0.585, above 0.5")
    figure = page(6.8, 5.0)
    axes = figure.subplots()
    low = -2.6
    axes.fill_between(t, log, tangent, color=BLUE, alpha=0.13, lw=0, label="gap")
    axes.axhline(0, color=GREY, lw=0.6, zorder=1)
    axes.plot(t, log2, color=GREY, lw=1.3, ls=(0, (5, 3)), label="log2")
    axes.plot(t, tangent, color=ORANGE, lw=2, label="tangent")
    axes.plot(t, log, color=BLUE, lw=2, label="log")
    axes.plot(1, 0, "o", color=DARK, ms=6, zorder=6)
    axes.set(xlim=(0, 4), ylim=(low, 3.05), xlabel="$t$", ylabel="value", xticks=range(5), yticks=range(-2, 4))
    leader = {"arrowstyle": "-", "color": GREY, "lw": 0.8, "shrinkB": 4}
    axes.annotate("equal at $t=1$ only", (1, 0), (1.12, -0.62), color=DARK, size=10, arrowprops=leader)
    label = {"size": 12, "path_effects": HALO}
    axes.text(2.62, 1.95, "$t-1$", color=ORANGE, ha="right", **label)
    axes.text(3.35, 1.02, r"$\log\,t$", color=BLUE, va="top", **label)
    axes.text(3.3, 1.46, r"$\log_2 t$", color=GREY, va="center", ha="center", size=11)
    axes.text(3.5, 2.17, "gap", color=BLUE, va="center", ha="center", size=11)
    explain(
        figure,
        "log t ≤ t − 1, with equality at t = 1 only",
        "The line t − 1 touches the natural logarithm at t = 1 and lies above it everywhere else. It does not lie above "
        f"the logarithm to base 2 (dashed): at t = 1.5 this logarithm is {middle:.3f}, the line 0.5.",
    )
    return figure, (
        "Line chart: log t lies below its tangent t - 1 for t from 0 to 4, and touches it at t = 1 only. "
        f"The logarithm to base 2, dashed, crosses the tangent: at t = 1.5 it is {middle:.3f}, the tangent 0.5."
    )


# Figure 2

NODES = {                                                   # {name of a variable in VAE.forward: node}
    "x": Node((0.7, 2.5), "$x$", "data", 13),
    "encoder_hs": Node((2.35, 2.5), "encoder\n" r"$q_\varphi(z|x)$", "step"),
    "mu": Node((4.05, 3.2), r"$\mu$", "value", 13),
    "log_var": Node((5.2, 1.8), r"$\log\,\sigma^2$", "value"),
    "eps": Node((6.9, 3.95), r"$\varepsilon$", "noise", 13),
    "z": Node((6.9, 2.5), "$z$", "value", 13),
    "decoder_hs": Node((8.6, 2.5), "decoder\n" r"$p_\theta(x|z)$", "step"),
    "out": Node((10.25, 2.5), "logits", "value"),
    "kl": Node((4.6, 0.45), r"$\mathrm{KL}(q(z|x)\,\Vert\,p(z))$", "term"),
    "log_px_z": Node((10.25, 0.45), r"$-\log\,p(x|z)$", "term"),
    "loss": Node((7.4, 0.45), "loss\n= sum", "sum"),
}  # fmt: skip
UPRIGHT = {("mu", "kl"): 4.05, ("log_var", "kl"): 5.2}      # {vertical arrow: its horizontal position}
BENT = Path([(0.7, 2.16), (0.7, -0.25), (10.25, -0.25), (10.25, 0.11)])         # x -> log_px_z, below all nodes
WEIGHTS = {"encoder weights": "encoder_hs", "decoder weights": "decoder_hs"}
GRAPH: set[Arrow] = {
    ("x", "encoder_hs"), ("encoder_hs", "mu"), ("encoder_hs", "log_var"), ("mu", "z"), ("log_var", "z"),
    ("eps", "z"), ("z", "decoder_hs"), ("decoder_hs", "out"),
    ("mu", "kl"), ("log_var", "kl"), ("x", "log_px_z"), ("out", "log_px_z"), ("kl", "loss"), ("log_px_z", "loss"),
    *WEIGHTS.items(),
}  # fmt: skip


def small_vae() -> VAE:
    """Return a model with 6 features, 2 latent coordinates and one hidden layer, with random weights and biases."""
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, features=6, latent=2, hidden=(5,), dtype=np.float64)
    vae.params.flat[...] = rng.normal(0, 0.6, vae.params.flat.shape)
    return vae


def probed(vae: VAE) -> set[Arrow]:
    """Return the arrows of a model. To find them, the inputs of every step are changed one by one."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (4, vae.features)).astype(float)
    return arrows(vae, x, vae.draw_noise(rng, len(x), samples=2), rng)


def carrying(found: set[Arrow]) -> set[Arrow]:
    """Return the arrows a -> b that carry gradients: a weight acts on `a`, and `b` is the loss or acts on the loss."""
    return {
        (a, b) for a, b in found - set(WEIGHTS.items())
        if any(reaches(found, weights, a) for weights in WEIGHTS) and (b == "loss" or reaches(found, b, "loss"))
    }  # fmt: skip


def check_gradient(vae: VAE) -> None:
    """Raise NotShown if a weight matrix or a bias of the encoder or decoder has a gradient with only zeros."""
    rng = np.random.default_rng(1)
    gradient = vae.gradient(rng.integers(0, 2, (4, vae.features)).astype(float), vae.draw_noise(rng, 4))
    for part in ("encoder", "decoder"):
        reached = all(np.any(array) for name, array in gradient.items() if name.startswith(part))
        shows(reached, f"the gradient reaches the weights of the {part}")


@styled
def schematic(vae: VAE | None = None) -> Drawn:
    """Figure 2: draw the VAE. `derivations.engine.graph` finds every arrow in the implemented model."""
    vae = vae or small_vae()
    found = probed(vae)
    missing, extra = GRAPH - found, found - GRAPH
    shows(not any(b == "eps" for _, b in found), "nothing acts on eps")
    back = any(reaches(found, "z", name) for name in ("mu", "log_var"))
    shows(not back, "nothing leads from z back to mu or sigma")
    shows(not missing, f"{', '.join(f'{a} acts on {b}' for a, b in sorted(missing))}")
    shows(not extra, f"{', '.join(f'{a} does not act on {b}' for a, b in sorted(extra))}")
    check_gradient(vae)
    backward = carrying(found)
    figure = page(10.8, 5.4)
    axes = figure.subplots()
    axes.set(xlim=(0.2, 11.45), ylim=(-0.4, 4.35), aspect="equal")
    axes.set_axis_off()
    patches = {name: draw_node(axes, name, node) for name, node in NODES.items()}
    for a, b in sorted(found - set(WEIGHTS.items())):
        if (a, b) == ("x", "log_px_z"):
            draw_bent(axes, a, b, BENT)
            continue
        places = tuple((UPRIGHT.get((a, b), NODES[name].place[0]), NODES[name].place[1]) for name in (a, b))
        draw_arrow(axes, patches, a, b, places, both=(a, b) in backward, over=(a, b) == ("mu", "kl"))
    label(axes)
    draw_legend(axes, 0.3, 4.2)
    explain(
        figure,
        "The VAE: values flow forward to the loss; gradients flow back along the same arrows, except to x and ε",
        f"Each of the {len(found) - len(WEIGHTS)} dark arrows was found in the implemented model: changing its start alone "
        "changed its end. φ is for the encoder and θ for the decoder, as in Kingma and Welling; Odaibo swaps these letters.",
    )
    return figure, (
        f"Schematic of the VAE: {len(found) - len(WEIGHTS)} dark arrows carry values forward from x through encoder, mu, "
        "log sigma^2, z = mu + sigma eps, decoder and logits to KL, -log p(x|z) and their sum, the loss; "
        f"{len(backward)} orange ones carry gradients back, none to x or eps."
    )


def label(axes: Axes) -> None:
    """Write labels beside the nodes."""
    for name, letter in (("encoder_hs", r"\varphi"), ("decoder_hs", r"\theta")):
        x, y = NODES[name].place
        axes.text(x, y + 0.52, f"weights ${letter}$", ha="center", va="bottom", size=9, color=GREY)
        axes.text(x, y - 0.72, rf"$\partial\,$loss$/\partial {letter}$", ha="center", va="center", size=10, color=ORANGE)
    note = {"ha": "center", "size": 9, "color": GREY, "va": "center"}
    axes.text(0.7, 3.02, "data", **note)
    axes.text(7.42, 3.95, r"$\varepsilon \sim N(0, I)$: noise", **(note | {"ha": "left"}))
    axes.text(6.95, 1.98, r"$z = \mu + \sigma\varepsilon$", **(note | {"color": DARK, "size": 10.5}))
    axes.text(10.25, 3.02, "parameters of $p(x|z)$", **note)
