"""Odaibo's two figures: the tangent of the logarithm, and the schematic of the VAE."""

import numpy as np
from matplotlib.path import Path

from derivations.engine.graph import Arrow, arrows, reaches
from derivations.figures.common import shows
from derivations.figures.nodes import Node, draw_arrow, draw_node
from minivae.figures.style import BLUE, DARK, GREY, HALO, ORANGE, Drawn, explain, page, styled
from minivae.vae import VAE

# Figure 1


def curves() -> dict[str, np.ndarray]:
    """What Figure 1 draws: t in (0, 4], with t = 1 exactly among its values."""
    t = np.unique(np.append(np.geomspace(0.001, 4, 4001), 1.0))
    return {"t": t, "log": np.log(t), "tangent": t - 1, "log2": np.log2(t)}


@styled
def log_and_tangent(drawn: dict[str, np.ndarray] | None = None) -> Drawn:
    """Figure 1: log t <= t - 1, and that this needs the natural logarithm. `drawn` may replace `curves()`."""
    t, log, tangent, log2 = (drawn or curves()).values()
    one, gap = t == 1, log - tangent
    slope = (log[one] - log[np.flatnonzero(one) - 1]) / (1 - t[np.flatnonzero(one) - 1])
    shows(one.sum() == 1 and np.all(gap[one] == 0), "log t and t - 1 touch at t = 1")
    shows(np.all(gap[~one] < 0), "log t lies below t - 1 everywhere else")
    shows(abs(slope - 1).max() < 0.01, "t - 1 is the tangent there")
    between = (t > 1) & (t < 2)
    shows(np.all(log2[between] > tangent[between]), "log2 t lies above t - 1 on (1, 2)")
    shows(np.all(log2[t > 2] < tangent[t > 2]), "log2 t lies below t - 1 from 2 on")
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
    axes.set(xlim=(0, 4), ylim=(low, 3.05), xlabel="$t$", xticks=range(5), yticks=range(-2, 4))
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
        "The tangent at t = 1 lies above the natural logarithm everywhere else. It does not lie above the "
        f"logarithm to base 2 (dashed): log₂ 1.5 = {middle:.3f}, the tangent is at 0.5.",
    )
    return figure, (
        "Line chart for t from 0 to 4. The natural logarithm log t lies below its tangent t - 1, the gap between them "
        "shaded; they touch at t = 1, where both are 0, and nowhere else. A dashed curve, the logarithm to base 2, "
        f"crosses above the tangent between t = 1 and t = 2: at t = 1.5 it is {middle:.6f}, the tangent 0.5."
    )


# Figure 2

NODES = {                                                   # by their names in the code
    "x": Node((0.7, 2.5), "$x$", "data", 13),
    "encoder_hs": Node((2.35, 2.5), "encoder\n" r"$q_\varphi(z|x)$", "step"),
    "mu": Node((4.6, 3.1), r"$\mu$", "value", 13),
    "log_var": Node((4.6, 1.9), r"$\log\,\sigma^2$", "value"),
    "eps": Node((6.4, 3.95), r"$\varepsilon$", "noise", 13),
    "z": Node((6.4, 2.5), "$z$", "value", 13),
    "decoder_hs": Node((8.15, 2.5), "decoder\n" r"$p_\theta(x|z)$", "step"),
    "out": Node((9.85, 2.5), "logits", "value"),
    "kl": Node((4.6, 0.55), r"$\mathrm{KL}(q(z|x)\,\Vert\,p(z))$", "term"),
    "log_px_z": Node((9.85, 0.55), r"$-\log\,p(x|z)$", "term"),
    "loss": Node((7.22, 0.55), "loss\n= sum", "sum"),
}  # fmt: skip
BENT = {                                                    # the two that would run through something else
    ("mu", "kl"): Path([(4.26, 2.9), (3.55, 2.4), (3.5, 1.5), (3.85, 0.89)], [Path.MOVETO] + 3 * [Path.CURVE4]),
    ("x", "log_px_z"): Path([(0.7, 2.16), (0.7, -0.15), (9.85, -0.15), (9.85, 0.21)]),
}  # fmt: skip
WEIGHTS = {"encoder weights": "encoder_hs", "decoder weights": "decoder_hs"}
GRAPH: set[Arrow] = {
    ("x", "encoder_hs"), ("encoder_hs", "mu"), ("encoder_hs", "log_var"), ("mu", "z"), ("log_var", "z"),
    ("eps", "z"), ("z", "decoder_hs"), ("decoder_hs", "out"),
    ("mu", "kl"), ("log_var", "kl"), ("x", "log_px_z"), ("out", "log_px_z"), ("kl", "loss"), ("log_px_z", "loss"),
    *WEIGHTS.items(),
}  # fmt: skip
SAID = {
    "encoder_hs": "encoder",
    "decoder_hs": "decoder",
    "log_var": "log sigma^2",
    "out": "logits",
    "kl": "KL",
    "log_px_z": "-log p(x|z)",
}


