"""The model that the benchmarks train: its sizes, its initial state and one training step."""

from dataclasses import dataclass, replace

import numpy as np

from minivae.adam import Adam
from minivae.train import keep_freed_memory
from minivae.vae import VAE

LR, B1, B2, TINY = 1e-3, 0.9, 0.999, 1e-8
PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class Size:
    """Widths of a model (features, hidden units, latent coordinates), activation, rows per batch, draws of z per row."""

    widths: tuple[int, ...]
    activation: str
    batch: int
    draws: int = 1

    def __str__(self):
        of_each = f", {self.draws} draws" if self.draws > 1 else ""
        return f"{'-'.join(map(str, self.widths))} {self.activation}, batch {self.batch}{of_each}"


class Start:
    """The model and the batch with which every contender starts. A contender is an implementation that is timed.

    `eps` is the noise for which the losses and gradients of the contenders are compared.
    """

    def __init__(self, size: Size):
        rng = np.random.default_rng(0)
        features, *hidden, latent = size.widths
        self.vae = VAE.init(rng, features, latent, hidden, activation=size.activation)
        self.x = (rng.random((size.batch, features)) < 0.2).astype(np.float32)
        self.eps = self.vae.draw_noise(rng, size.batch, size.draws)             # (L, B, J)

    def layers(self, part: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return copies of the (weight, bias) pairs of "encoder" or "decoder"; weights have shape (in, out)."""
        return [(weight.copy(), bias.copy()) for weight, bias in self.vae.layers(part)]


class Minivae:
    """Training step of this project: noise, forward, backward, Adam."""

    name = "minivae"

    def __init__(self, start: Start):
        keep_freed_memory()                                 # as `minivae train` does
        self.first, self.x, self.eps = start.vae, start.x, start.eps
        self.rng = np.random.default_rng(0)
        self.restart()

    def restart(self):
        self.vae = replace(self.first, params=self.first.params.copy())
        self.gradient = self.vae.params.zeros_like()
        self.adam = Adam(self.vae.params, LR, B1, B2, TINY)

    def steps(self, count):
        for _ in range(count):
            eps = self.vae.draw_noise(self.rng, len(self.x), len(self.eps))
            forward = self.vae.forward(self.x, eps)
            self.adam.step(self.vae.backward(self.x, eps, forward, self.gradient))

    def loss_and_gradient(self):
        gradient = self.vae.gradient(self.x, self.eps)
        return self.vae.loss(self.x, self.eps), [gradient[name] for name in gradient]


def disagreement(contender, reference) -> str | None:
    """Compare the contender's loss and gradient with the reference's. Return a text if they differ by more than rounding."""
    (loss, d), (loss_0, d_0) = contender.loss_and_gradient(), reference.loss_and_gradient()
    if not abs(loss - loss_0) <= 1e-4 * abs(loss_0):        # true also if the loss is NaN
        return f"loss {loss:.6g}, but {reference.name} has {loss_0:.6g}"
    worst = np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(d, d_0, strict=True)])
    return None if worst <= 1e-4 else f"gradient off by {worst:.2g} of its largest entry"
