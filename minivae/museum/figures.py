"""The figure of the museum: a row for each bug, a column for each layer of checks."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from minivae.figures.style import BLUE, DARK, GREY, ORANGE, Drawn, explain, page, styled
from minivae.museum import tour
from minivae.museum.exhibits import ROOMS, bugs, room
from minivae.museum.layers import layers

HEADS = {
    "objective": "in the objective", "gradient": "in the gradient", "bounds": "in the bounds",
    "training": "in the training loop", "data": "in the data",
}  # fmt: skip
MARKS = {True: {"color": ORANGE, "marker": "D", "s": 62}, False: {"color": BLUE, "marker": "o", "s": 46}}


@styled
def matrix(found: dict[str, dict[str, str | None]]) -> Drawn:
    """Draw a table of bugs and layers of checks.

    Each row is a bug, each column is a layer. A disc means that this layer and other layers notice the bug. A diamond means
    that only this layer notices the bug. Below the table, two lines count the bugs and the diamonds in each column.
    """
    names, alone = list(layers()), tour.alone(found)
    counts = {name: sum(bool(messages[name]) for messages in found.values()) for name in names}
    figure = page(8.4, 12.4)
    axes = figure.subplots()
    y = 0.0
    for head in ROOMS:
        axes.text(-0.6, y, HEADS[head], ha="right", va="center", weight="bold", size=9, color=DARK)
        for bug in bugs():
            if room(bug) == head:
                y += 1
                draw_row(axes, y, bug.name, [name for name in names if found[bug.name][name]], names)
        y += 1.4
    for i, name in enumerate(names):
        axes.text(i, y, f"{counts[name]}", ha="center", va="center", weight="bold", color=DARK)
        axes.text(i, y + 0.9, f"{len(alone[name])}", ha="center", va="center", color=ORANGE)
    axes.text(-0.6, y, "bugs noticed", ha="right", va="center", size=9, color=DARK)
    axes.text(-0.6, y + 0.9, "noticed by no other layer", ha="right", va="center", size=9, color=ORANGE)
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(y + 1.6, -0.8))
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(names)), names, size=10, color=DARK)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    most = max(names, key=counts.get)
    all_of = "Every bug is noticed" if all(any(found[bug.name].values()) for bug in bugs()) else "Not every bug is noticed"
    finding = f"{all_of}; the best single layer, {most}, notices {counts[most]} of {len(bugs())}"
    caption = "Disc: this layer of checks notices the bug. Diamond: only this layer does. "
    caption += "`minivae museum` lists the bugs and what each layer checks."
    explain(figure, finding, caption)
    each = ", ".join(f"{name} {counts[name]}" for name in names)
    return figure, f"Matrix of {len(bugs())} bugs against {len(names)} layers of checks. {finding}. Noticed: {each}."


def draw_row(axes: Axes, y: float, name: str, noticing: Sequence[str], names: Sequence[str]) -> None:
    """Draw one bug: a thin line, its name, and a mark for each layer of checks that notices the bug."""
    axes.axhline(y, xmin=0, xmax=1, color=GREY, lw=0.3, alpha=0.6, zorder=0)
    axes.text(-0.6, y, name, ha="right", va="center", size=8.5, color=DARK)
    for layer in noticing:
        axes.scatter(names.index(layer), y, zorder=2, **MARKS[len(noticing) == 1])

