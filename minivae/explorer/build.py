"""Build the explorer: one HTML file with the decoder, and with held-out data and their codes, ELBO and log p(x).

The browser decodes images and computes posteriors, in float64: see page.js. For more than two latent dimensions, the file
has a lower bound of log p(x), and no posterior. Arrays are written as base64 of little-endian numbers.
"""

import base64
import html
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minivae.data import Dataset
from minivae.evidence import exact_log_px, lower_bounds
from minivae.evidence.gaps import expected
from minivae.explorer.evidence import Evidence
from minivae.figures.arguments import class_names, classes_of
from minivae.figures.style import ink_range
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Gaussian, log_binomials
from minivae.vae import VAE

ROWS = 500                                                  # without the option --rows: at most 500 held-out data points
WEIGHTS = 100                                               # importance weights for the bound of each data point
# {background colour in page.css: contrast}. A class label on the latent map has at least this contrast to the background.
PAPERS = {"#ffffff": 4.5, "#16191d": 7}


def evidence_for(vae: VAE, x: NDArray) -> Evidence:
    """Return the exact log p(x) for one or two latent dimensions; for three or more, return lower bounds of log p(x)."""
    if vae.latent <= 2:
        exact = exact_log_px(vae, x)
        return Evidence(exact.log_px, exact.error, exact.box)
    bounds = lower_bounds(vae, x, WEIGHTS, np.random.default_rng(0))
    return Evidence(bounds.iw_bound, bounds.iw_bound_se, None, WEIGHTS, bounds.elbo, bounds.elbo_se)


def build(vae: VAE, data: Dataset, title: str, evidence: Evidence | None = None, step: int = 1) -> str:
    """Return the text of the HTML file.

    Parameters
    ----------
    vae : VAE
        A model with noise, not a plain autoencoder. Its likelihood must accept the data.
    data : Dataset
        The HTML file contains all held-out data points of `data`. For a smaller file, pass `data.few(500)`, for example: it
        has at most 500 held-out data points.
    title : str
        Name of the run.
    evidence : Evidence, optional
        log p(x) of the held-out data, if already computed. By default, `build` computes log p(x), which takes most of the
        time.
    step : int
        The held-out data points of `data` are the rows 0, step, 2 step, ... of the whole held-out set. The explorer shows
        this rule.
    """
    vae.check_noise()
    title = title.encode("utf-8", "replace").decode()       # the name of a directory can be invalid UTF-8
    page = content(vae, data, evidence or evidence_for(vae, data.test_x)) | {"title": title, "step": step}
    facts = json.dumps(page, separators=(",", ":")).replace("<", "\\u003c") # "</script>" would end the element
    parts = {"title": html.escape(title), "style": part("page.css"), "script": part("page.js"), "content": facts}
    return re.sub("{{(title|style|script|content)}}", lambda found: parts[found[1]], part("page.html"))


def part(name: str) -> str:
    """Return the text of a file of this package."""
    return resources.files("minivae.explorer").joinpath(name).read_text(encoding="utf-8")


def content(vae: VAE, data: Dataset, evidence: Evidence) -> dict:
    """Return all data and numbers for the HTML file, as plain JSON types."""
    x, J = data.test_x, vae.latent
    labels, named = classes_of(data.test_y, len(x), class_names(data))
    model = vae.astype(np.float64)
    mu, log_var = model.encode(x)
    elbo, elbo_error = elbos(model, x) if J <= 2 else (evidence.elbo, evidence.elbo_error)
    kl = kl_standard_normal(mu, log_var)                    # (N, J)
    return {
        "data": Path(data.name).name, "latent": J, "activation": vae.activation, "likelihood": likelihood(vae, x),
        "decoder": [[packed(weight), packed(bias)] for weight, bias in vae.layers("decoder")],
        "x": packed(*compact(x)), "labels": None if labels is None else labels.tolist(), "image": data.image_shape,
        "classes": data.classes, "elbo": packed(elbo), "elbo_error": packed(np.float32(elbo_error)),
        "ink": ink(vae, x), "mu": packed(mu), "log_var": packed(log_var), "kl": packed(kl),
        "log_px": packed(evidence.log_px), "log_px_error": [finite(error) for error in evidence.error],
        "box": None if evidence.box is None else packed(evidence.box), "bound_weights": evidence.weights,
        "colours": {int(label): [readable(one.colour, *paper) for paper in PAPERS.items()] for label, one in named.items()},
    }  # fmt: skip


