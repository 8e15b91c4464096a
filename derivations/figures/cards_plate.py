"""The graphical model of the flashcards, found in a small VAE.

To find the edges, each input of every step of the VAE is changed. To find the plate, data, noise and weights are changed.
"""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from derivations.engine.graph import Arrow
from derivations.figures.common import shows
from derivations.figures.nodes import HEAD
from derivations.figures.odaibo import probed, small_vae
from minivae.figures.style import BLUE, DARK, GREY, ORANGE, Drawn, explain, page, styled
from minivae.vae import VAE

NAMES = {"x": "x", "z": "z", "encoder weights": "phi", "decoder weights": "theta"}
GENERATIVE: set[Arrow] = {("z", "x"), ("theta", "x")}       # edges of p(z) p(x|z): solid lines
INFERENCE: set[Arrow] = {("x", "z"), ("phi", "z")}          # edges of q(z|x): dashed lines
IN_PLATE = {"x", "z"}


def parents(found: set[Arrow], end: str) -> set[str]:
    """Return the parents of the variable `end` in the graphical model: a subset of {x, z, phi, theta}.

    A letter is a parent if a path of arrows leads from it to `end` without another letter in between.
    """
    ahead, seen = {end}, set()
    while ahead:
        behind = {a for a, b in found if b in ahead}
        seen |= behind
        ahead = behind - set(NAMES)
    return {NAMES[name] for name in seen & set(NAMES)}


def edges(vae: VAE) -> tuple[set[Arrow], set[Arrow]]:
    """Return the edges that lead to x, and the edges that lead to z.

    The decoder's output contains the parameters of p(x|z). So every parent of the decoder's output is a parent of x.
    """
    found = probed(vae)
    return {(a, "x") for a in parents(found, "out")}, {(a, "z") for a in parents(found, "z")}


def repeated(vae: VAE) -> set[str]:
    """Return the letters of {x, z, phi, theta} that have a separate value for each data point.

    To find these letters, change each letter alone: x of the first data point, z of the first data point, all weight
    matrices of the encoder (phi), all weight matrices of the decoder (theta). Return each letter for which only the first
    data point gets a new z and a new output.
    """
    rng = np.random.default_rng(2)
    x = rng.random((4, vae.features))
    eps = vae.draw_noise(rng, 4)
    before, first = vae.forward(x, eps), np.arange(4) == 0

    def only_first(after) -> bool:
        changed = [np.any(a != b, axis=(0, 2)) for a, b in ((before.z, after.z), (before.out, after.out))]
        return all(np.array_equal(rows, first) for rows in changed)

    changed_x, changed_eps, found = x.copy(), eps.copy(), set()
    changed_x[0] += 0.5
    changed_eps[:, 0] += 0.5                                # changes z of the first data point
    found |= {"x"} if only_first(vae.forward(changed_x, eps)) else set()
    found |= {"z"} if only_first(vae.forward(x, changed_eps)) else set()
    for part, name in (("encoder", "phi"), ("decoder", "theta")):
        params = vae.params.copy()
        for weight, _ in vae.layers(part, params):
            weight += 0.1
        found |= {name} if only_first(replace(vae, params=params).forward(x, eps)) else set()
    return found


PLACES = {"phi": (1.0, 2.75), "z": (4.1, 2.75), "x": (4.1, 0.85), "theta": (7.2, 0.85)}
LETTERS = {"phi": r"$\varphi$", "z": "$z$", "x": "$x$", "theta": r"$\theta$"}
BOX = (2.55, 0.0, 3.1, 3.55)                                # the plate: left, bottom, width, height
RADIUS = 0.42


def check_model(vae: VAE) -> None:
    """Raise NotShown if the figure and the model have different edges, or if p(z) depends on theta.

    Also raise NotShown if the letters in the plate are not exactly the letters that `repeated` returns.
    """
    found = edges(vae)
    for mine, drawn, name in zip(found, (GENERATIVE, INFERENCE), ("generative", "inference")):
        missing, extra = (", ".join(f"{a} -> {b}" for a, b in sorted(ab)) for ab in (drawn - mine, mine - drawn))
        shows(not missing, f"the {name} model has the edge {missing}")
        shows(not extra, f"the {name} model has no edge {extra}")
    shows("theta" not in parents(probed(vae), "kl"), "the prior has no parameters")
    inside = repeated(vae)
    shows(inside == IN_PLATE, f"only x and z are separate for every data point; found: {', '.join(sorted(inside))}")


