"""What a loss really is: a VAE's loss, written with this or that sum, mean and weight, said in one language.

    written    = u reduce_B reduce_D r  +  v reduce_B reduce_J KL,        r: what a feature costs, reduce: sum or mean
    canonical  = mean_B sum_D -log p(x_d|z)  +  beta mean_B sum_J KL,     p: Bernoulli, or Gaussian with some sigma

    gradient of written = factor x gradient of canonical

Every mean over features or latents hides a weight, and that is all there is to "sum or mean?". With a squared error
only beta sigma^2 is fixed: the same loss is beta = 1 with one sigma, and any other beta with another.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from minivae import checks
from minivae.gaussian import LOG_2PI

RECONSTRUCTIONS = ("mse", "bce", "gaussian")
REDUCTIONS = ("sum", "mean")
FITTED = ("learned", "optimal")                             # a sigma that follows the data
BOUNDS = ("elbo", "elbo of another sigma", "looser", "none")


@dataclass(frozen=True)
class Convention:
    """A loss as it is written. Raises ValueError if a part breaks its rule, or a mean is over an unknown number.

    Attributes
    ----------
    reconstruction : str
        What a feature costs. "mse": (x - m)^2. "bce": -x log m - (1 - x) log(1 - m). "gaussian": -log N(x; m, sigma^2).
    sigma : float, "learned" or "optimal", or None
        Of "gaussian", declared; of "mse" the one it is read at, a number. None: 1.
    reduce, batch_reduce, kl_reduce, kl_batch_reduce : str
        "sum" or "mean": of the reconstruction over features and batch, of the KL over latents and batch.
    recon_weight, kl_weight : float
        u > 0 and v >= 0.
    features, latent, batch : int or None
        D, J and B, needed where a mean is taken over D or J, or a sum over B.
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
                checks.real_number(name, whole, below=1e15)  # beyond, it is no longer exact as a float
                self._set(name, whole)
        self._need("features", self.reduce == "mean", "a mean over features")
        self._need("latent", self.kl_reduce == "mean", "a mean over latents")
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
                checks.refuse("sigma", "left out for bce", repr(self.sigma), "Only a Gaussian has one.")
            return None
        if isinstance(self.sigma, str):
            if self.reconstruction == "mse":
                checks.refuse("sigma", "a number for mse", repr(self.sigma), "Write the log sigma, too: gaussian.")
            return checks.choice("sigma", self.sigma, FITTED)
        return 1.0 if self.sigma is None else checks.real_number("sigma", self.sigma, above=0)

    @property
    def on_features(self) -> float:
        """What every r_d is multiplied with, the mean over the batch apart."""
        over_features = 1 / self.features if self.reduce == "mean" else 1.0
        return self.recon_weight * over_features * (self.batch if self.batch_reduce == "sum" else 1)

    @property
    def on_latents(self) -> float:
        """What every KL_j is multiplied with at kl_weight = 1, the mean over the batch apart."""
        over_latents = 1 / self.latent if self.kl_reduce == "mean" else 1.0
        return over_latents * (self.batch if self.kl_batch_reduce == "sum" else 1)

    @property
    def has_fixed_sigma(self) -> bool:
        """Whether it is a squared error times a number, so that beta and sigma can be traded for each other."""
        return self.reconstruction == "mse" or not isinstance(self.sigma, (str, type(None)))


class Reading(NamedTuple):
    """One way to say what a convention is: gradient of written = factor x gradient of canonical at beta and sigma."""

    beta: float                 # weight of the KL beside -log p(x|z)
    sigma: float | str | None   # of p(x|z); None for a Bernoulli
    factor: float
    constant: float             # canonical = written / factor + constant D, in nats per datum


class Translation(NamedTuple):
    """What a convention really is."""

    reading: Reading            # at the sigma it declares, or that it was asked to be read at
    elbo: Reading | None        # the one with beta = 1, where there is one: there the loss is minus the ELBO
    bound: str                  # one of BOUNDS
    kl_weight: float            # what the weight must be for beta = 1 at that sigma, all reductions kept


def translate(convention: Convention) -> Translation:
    """What this loss really is. Raises ValueError if its weights are beyond the range of a number."""
    reading = read(convention, convention.sigma)
    elbo = None
    if convention.kl_weight and convention.has_fixed_sigma:
        elbo = read(convention, implied_sigma(convention))
        elbo = elbo._replace(beta=1.0, factor=convention.kl_weight * convention.on_latents)     # not 1 - 1e-16
    if math.isclose(reading.beta, 1, rel_tol=1e-12):
        bound, elbo = "elbo", reading._replace(beta=1.0)
    elif elbo is not None:
        bound = "elbo of another sigma"
    else:
        bound = "looser" if reading.beta > 1 else "none"
    return Translation(elbo if bound == "elbo" else reading, elbo, bound, _in_range(reading.factor / convention.on_latents))


def read(convention: Convention, sigma: float | str | None) -> Reading:
    """The convention as a weight beta and a decoder of this sigma.

    r is -log p itself (factor = its weight), or a squared error: a (x - m)^2 = 2 a sigma^2 x (x - m)^2 / (2 sigma^2), so
    factor = 2 a sigma^2. Then beta = (weight of the KL) / factor.
    """
    factor, constant = _in_range(convention.on_features), 0.0
    if convention.has_fixed_sigma:
        factor = _in_range(_weight_of_square(convention) * 2 * sigma * sigma)
        constant = _log_normaliser(sigma)
        if convention.reconstruction == "gaussian":         # it has a normaliser, that of its own sigma
            constant -= _in_range(convention.on_features / factor) * _log_normaliser(convention.sigma)
    beta = convention.kl_weight * convention.on_latents / factor
    return Reading(_in_range(beta) if convention.kl_weight else 0.0, sigma, factor, constant)


def implied_sigma(convention: Convention) -> float:
    """The sigma that a squared error with a KL of this weight means: sigma^2 = (weight of KL) / (2 weight of square)."""
    return _in_range(convention.kl_weight * convention.on_latents / (2 * _weight_of_square(convention))) ** 0.5


def _weight_of_square(convention):
    """a, what every (x - m)^2 is multiplied with."""
    own = 2 * convention.sigma * convention.sigma if convention.reconstruction == "gaussian" else 1
    return _in_range(convention.on_features / _in_range(own))


def _log_normaliser(sigma):
    """log sigma + 1/2 log 2 pi, of one feature."""
    return math.log(sigma) + LOG_2PI / 2


def _in_range(number):
    if not 1e-300 <= number <= 1e300:                       # room for a logarithm to be multiplied with it
        remedy = "Rescale the weights: only their ratio matters."
        checks.refuse("the weights", "such that their products and ratios are numbers", f"{number:g}", remedy)
    return number
