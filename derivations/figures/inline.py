"""Turn a figure into a `data:` address: the HTML page then contains the picture and needs no file for it."""

import io
import re
from urllib.parse import quote

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from minivae.figures.style import styled

MANY = 100                                                  # a scatter plot with more points than this is drawn as pixels
DPI = 120                                                   # pixels per inch


@styled
def as_address(figure: Figure, alt: str) -> tuple[str, str]:
    """Return a figure as a `data:` address, and its alt text.

    Coordinates have one decimal. Contours, and scatter plots with more than MANY points, become pixels.
    """
    for axes in figure.axes:
        for part in axes.collections:
            if isinstance(part, ContourSet):
                axes.set_rasterization_zorder(1.5)          # matplotlib 3.8 ignores set_rasterized of contours
            elif len(part.get_offsets()) > MANY:
                part.set_rasterized(True)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "derivations", "svg.fonttype": "path"}):
        canvas = FigureCanvasSVG(figure)
        figure.get_layout_engine().execute(figure)          # `savefig` would draw the figure twice
        figure.set_layout_engine("none")
        figure.set_dpi(DPI)
        canvas.print_svg(file, metadata={"Date": None, "Creator": "derivations"})
    text = file.getvalue()
    text = re.sub(r' d="[^"]*"', rounded, text[text.index("<svg") :])
    text = re.sub(r"<!--.*?-->|\n\s*", " ", text, flags=re.DOTALL)
    return f"data:image/svg+xml,{quote(text, safe=' ~!*()=:/;?,+$@&')}".replace('"', "%22"), alt


def rounded(path: re.Match) -> str:
    """Round the numbers of an SVG path to one decimal, a tenth of a point."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), " ".join(path[0].split("\n")))
