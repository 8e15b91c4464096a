"""How close is the bound to the truth? log p(x) in nats for every datum: bounds by sampling, and the truth itself.

All of it is computed in float64, whatever the model was trained in.

    sums         sums of exponentials, means in chunks
    bounds       the ELBO and importance-weighted bounds
    quadrature   log p(x) for one or two latent dimensions
    linear       log p(x), posterior and optimum of a model without hidden layers
    annealing    log p(x) by annealed importance sampling, for any number of latent dimensions
    gaps         KL(q || p(z|x)): what no Gaussian can reach, and what the encoder misses
    rates        rate and distortion, mutual information, active units
    gradients    how noisy the estimators of the gradient are
    sweep        many short trainings: rate, distortion, collapse
    slopes       log p(x|z) and its slope in z
    descent      many small problems minimised at once
"""

from minivae.evidence.annealing import Annealed, Sandwich, annealed, sandwich
from minivae.evidence.bounds import Bounds, lower_bounds
from minivae.evidence.gaps import Gap, gap
from minivae.evidence.gradients import GradientNoise, SignalToNoise, gradient_noise, iw_signal_to_noise
from minivae.evidence.linear import PPCA, Linear, exact_linear, ppca, with_best_encoder
from minivae.evidence.quadrature import Exact, exact_log_px
from minivae.evidence.rates import Rates, rate_distortion

__all__ = [
    "Annealed",
    "Bounds",
    "Exact",
    "Gap",
    "GradientNoise",
    "Linear",
    "PPCA",
    "Rates",
    "Sandwich",
    "SignalToNoise",
    "annealed",
    "exact_linear",
    "exact_log_px",
    "gap",
    "gradient_noise",
    "iw_signal_to_noise",
    "lower_bounds",
    "ppca",
    "rate_distortion",
    "sandwich",
    "with_best_encoder",
]
