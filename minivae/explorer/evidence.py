"""The file name of the explorer's page, and the results that the page needs for each data point."""

from typing import NamedTuple

from numpy.typing import NDArray

EXPLORER = "explorer.html"


class Evidence(NamedTuple):
    """Results for N data points, in nats.

    For J = 1 or 2: the exact log p(x), its error, and the box of the posterior. For J > 2: a lower bound of log p(x), its
    error, and the ELBO.
    """

    log_px: NDArray             # (N,)
    error: NDArray              # (N,)   J = 1 or 2: error of the integral; J > 2: standard error of the bound, due to draws
    box: NDArray | None = None  # (N, 2, J)
    weights: int | None = None  # number of importance weights of a bound
    elbo: NDArray | None = None # (N,)   estimated from the draws for the bound; each data point has its own draws
    elbo_error: NDArray | None = None
