"""A figure as a `data:` address, which puts the picture into the HTML page itself, without a file."""

import base64
import io
import re
from urllib.parse import quote

import matplotlib
from matplotlib.figure import Figure

from minivae.figures.style import styled

LARGEST = 250_000                                           # characters of an SVG


@styled
def as_address(figure: Figure, alt: str) -> tuple[str, str]:
    """Return a figure as a `data:` address, and the alt text: SVG with one decimal or, if that is large, PNG."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "derivations", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "derivations"})
    text = file.getvalue()
    text = re.sub(r' d="[^"]*"', rounded, text[text.index("<svg") :])
    text = re.sub(r"<!--.*?-->|\n\s*", " ", text, flags=re.DOTALL)
    if len(text) > LARGEST:
        return as_png(figure), alt
    return f"data:image/svg+xml,{quote(text, safe=' ~!*()=:/;?,+$@&')}".replace('"', "%22"), alt


def rounded(path: re.Match) -> str:
    """Return the outline of an SVG path with one decimal: a tenth of a point."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), " ".join(path[0].split("\n")))


def as_png(figure: Figure) -> str:
    """Return the address of a PNG with 128 colours."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=200)
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