@styled
def plate(vae: VAE | None = None) -> Drawn:
    """cards-15: draw x and z inside a plate (a box for N repetitions), theta and phi outside. Edges of q are dashed."""
    vae = vae or small_vae()
    check_model(vae)
    generative, inference = edges(vae)
    figure = page(6.8, 4.3)
    axes = figure.subplots()
    axes.set(xlim=(0, 8.2), ylim=(-0.1, 3.65), aspect="equal")
    axes.set_axis_off()
    left, bottom, w, h = BOX
    rounded = FancyBboxPatch((left, bottom), w, h, "round,pad=0,rounding_size=0.15", fill=False, ec=GREY, lw=1.2)
    rounded.set_gid("plate")
    axes.add_patch(rounded)
    axes.text(left + w - 0.15, bottom + 0.13, "$N$", ha="right", va="bottom", size=13, color=GREY)
    for name, (x, y) in PLACES.items():
        if name in IN_PLATE:
            fill = "#e3e3e3" if name == "x" else "white"    # a grey circle is an observed variable
            axes.add_patch(Circle((x, y), RADIUS, fc=fill, ec=DARK, lw=1.3, zorder=3, gid=name))
        axes.text(x, y, LETTERS[name], ha="center", va="center", size=15, zorder=4, gid=f"letter {name}")
    for a, b in sorted(generative):
        edge(axes, a, b, BLUE, "-", 0)
    for a, b in sorted(inference):
        edge(axes, a, b, ORANGE, (0, (4, 2.2)), -0.55 if a == "x" else 0)
    write = lambda x, y, text, **look: axes.text(x, y, text, ha="center", va="center", **look)  # noqa: E731
    write(4.72, 1.8, r"$p_\theta(x|z)$", color=BLUE, size=12)
    write(3.1, 1.8, r"$q_\varphi(z|x)$", color=ORANGE, size=12)
    note = {"color": GREY, "size": 9.5}
    write(4.95, 2.75, "latent", **note)
    write(3.12, 0.85, "observed", **note)
    write(1.0, 2.3, "weights of\nthe encoder", **note, linespacing=1.3)
    write(7.2, 0.4, "weights of\nthe decoder", **note, linespacing=1.3)
    explain(
        figure,
        "Each data point has its own x and z; all share θ and φ",
        "Solid: the model p(z) p(x|z). Dashed: q(z|x), which approximates the posterior. We found the edges by changing "
        "numbers of the implemented model, and the plate by changing x or z of one data point: no other point changed. "
        "The prior N(0, I) has no parameters, so no edge leads from θ to z.",
    )
    return figure, (
        "Graphical model: inside a plate labelled N the latent z and the observed x, outside theta (decoder) and phi "
        f"(encoder). Solid arrows, p: {listed(generative)}. Dashed arrows, q: {listed(inference)}. No arrow from theta to z."
    )


def listed(edges: set[Arrow]) -> str:
    """Return the arrows as text: "theta to x, z to x"."""
    return ", ".join(f"{a} to {b}" for a, b in sorted(edges))


def edge(axes: Axes, start: str, end: str, colour: str, dashes, bend: float) -> None:
    """Draw an arrow between two letters."""
    look = {"arrowstyle": HEAD, "color": colour, "lw": 1.6, "ls": dashes, "joinstyle": "miter", "zorder": 2}
    ends = {"posA": PLACES[start], "posB": PLACES[end], "shrinkA": 24, "shrinkB": 24}
    curve = f"arc3,rad={bend}"
    axes.add_patch(FancyArrowPatch(**ends, connectionstyle=curve, gid=f"{start}->{end}", **look))
