"""An autoencoder and a VAE on the same digits: their codes, and images decoded from the prior."""

import numpy as np

from derivations.figures.common import shows
from derivations.study.questions import Pair, row_of
from minivae.figures.latent import draw_map
from minivae.figures.style import Drawn, explain, page, show, styled

ROWS, COLUMNS = 5, 12                                       # the grid of images decoded from the prior


@styled
def two_models(pair: Pair, found: list[tuple] | None = None) -> Drawn:
    """Draw the autoencoder at the left and the VAE at the right.

    The upper row has maps of the codes of both models, the lower row has images decode(z) for z ~ N(0, I). `found` is an
    argument for tests: they give wrong numbers, and the function must raise NotShown.
    """
    models = {"autoencoder": pair.autoencoder, "VAE": pair.vae}
    found = found or [row_of(name, vae, pair.data) for name, vae in models.items()]
    (_, fit, near, largest, _), (_, fit_vae, near_vae, largest_vae, _) = found
    shows(fit > fit_vae, "the autoencoder reconstructs better")
    shows(near < 0.5 * near_vae, "fewer of the autoencoder's codes lie in the circle with 95 % of the prior")
    shows(largest > 0.5 > largest_vae, "the autoencoder decodes the prior to mostly one digit, but the VAE does not")
    figure = page(10.4, 7.8)
    panels = figure.subplots(2, 2, height_ratios=(1.75, 1))
    z = np.random.default_rng(0).standard_normal((ROWS * COLUMNS, 2))
    for (name, vae), (above, below) in zip(models.items(), panels.T):
        draw_map(above, vae, pair.data.test_x, pair.data.test_y)
        above.set_anchor("N")                               # the upper edges of both maps have the same height
        above.set_title(f"{name}: codes of held-out digits", weight="bold")
        show(below, vae, vae.decode(z), pair.data.image_shape, COLUMNS, ink=pair.data.test_x)
        below.set_title("decoded from z ~ N(0, I)")
    numbers = (
        f"Autoencoder and VAE: E log p(x|z) is {fit:.1f} and {fit_vae:.1f} nats. {100 * near:.0f} and "
        f"{100 * near_vae:.0f} % of the codes lie in the circle with 95 % of the prior. {100 * largest:.0f} and "
        f"{100 * largest_vae:.0f} % of the images from the prior are of the largest class."
    )
    title = "The autoencoder reconstructs better; only the VAE generates new digits"
    explain(figure, title, f"{numbers} Dashed circles: radius 1, 2 and 3. Both lower panels use the same z.")
    return figure, f"Codes, and images decoded from the prior. {numbers}"
