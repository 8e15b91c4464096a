"""Write explorer.png, a screenshot of the explorer of a run on the bundled digits. This needs a browser.

    python -m tests.pictures.explorer RUN           RUN: a run that `minivae train` wrote
"""

import sys
import tempfile
import time
import zlib
from pathlib import Path

from minivae.app import cli
from tests.helpers.browser import Browser

OUT = Path(__file__).parent / "explorer.png"
PLACE = "#datum=14&z=0.5,-1.25&tiles=1"
ALT = (
    "The explorer in a browser. Left, the codes of {rows} held-out digits on a map, in front of decoded images. Middle, "
    "the mean and a draw at the cursor, the nearest codes, and the chosen digit with its reconstruction. Right, the "
    "exact posterior of this digit in blue and the encoder's Gaussian in orange, and its ELBO, log p(x) and their "
    "gap: {gap} nats. Below, how far mean and standard deviation of the Gaussian are from the exact ones."
)


def with_text(png, key, text):
    """Return a PNG with a text in its metadata."""
    body = b"tEXt" + key.encode() + b"\0" + text.encode("latin-1")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]                      # the text follows the signature and the header


def main(run):
    """Write the screenshot, with its alt text in the metadata."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "explorer.html"
        if cli.main(["explore", run, "-q", "--out", str(page)]):
            raise SystemExit(2)
        browser = Browser()
        try:
            browser.open(page, PLACE, width=1280, height=956)
            while browser.evaluate("Object.keys(running).length"):
                time.sleep(0.05)
            gap = browser.evaluate("$('nats').rows[4].cells[1].textContent")
            png = browser.picture(whole=False)
            OUT.write_bytes(with_text(png, "Description", ALT.format(rows=browser.evaluate("N"), gap=gap)))
        finally:
            browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
