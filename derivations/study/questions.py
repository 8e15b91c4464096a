"""Questions that the sources leave open, each answered by a small computation.

An answer is a table of numbers and a text. Only the last question uses random numbers: its answer trains two models and
draws z and noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from derivations.engine.numerics import kl_normal
from derivations.engine.worlds import linear_elbo, linear_log_evidence, linear_posterior
from derivations.lm.latent_space import samples_needed
from derivations.pages.terminal import wrapped
from minivae.data import Dataset, digits
from minivae.likelihood import Binomial
from minivae.train import train
from minivae.vae import VAE


class Answer(NamedTuple):
    """A question, the ids of related rows of the ledger, a table, and a text `says` that explains the table."""

    question: str
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[tuple]
    says: str


def why_not_the_prior() -> Answer:
    """Compute how many draws of z from p(z) are needed to estimate p(x), in 1, 2, 5, 10 and 20 latent dimensions."""
    w, s, x = 1.0, 0.5, 0.0
    rows = [(d, float(samples_needed(w, s, x, d))) for d in (1, 2, 5, 10, 20)]
    best = linear_posterior(np.array(w), np.array(s), np.array(x))
    return Answer(
        "Why not draw z from p(z)?",
        ("lm.12", "lm.39", "odaibo.t20"),
        ("latent dimensions", "draws of p(z) for 10 % error"),
        rows,
        f"The model is x = z + eps/2 in d dimensions, at x = 0. The posterior of each coordinate of z is N({best[0]:g}, "
        f"{best[1]:.3f}^2). If z is drawn from this posterior, one draw is enough: then every weight p(x, z)/q(z|x) is "
        "p(x). An encoder approximates the posterior.",
    )


def why_the_reverse_divergence() -> Answer:
    """Compare the gap of the bound with the two divergences between q and the posterior."""
    w, s, x = (np.array([[value]]) for value in (1.0, 0.5, 1.0))
    posterior = linear_posterior(w, s, x)
    rows = []
    for mu, sigma in ((0.0, 1.0), (0.5, 0.5), (0.8, 0.2), tuple(float(value.item()) for value in posterior)):
        q = np.array([[mu]]), np.array([[sigma]])
        gap = np.round(linear_log_evidence(w, s, x) - linear_elbo(w, s, x, *q), 12) + 0.0     # rounding can give -3e-15
        rows.append((mu, sigma, *(value.item() for value in (gap, kl_normal(*q, *posterior), kl_normal(*posterior, *q)))))
    return Answer(
        "Why does the ELBO use the reverse divergence?",
        ("cards.32", "lm.16", "odaibo.23"),
        ("mean of q", "sigma of q", "log p(x) - ELBO", "KL(q || p(z|x))", "KL(p(z|x) || q)"),
        rows,
        "The gap, log p(x) - ELBO, is KL(q || p(z|x)). This divergence is an average over q, and we can draw from q. "
        "The forward divergence, KL(p(z|x) || q), is an average over the posterior, from which we cannot draw.",
    )


def why_the_sum() -> Answer:
    """Compare the posterior's variance with that of the best q(z|x) for a loss with a mean of d KLs, not their sum."""
    w, s, x = 1.0, 0.5, 1.0
    rows = []
    for d in (1, 2, 10, 50):                                # in each dimension, the loss times d is KL - d E_q[log p(x|z)]
        _, sigma = linear_posterior(np.array(w), s * np.sqrt(1 / d), np.array(x))
        rows.append((d, 1 / d, float(sigma) ** 2, float(linear_posterior(np.array(w), np.array(s), np.array(x))[1]) ** 2))
    return Answer(
        "Why a sum over the latent dimensions, and not a mean?",
        ("hong.11", "odaibo.t25"),
        ("latent dimensions d", "beta of a mean", "variance of the best q", "variance of the posterior"),
        rows,
        "The model is x = z + eps/2 in every dimension. A mean over d dimensions is the sum times beta = 1/d, so the loss "
        "is not a bound. With more dimensions, the variance of the best q falls further below that of the posterior.",
    )


# An autoencoder and a VAE on the same digits, with the same layers, initial weights and settings of the training

