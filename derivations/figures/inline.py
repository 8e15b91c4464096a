"""A figure as an address that an HTML page can hold: a picture without a file."""

import io
import re
from urllib.parse import quote

import matplotlib
from matplotlib.figure import Figure

from minivae.figures.style import styled


@styled
def as_address(figure: Figure, alt: str) -> tuple[str, str]:
    """Return the SVG of a figure as a `data:` address with coordinates of two decimals, and the alt text."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "derivations", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "derivations"})
    text = file.getvalue()
    text = re.sub(r"(?<=[\d]\.)(\d\d)\d+", r"\1", text[text.index("<svg") :])
    return f"data:image/svg+xml,{quote(text, safe=' ~!*()=:/;?,+$@&')}".replace('"', "%22"), alt
