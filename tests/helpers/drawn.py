"""Read the lines and texts of a drawn figure; find the line of code that rejects a wrong figure."""

import functools
import traceback
from pathlib import Path

import pytest

from derivations import figures


@functools.cache
def drawn(name):
    """Return the figure with this name and its alt text, cached; tests must not change the figure."""
    return figures.FIGURES[name]()


def line(axes, label):
    """Return the coordinates (x, y) of the line with this label."""
    return next(artist.get_data() for artist in axes.lines if artist.get_label() == label)


def by_gid(axes, gid):
    """Return the artist with this gid, an id that the drawing code sets."""
    return next(artist for artist in axes.get_children() if artist.get_gid() == gid)


def words(figure):
    """Return (text, artist) of every visible text, without tick labels that are hidden or beyond the end of the axis."""
    figure.draw_without_rendering()
    unseen = set()
    for axes, axis in [(axes, axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval()) if axes.axison else (1, 0)
        unseen |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    written = figure.findobj(lambda artist: hasattr(artist, "get_fontsize") and artist.get_visible())
    return [(text.get_text(), text) for text in written if text.get_text().strip() and text not in unseen]


def refused(call, message):
    """Check that `call` raises NotShown with this message; return (file, line) of the code that rejects the figure."""
    with pytest.raises(figures.NotShown, match="would not show that") as error:
        call()
    assert message in str(error.value)
    frames = [frame for frame in traceback.extract_tb(error.value.__traceback__) if frame.name != "shows"]
    return Path(frames[-1].filename).name, frames[-1].lineno
