"""Checks of the arguments that several figures share: the latent size, the image shape, the labels."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import findfont, get_font
from numpy.typing import NDArray

from minivae import checks
from minivae.data import Dataset
from minivae.figures.style import CLASSES, Shape
from minivae.vae import VAE

Names = Mapping[int, str] | None
LONGEST = 16                                                # largest length of a class name in a figure, in characters
SYMBOLS = "os^DvPX*<>"                                      # markers of the classes, if a name cannot be a marker


class Class(NamedTuple):
    """Colour, symbol and name of a class: the same in every figure."""

    colour: str
    symbol: str
    name: str



def latent_is(vae: VAE, rule: str, allowed: bool) -> None:
    """Refuse a model whose number of latent dimensions does not suit the figure."""
    if not allowed:
        remedy = "Use latent_line for one dimension, latent_map and manifold for two, traversals for more."
        checks.refuse("vae", f"a model with {rule}", str(vae.latent), remedy)


def shape_of(vae: VAE, image_shape: Shape) -> Shape:
    """Return the image shape (H, W); refuse it if H * W is not D."""
    side = next(n for n in range(math.isqrt(vae.features), 0, -1) if vae.features % n == 0)
    shape = checks.sizes("image_shape", image_shape, f"image_shape=({side}, {vae.features // side})")
    if len(shape) != 2 or math.prod(shape) != vae.features:
        rule = f"(height, width) with height * width = {vae.features}"
        checks.refuse("image_shape", rule, repr(image_shape), "It is the shape of one data point as an image.")
    return shape


def classes_of(
    labels: NDArray | None, rows: int, classes: Names = None, longest: int = LONGEST
) -> tuple[NDArray | None, dict[int, Class]]:
    """Return labels (rows,) as integers, and {label: Class} for all classes in order; without labels, (None, {}).

    `classes` gives the names of all classes of the data set. With it, a class has the same colour in every figure, even if
    `labels` has only some of the classes. Without it, the classes are those in `labels`. If all class numbers are from
    0 to 9, the number of a class determines its colour. Otherwise, the position of the class in the list of classes
    determines the colour.
    """
    if labels is None:
        return None, {}
    labels, texts = checks.class_numbers("labels", labels, rows)
    labels = labels.astype(int)
    if classes is None:
        classes = dict(enumerate(texts)) if texts else {int(label): str(label) for label in np.unique(labels)}
    named = dict(zip(classes, shown([str(name) for name in classes.values()], longest)))
    single = all(0 <= label < 10 for label in classes)
    ranks = {label: label if single else rank for rank, label in enumerate(named)}
    every = {label: Class(CLASSES[ranks[label] % 10], SYMBOLS[ranks[label] % 10], name) for label, name in named.items()}
    missing = sorted(set(np.unique(labels).tolist()) - set(every))
    if missing:
        checks.refuse("classes", "names of all labels", f"none for {missing[0]}", "Leave classes out, or name every label.")
    return labels, every


def class_names(data: Dataset) -> Names:
    """Return {label: name} for all classes of the data set, in order; return None if the data have no labels."""
    labels = [y for y in (data.train_y, data.test_y) if y is not None]
    if not labels:
        return None
    if getattr(data, "classes", None) is not None:
        return dict(enumerate(data.classes))
    return {int(label): str(label) for label in np.unique(np.concatenate(labels))}


def shown(names: list[str], longest: int = LONGEST) -> list[str]:
    """Return short, different names for the figure: at most `longest` characters, and only characters of the font.

    If a name is blank, or the font lacks one of its characters, the whole name is replaced: #1 for the first name, #2 for
    the second, ... A $ gets a backslash before it, because matplotlib would read it as the start of a formula.
    """
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    ends = [name if len(name) <= longest else f"{name[: longest - 6]}\u2026{name[-5:]}" for name in names]
    clear = [end if end.strip() and all(ord(sign) in known for sign in end) else f"#{i + 1}" for i, end in enumerate(ends)]
    several = [f"{i + 1}: {end[: longest - 5]}" if clear.count(end) > 1 else end for i, end in enumerate(clear)]
    return [name.replace("$", r"\$") for name in several]