def elbos(model: VAE, x: NDArray) -> tuple[NDArray, NDArray]:
    """Return two arrays (N,): the ELBO of each data point, and the error of each ELBO.

    The Gauss-Hermite rules have 5, 8, 16 and 32 nodes on each axis. The default rules of `expected` begin with 8 nodes and
    take longer.
    """
    return expected(model, x, *model.encode(x), 1e-4, (5, 8, 16, 32))


def likelihood(vae: VAE, x: NDArray) -> dict:
    """Return the likelihood's name and numbers: log sigma, or n and log C(n, k) for k up to the largest count in x."""
    found = {"name": vae.likelihood.name}
    if isinstance(vae.likelihood, Gaussian):
        return found | {"log_sigma": float(vae.scale[0])}
    if found["name"] == "binomial":
        return found | {"n": vae.likelihood.n, "log_choose": packed(log_binomials(vae.likelihood.n)[: int(x.max()) + 1])}
    return found


def ink(vae: VAE, x: NDArray) -> list[float]:
    """Return two different pixel values: the first is shown in the background colour, the second in the text colour."""
    low, high = ink_range(vae, x)
    return [low, high if high > low else low + 1]


def finite(value: float) -> float | None:
    """Return `value`, or None if it is infinite or NaN: JSON has neither."""
    return float(value) if np.isfinite(value) else None


def readable(colour: str, paper: str, least: float) -> str:
    """Return `colour`, mixed with black or white until its contrast with the background `paper` is at least `least`."""
    colour, paper = (np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)]) for text in (colour, paper))
    ink = 255 * (luminance(paper) < 0.2)
    mixes = (np.rint(colour + fraction * (ink - colour)).astype(int) for fraction in np.linspace(0, 1, 51))
    return "#" + bytes(next(rgb.tolist() for rgb in mixes if contrast(rgb, paper) >= least)).hex()


def contrast(one: NDArray, other: NDArray) -> float:
    """Return the contrast of two colours as in WCAG 2, from 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def luminance(rgb: NDArray) -> float:
    """Return the luminance, from 0 to 1, of an sRGB colour (3,) with values from 0 to 255, as in WCAG 2."""
    part = rgb / 255
    return np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92) @ [0.2126, 0.7152, 0.0722]


# Arrays as text


def compact(x: NDArray) -> tuple[NDArray, int]:
    """Return bytes and a divisor if x = bytes / divisor exactly, in float32; otherwise x itself and 1."""
    for divisor in (1, 255):
        levels = np.rint(np.asarray(x, np.float64) * divisor)
        if levels.min() >= 0 and levels.max() <= 255 and (np.float32(levels / divisor) == x).all():
            return levels.astype(np.uint8), divisor
    return x, 1


def packed(array: NDArray, divisor: int = 1) -> dict:
    """Return an array as {"type", "shape", "base64"}: bytes, float32 or float64, each in little-endian order.

    If the result has a divisor, the numbers are bytes / divisor, in float32. `unpacked` returns the array again.
    """
    kind = {"u1": "u1", "f4": "f4"}.get(array.dtype.str[1:], "f8")
    raw = np.ascontiguousarray(array, f"<{kind}").tobytes()
    found = {"type": kind, "shape": list(array.shape), "base64": base64.b64encode(raw).decode()}
    return found if divisor == 1 else found | {"divisor": divisor}


def unpacked(found: dict) -> NDArray:
    """Return the array from the result of `packed`."""
    array = np.frombuffer(base64.b64decode(found["base64"]), f"<{found['type']}").reshape(found["shape"])
    return np.float32(array / found["divisor"]) if "divisor" in found else array


def content_of(page: str) -> dict:
    """Return the dict that `build` has written into the HTML text: the dict of `content`, plus "title" and "step"."""
    start = page.index('<script type="application/json" id="content">')
    return json.loads(page[page.index(">", start) + 1 : page.index("</script>", start)])