def small_vae() -> VAE:
    """A model with random weights and biases: at the initial ones, some arrows would carry nothing."""
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, features=6, latent=2, hidden=(5,), dtype=np.float64)
    vae.params.flat[...] = rng.normal(0, 0.6, vae.params.flat.shape)
    return vae


def probed(vae: VAE) -> set[Arrow]:
    """The arrows of a model, found by changing its numbers one at a time."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (4, vae.features)).astype(float)
    return arrows(vae, x, vae.draw_noise(rng, len(x), samples=2), rng)


@styled
def schematic(vae: VAE | None = None) -> Drawn:
    """Figure 2: the VAE, every arrow of it found in the implemented model by `derivations.engine.graph`."""
    found = probed(vae or small_vae())
    missing, extra = GRAPH - found, found - GRAPH
    shows(not any(b == "eps" for _, b in found), "eps is a leaf")
    back = any(reaches(found, "z", name) for name in ("mu", "log_var"))
    shows(not back, "nothing leads from z back to mu or sigma")
    shows(not missing, f"{', '.join(f'{a} acts on {b}' for a, b in sorted(missing))}")
    shows(not extra, f"{', '.join(f'{a} does not act on {b}' for a, b in sorted(extra))}")
    figure = page(10.4, 5.4)
    axes = figure.subplots()
    axes.set(xlim=(0.2, 11.05), ylim=(-0.3, 4.4), aspect="equal")
    axes.set_axis_off()
    patches = {name: draw_node(axes, name, node) for name, node in NODES.items()}
    for arrow in sorted(found):
        if arrow[0] not in WEIGHTS:
            draw_arrow(axes, NODES, patches, *arrow, BENT.get(arrow))
    for name, letter in (("encoder_hs", r"\varphi"), ("decoder_hs", r"\theta")):
        x, y = NODES[name].place
        axes.text(x, y + 0.52, f"weights ${letter}$", ha="center", va="bottom", size=9, color=GREY)
    note = {"ha": "center", "size": 9, "color": GREY, "va": "center"}
    axes.text(0.7, 3.02, "data", **note)
    axes.text(6.92, 3.95, r"$\varepsilon \sim N(0, I)$: noise, a leaf", **(note | {"ha": "left"}))
    axes.text(6.4, 1.98, r"$z = \mu + \sigma\varepsilon$", **(note | {"color": DARK, "size": 10.5}))
    axes.text(9.85, 3.02, "parameters of $p(x|z)$", **note)
    explain(
        figure,
        "The VAE: nothing leads from z back to μ or σ, and the noise is a leaf",
        f"Each of the {len(found) - len(WEIGHTS)} arrows was found in the implemented model: what it starts from was "
        "changed alone, and what it points at changed. Encoder φ and decoder θ as in Kingma and Welling; Odaibo's "
        "letters are the other way round.",
    )
    return figure, alt_of(found)


def alt_of(found: set[Arrow]) -> str:
    """The schematic in words, arrow by arrow."""
    named = lambda name: SAID.get(name, name)  # noqa: E731
    order = {name: i for i, name in enumerate(NODES)}
    drawn = sorted((order[a], order[b], a, b) for a, b in found if a in order)
    lead = [f"{named(a)} to {named(b)}" for *_, a, b in drawn]
    return (
        f"Schematic of the variational autoencoder. Arrows: {', '.join(lead)}. z = mu + sigma eps with eps from N(0, I), "
        "which no arrow enters. The logits are the parameters of p(x|z). The loss is the sum of KL(q(z|x) || p(z)) and "
        "-log p(x|z). No arrow leads from z back to mu or log sigma^2."
    )