TRAINING = {"epochs": 60, "batch": 64, "lr": 2e-3}
PRIOR_DRAWS = 1000


class Pair(NamedTuple):
    """The digits, and the two models that were trained on them."""

    data: Dataset
    autoencoder: VAE
    vae: VAE


def train_pair(seed: int = 0) -> Pair:
    """Train both models; the autoencoder is a VAE without noise and without KL."""
    data, models = digits(), []
    for settings in ({"noise": False, "beta": 0.0}, {}):
        rng = np.random.default_rng(seed)
        start = {"data_mean": data.train_x.mean(axis=0), "likelihood": Binomial(data.trials)}
        vae = VAE.init(rng, data.train_x.shape[1], 2, (64,), **start, **settings)
        for _ in train(vae, data, rng, **TRAINING):
            pass
        models.append(vae)
    return Pair(data, *models)


def classes_of(pictures: np.ndarray, data: Dataset) -> np.ndarray:
    """Return, for each class, the fraction of pictures whose nearest training digit is of this class, (10,)."""
    x = data.train_x.astype(float)                          # (N, D)
    apart = (pictures**2).sum(axis=1)[:, None] - 2 * pictures @ x.T + (x**2).sum(axis=1)        # (K, N)
    return np.bincount(data.train_y[apart.argmin(axis=1)], minlength=10) / len(pictures)


def row_of(name: str, vae: VAE, data: Dataset) -> tuple:
    """Return a model's row of the table: name, log p(x|z), fraction of latent codes near 0, and two numbers about classes.

    These two numbers describe images decoded from draws of p(z): the fraction of images in the most frequent class, and the
    number of classes with more than 1 % of the images.
    """
    mu, _ = vae.encode(data.test_x)
    z = np.random.default_rng(0).standard_normal((PRIOR_DRAWS, 2))
    shares = classes_of(vae.decode(z).astype(float), data)
    noise = np.zeros((1, *mu.shape)) if not vae.noise else vae.draw_noise(np.random.default_rng(0), len(mu), 100)
    fit = float(vae.forward(vae.check_data(data.test_x), noise.astype(vae.dtype)).log_px_z.mean())
    radius = np.sqrt(-2 * np.log(0.05))                     # radius of the circle that contains 95 % of N(0, I)
    near = float((np.linalg.norm(mu, axis=1) < radius).mean())
    return name, fit, near, float(shares.max()), int((shares > 0.01).sum())


def autoencoder_or_vae(pair: Pair) -> Answer:
    """Compare the autoencoder with the VAE. Both are trained on the same digits, but only the VAE has noise and a KL."""
    rows = [row_of("autoencoder", pair.autoencoder, pair.data), row_of("VAE", pair.vae, pair.data)]
    return Answer(
        "What does a VAE have that an autoencoder lacks?",
        ("lm.1", "hong.17"),
        ("model", "E log p(x|z)", "codes inside 95 % of p(z)", "largest class of decode(z ~ p)", "classes above 1 %"),
        rows,
        "E log p(x|z) and the codes are those of held-out digits. The last two columns are about images decoded from "
        "draws of p(z); the class of an image is the class of the nearest training digit. The autoencoder reconstructs "
        "better. But few of its codes lie where p(z) is large, and its images decoded from p(z) show mostly one digit. The "
        "VAE generates nearly all digits.",
    )


QUESTIONS: tuple[Callable[[], Answer], ...] = (why_not_the_prior, why_the_reverse_divergence, why_the_sum)


def lines(answer: Answer, width: int) -> list[str]:
    """Return an answer as text: the question, the table, the explanation."""
    shown = [answer.columns, *([cell(value) for value in row] for row in answer.rows)]
    wide = [max(len(row[i]) for row in shown) for i in range(len(answer.columns))]
    table = ["  " + "  ".join(f"{text:>{w}}" for text, w in zip(row, wide)) for row in shown]
    return [f"{answer.question}   [{', '.join(answer.ids)}]", "", *table, "", *wrapped(answer.says, "  ", "  ", width)]


def cell(value) -> str:
    """Return a value as text. A value that is a text already is returned unchanged.

    A number below 1,000 gets at most four significant digits. A number from 1,000 on gets commas and no decimals.
    """
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
