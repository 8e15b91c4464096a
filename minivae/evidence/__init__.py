"""Evaluation of a trained model: lower bounds of log p(x), log p(x) itself, and the gap between them.

The bounds, log p(x) and the gap are in nats (natural logarithms): one number for each data point, computed in float64
whatever the dtype of the model. log p(x) is the log of the integral of p(x|z) p(z) over z. The ELBO (evidence lower bound)
is at most log p(x); the gap, log p(x) - ELBO, is KL( q(z|x) || p(z|x) ).

    bounds       ELBO and importance-weighted bounds, from draws of z
    quadrature   log p(x) by numerical integration over z, for one or two latent dimensions

    annealing    log p(x) by annealed importance sampling, for any number of latent dimensions
    linear       log p(x), posterior and best fit in closed form, for a model without hidden layers

    gaps         the gap, split into the encoder's error and the error of the best diagonal Gaussian
    rates        rate and distortion, mutual information, active latent dimensions
    gradients    mean and variance of the estimators of the gradient
    sweep        many short trainings, and which of the models collapse

    sums         log-mean-exp; means and standard errors of arrays that come in chunks
    slopes       log p(x|z) and its gradient in z
    descent      many small minimisations in parallel (BFGS)
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
