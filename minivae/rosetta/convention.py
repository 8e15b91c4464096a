"""Translate a VAE's loss with sums, means and weights into one canonical form.

    written    = u reduce_B reduce_D r  +  v reduce_B reduce_J KL,        r: cost of a feature, reduce: sum or mean
    canonical  = mean_B sum_D -log p(x_d|z)  +  beta mean_B sum_J KL,     p: Bernoulli, or Gaussian with some sigma

    gradient of written = factor x gradient of canonical

A mean over features or latent dimensions is a sum with the weight 1/D or 1/J, so the choice of sum or mean changes beta. If
the cost is a squared error, the loss determines only the product beta sigma^2. So you may choose sigma, and beta follows
from your choice. If v > 0, beta is 1 for exactly one sigma.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from minivae import checks
from minivae.gaussian import LOG_2PI

RECONSTRUCTIONS = ("mse", "bce", "gaussian")
REDUCTIONS = ("sum", "mean")
FITTED = ("learned", "optimal")                             # a sigma that is fitted to the data
BOUNDS = ("elbo", "elbo of another sigma", "looser", "none")


@dataclass(frozen=True)
class Convention:
    """A loss as someone has written it: its reconstruction cost, reductions, weights and sizes.

    Raises ValueError if an argument is invalid, or if a mean or a sum needs a size that is not given.

    Attributes
    ----------
    reconstruction : str
        Cost r of a feature. "mse": (x - m)^2. "bce": -x log m - (1 - x) log(1 - m). "gaussian": -log N(x; m, sigma^2).
    sigma : float, "learned" or "optimal", or None
        For "gaussian": the sigma in the cost r. For "mse": the sigma of p in the second formula of this file; it must be a
        number. For "gaussian" and "mse", None means 1. For "bce": None.
    reduce, batch_reduce, kl_reduce, kl_batch_reduce : str
        "sum" or "mean". The reconstruction has `reduce` (over features) and `batch_reduce` (over the batch). The KL has
        `kl_reduce` (over latent dimensions) and `kl_batch_reduce` (over the batch).
    recon_weight, kl_weight : float
        The weights u > 0 and v >= 0 in the first formula of this file.
    features, latent, batch : int or None
        D, J and B. D is needed for a mean over features, J for a mean over latent dimensions, B for a sum over the batch.
    """

    reconstruction: str
    sigma: float | str | None = None
    reduce: str = "sum"
    batch_reduce: str = "mean"
    kl_reduce: str = "sum"
    kl_batch_reduce: str = "mean"
    recon_weight: float = 1.0
    kl_weight: float = 1.0
    features: int | None = None
    latent: int | None = None
    batch: int | None = None

    def __post_init__(self):
        checks.choice("reconstruction", self.reconstruction, RECONSTRUCTIONS)
        for name in ("reduce", "batch_reduce", "kl_reduce", "kl_batch_reduce"):
            checks.choice(name, getattr(self, name), REDUCTIONS)
        self._set("recon_weight", checks.real_number("recon_weight", self.recon_weight, above=0))
        self._set("kl_weight", checks.real_number("kl_weight", self.kl_weight, at_least=0))
        for name in ("features", "latent", "batch"):
            if getattr(self, name) is not None:
                whole = checks.whole_number(name, getattr(self, name), 1)
                checks.real_number(name, whole, below=1e15)  # floats skip whole numbers above 2^53, about 9e15
                self._set(name, whole)
        self._need("features", self.reduce == "mean", "a mean over features")
        self._need("latent", self.kl_reduce == "mean", "a mean over latent dimensions")
        self._need("batch", "sum" in (self.batch_reduce, self.kl_batch_reduce), "a sum over the batch")
        self._set("sigma", self._checked_sigma())

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _need(self, name, needed, why):
        if needed and getattr(self, name) is None:
            checks.refuse(name, f"given for {why}", "None", f"Say how many: --{name} N.")

    def _checked_sigma(self):
        if self.reconstruction == "bce":
            if self.sigma is not None:
                checks.refuse("sigma", "left out for bce", repr(self.sigma), "Only a Gaussian has a sigma.")
            return None
        if isinstance(self.sigma, str):
            if self.reconstruction == "mse":
                checks.refuse("sigma", "a number for mse", repr(self.sigma), "Use gaussian: its loss has log sigma.")
            return checks.choice("sigma", self.sigma, FITTED)
        return 1.0 if self.sigma is None else checks.real_number("sigma", self.sigma, above=0)

    @property
    def on_features(self) -> float:
        """Return the factor c of the reconstruction term: u reduce_B reduce_D r = c mean_B sum_D r (see `written`)."""
        over_features = 1 / self.features if self.reduce == "mean" else 1.0
        return self.recon_weight * over_features * (self.batch if self.batch_reduce == "sum" else 1)

    @property
    def on_latents(self) -> float:
        """Return the factor c in reduce_B reduce_J KL = c mean_B sum_J KL; c does not include the weight of the KL."""
        over_latents = 1 / self.latent if self.kl_reduce == "mean" else 1.0
        return over_latents * (self.batch if self.kl_batch_reduce == "sum" else 1)

    @property
    def has_fixed_sigma(self) -> bool:
        """Return True if sigma is a number. Then r = a (x - m)^2 + b with two constants, a and b.

        The loss then determines only the product beta sigma^2.
        """
        return self.reconstruction == "mse" or not isinstance(self.sigma, (str, type(None)))


class Reading(NamedTuple):
    """One translation of a written loss into the canonical loss with a certain beta and sigma.

    The gradient of the written loss is `factor` times the gradient of the canonical loss.
    """

    beta: float                 # weight of the KL relative to -log p(x|z)
    sigma: float | str | None   # the sigma of the Gaussian p(x|z); None for a Bernoulli
    factor: float
    constant: float             # canonical = written / factor + constant * D, in nats per data point


class Translation(NamedTuple):
    """Result of `translate`: the translations of a loss, its kind of bound, and the KL weight that would make beta 1."""

    reading: Reading            # the translation with the sigma of the convention
    elbo: Reading | None        # the translation with beta = 1, if one exists: its canonical loss is minus the ELBO
    bound: str                  # one of BOUNDS
    kl_weight: float            # with this number as kl_weight, and all else unchanged, beta would be 1


def translate(convention: Convention) -> Translation:
    """Translate a convention. Raises ValueError if its weights are too large or too small for floating point."""
    reading = read(convention, convention.sigma)
    elbo = None
    if convention.kl_weight and convention.has_fixed_sigma:
        elbo = read(convention, implied_sigma(convention))
        # Replace the beta and the factor that `read` computes: they contain rounding errors of sigma.
        elbo = elbo._replace(beta=1.0, factor=convention.kl_weight * convention.on_latents)
    if math.isclose(reading.beta, 1, rel_tol=1e-12):
        bound, elbo = "elbo", reading._replace(beta=1.0)
    elif elbo is not None:
        bound = "elbo of another sigma"
    else:
        bound = "looser" if reading.beta > 1 else "none"
    return Translation(elbo if bound == "elbo" else reading, elbo, bound, _in_range(reading.factor / convention.on_latents))


def read(convention: Convention, sigma: float | str | None) -> Reading:
    """Translate a convention into beta and a decoder with this sigma.

    If the cost r is -log p, `factor` is the weight of r. If the loss has the term a (x - m)^2, `factor` is 2 a sigma^2,
    because -log p has the term (x - m)^2 / (2 sigma^2). In both cases, beta = (weight of the KL) / factor.
    """
    factor, constant = _in_range(convention.on_features), 0.0
    if convention.has_fixed_sigma:
        factor = _in_range(_weight_of_square(convention) * 2 * sigma * sigma)
        constant = _log_normaliser(sigma)
        if convention.reconstruction == "gaussian":         # subtract the normaliser that the loss already contains
            constant -= _in_range(convention.on_features / factor) * _log_normaliser(convention.sigma)
    beta = convention.kl_weight * convention.on_latents / factor
    return Reading(_in_range(beta) if convention.kl_weight else 0.0, sigma, factor, constant)


def implied_sigma(convention: Convention) -> float:
    """Return the sigma for which a squared error has beta = 1: sigma^2 = (weight of KL) / (2 weight of square)."""
    return _in_range(convention.kl_weight * convention.on_latents / (2 * _weight_of_square(convention))) ** 0.5


def _weight_of_square(convention):
    """Return the factor of every squared error (x - m)^2 in the loss."""
    divisor = 2 * convention.sigma * convention.sigma if convention.reconstruction == "gaussian" else 1
    return _in_range(convention.on_features / _in_range(divisor))


def _log_normaliser(sigma):
    """Return log sigma + 1/2 log 2 pi, the log of the normalising constant for one feature."""
    return math.log(sigma) + LOG_2PI / 2


def _in_range(number):
    """Return the number if it is from 1e-300 to 1e300. Raises ValueError for any other number."""
    if not 1e-300 <= number <= 1e300:                       # leaves room for later factors: float64 ends at 1.8e308
        remedy = "Rescale the weights: only their ratio matters."
        checks.refuse("the weights", "numbers whose products and ratios are from 1e-300 to 1e300", f"{number:g}", remedy)
    return number
