"""The variational autoencoder: forward in seven numbered steps, backward in the same seven, reversed.

    loss = mean over data and draws of   beta KL( q(z|x) || p(z) )  -  log p(x|z),      z = mu + sigma eps

The loss is in nats (natural logarithms). At beta = 1 it is minus the ELBO, a lower bound of log p(x). The module
`objective` has steps 6 and 7: for this loss (KL in closed form or sampled) and for the importance-weighted bound.
Shapes: x (B, D) data, mu and log_var (B, J), eps and z (L, B, J) with L draws for every datum (row of x), out (L, B, D).
In the loss, sums are over D and J, means over B and L.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minivae import checks
from minivae.gaussian import reparameterize, reparameterize_backward
from minivae.likelihood import Bernoulli, Likelihood
from minivae.objective import OBJECTIVES
from minivae.ops import ACTIVATIONS, mlp, mlp_backward
from minivae.params import Params, shapes_of


class Forward(NamedTuple):
    """Results of the seven steps, in order. The method `backward` reads them; the model stores nothing."""

    encoder_hs: list[NDArray]   # 1  x as the encoder reads it, then the output of each layer
    mu: NDArray                 # 2  (B, J)
    log_var: NDArray            # 2  (B, J)
    z: NDArray                  # 3  (L, B, J)
    decoder_hs: list[NDArray]   # 4  z, then the output of each layer, L * B rows each
    out: NDArray                # 4  (L, B, D)   the likelihood's logits or means
    scale: tuple                # 5  the likelihood's parameter: (log_sigma,), or an empty tuple
    log_px_z: NDArray           # 5  (L, B)
    kl: NDArray                 # 6  (B,) in closed form, (L, B) if sampled
    loss: NDArray               # 7  ()


@dataclass(frozen=True, eq=False)
class VAE:
    """A VAE with diagonal Gaussian q(z|x) and standard normal prior. Make one with `VAE.init`.

    Attributes
    ----------
    params : Params
        Every weight and bias, and log_sigma if the likelihood has one: views on one flat vector.
    likelihood, activation : Likelihood, str
        Bernoulli(), Binomial(n) or Gaussian(sigma); "tanh" or "relu".
    beta : float
        Weight of the KL. beta = 1: -loss estimates a lower bound of log p(x); > 1: a looser bound; < 1: perhaps no bound.
    estimator, objective : str
        "analytic", "sampled" or "path" (for the KL and its gradient); "elbo" or "iwae". See the module `objective`.
    noise : bool
        False makes the encoder deterministic, z = mu; with beta = 0 that is a plain autoencoder.
    """

    params: Params
    likelihood: Likelihood = Bernoulli()
    activation: str = "tanh"
    beta: float = 1.0
    estimator: str = "analytic"
    objective: str = "elbo"
    noise: bool = True

    def __post_init__(self):
        checks.parts(self, Params, Likelihood, ACTIVATIONS)
        object.__setattr__(self, "beta", checks.real_number("beta", self.beta, at_least=0))  # np.float64 can promote float32
        checks.objective(self, OBJECTIVES)

    @classmethod
    def init(
        cls, rng: np.random.Generator, features: int, latent: int = 2, hidden: Sequence[int] = (128,), *,
        dtype: DTypeLike = np.float32, data_mean: NDArray | None = None, **settings,
    ) -> "VAE":  # fmt: skip
        """A new model with D features and J latent coordinates. The decoder has the widths `hidden` in reverse order.

        Weights are drawn from `rng`, by Glorot's rule (tanh) or He's (relu); biases are zero. With `data_mean` (D,), the new
        model decodes z = 0 to the mean of the data (probabilities are clipped to 0.01..0.99). `dtype` is float32 or float64;
        `settings` are other attributes of `VAE`. Raises ValueError if an argument is invalid.
        """
        checks.generator("rng", rng)
        features, latent = checks.whole_number("features", features, 1), checks.whole_number("latent", latent, 1)
        hidden, dtype = checks.sizes("hidden", hidden), checks.float_dtype("dtype", dtype)
        likelihood = settings.get("likelihood", cls.likelihood)
        vae = cls(Params.zeros(shapes_of(features, latent, hidden, getattr(likelihood, "scale", ())), dtype), **settings)
        for name, array in vae.params.items():
            if name.endswith("weight"):
                fan_in, fan_out = array.shape
                variance = 2 / (fan_in + fan_out) if vae.activation == "tanh" else 2 / fan_in
                array[...] = rng.normal(0, variance**0.5, array.shape)
        if data_mean is not None:
            data_mean = checks.real_array("data_mean", data_mean, (features,), np.float64)
            vae.layers("decoder")[-1][1][...] = likelihood.output_for(data_mean)
        for name, value in zip(likelihood.scale, likelihood.start()):
            vae.params[name][...] = value
        return vae

    # Sizes and parts

    dtype = property(lambda self: self.params.flat.dtype, doc="float32 or float64, the dtype of all results but samples.")
    features = property(lambda self: self.layers("encoder")[0][0].shape[0], doc="D, the number of features of a datum.")
    latent = property(lambda self: self.layers("decoder")[0][0].shape[0], doc="J, the number of latent coordinates.")
    hidden = property(lambda self: tuple(w.shape[1] for w, _ in self.layers("encoder")[:-1]), doc="Widths of hidden layers.")

    @property
    def scale(self) -> tuple[NDArray, ...]:
        """The likelihood's parameter: (log_sigma,), or an empty tuple."""
        return tuple(self.params[name] for name in self.likelihood.scale)

    def layers(self, part: str, params: Params | None = None) -> list[tuple[NDArray, NDArray]]:
        """The (weight, bias) of each layer of `part` ("encoder" or "decoder"), first to last; from `params` if given."""
        return (self.params if params is None else params).layers[part]

    def draw_noise(self, rng: np.random.Generator, rows: int, samples: int = 1) -> NDArray:
        """eps (L, B, J), standard normal; zeros if the model is deterministic."""
        shape = (checks.whole_number("samples", samples, 1), checks.whole_number("rows", rows, 1), self.latent)
        checks.generator("rng", rng)
        return rng.standard_normal(shape, self.dtype) if self.noise else np.zeros(shape, self.dtype)

    def astype(self, dtype: DTypeLike) -> "VAE":
        """The same model in another dtype; the parameters are copied."""
        return replace(self, params=self.params.astype(checks.float_dtype("dtype", dtype)))

    check_data, check_noise = checks.data, checks.noise

    # Public methods: they check their arguments

    def encode(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """mu and log_var of q(z|x), (B, J) each, for data x (B, D)."""
        return self._heads(self._encode(self.check_data(x))[-1])

    def decode(self, z: NDArray) -> NDArray:
        """The mean of p(x|z), (B, D), for codes z (B, J)."""
        z = checks.real_array("z", z, (None, self.latent), self.dtype)
        return self.likelihood.mean(self._decode(z)[-1])

    def sample(self, rng: np.random.Generator, z: NDArray) -> NDArray:
        """One draw x ~ p(x|z), (B, D), for every code z (B, J)."""
        z = checks.real_array("z", z, (None, self.latent), self.dtype)
        return self.likelihood.sample(checks.generator("rng", rng), self._decode(z)[-1], *self.scale)

    def loss(self, x: NDArray, eps: NDArray) -> NDArray:
        """The loss in nats, mean over data x (B, D) and draws eps (L, B, J)."""
        return self.forward(*checks.batch(self, x, eps)).loss

    def gradient(self, x: NDArray, eps: NDArray) -> Params:
        """The gradient of `loss` in every parameter."""
        x, eps = checks.batch(self, x, eps)
        return self.backward(x, eps, self.forward(x, eps), self.params.zeros_like())

    def elbo(self, x: NDArray, eps: NDArray) -> NDArray:
        """The evidence lower bound of every datum in nats, (B,): mean over draws, at beta = 1   [odaibo.28]

        Raises ValueError for a model without noise, which has no bound.
        """
        self.check_noise()
        f = self.forward(*checks.batch(self, x, eps), fit=False)
        return (f.log_px_z - f.kl).mean(axis=0)             # log_px_z is (L, B); kl is (B,) or (L, B)

    # Forward and backward. The methods below assume valid arguments.

    def forward(self, x: NDArray, eps: NDArray, fit: bool = True) -> Forward:
        """Steps 1 to 7. If `fit` is True, an "optimal" sigma is estimated again, from this batch   [odaibo.43]"""
        L, B, J = eps.shape
        objective = OBJECTIVES[self.objective, self.estimator]
        encoder_hs = self._encode(x)                                                            # 1   B rows
        mu, log_var = self._heads(encoder_hs[-1])                                               # 2   (B, J) each
        z = reparameterize(mu, log_var, eps)                                                    # 3   (L, B, J)
        decoder_hs = self._decode(z.reshape(L * B, J))                                          # 4   L * B rows
        out = decoder_hs[-1].reshape(L, B, -1)                                                  # 4   (L, B, D)
        scale = self.likelihood.fit(x, out, *self.scale, refit=fit)                             # 5   (log_sigma,) or empty
        log_px_z = self.likelihood.log_prob(x, out, *scale)                                     # 5   (L, B)
        kl = objective.kl(z, mu, log_var)                                                       # 6   (B,) or (L, B)
        loss = objective.loss(log_px_z, kl, self.beta)                                          # 7   ()
        return Forward(encoder_hs, mu, log_var, z, decoder_hs, out, scale, log_px_z, kl, loss)

    def backward(self, x: NDArray, eps: NDArray, f: Forward, gradient: Params) -> Params:
        """Steps 7 to 1: the gradient of the loss in every parameter, written into `gradient`   [beyond.25]"""
        L, B, J = eps.shape
        encoder, d_encoder = self.layers("encoder"), self.layers("encoder", gradient)
        decoder, d_decoder = self.layers("decoder"), self.layers("decoder", gradient)
        objective = OBJECTIVES[self.objective, self.estimator]
        d_log_px_z, d_kl = objective.loss_backward(1, f.log_px_z, f.kl, self.beta)              # 7
        d_z_kl, d_mu_kl, d_log_var_kl = objective.kl_backward(d_kl, f.z, f.mu, f.log_var)       # 6
        d_out, *d_scale = self.likelihood.log_prob_backward(d_log_px_z, x, f.out, *f.scale)     # 5   (L, B, D)
        d_rows = d_out.reshape(L * B, -1)                                                       # 4   (L * B, D)
        d_z_px = mlp_backward(d_rows, f.decoder_hs, decoder, self.activation, d_decoder)        # 4   (L * B, J)
        d_z = d_z_px.reshape(L, B, J) + d_z_kl                                                  # 3   two paths: decoder, KL
        d_mu_z, d_log_var_z = reparameterize_backward(d_z, f.mu, f.log_var, eps)                # 3   (B, J) each
        d_mu = d_mu_z + d_mu_kl                                                                 # 2   two paths: z and the KL
        d_log_var = d_log_var_z + d_log_var_kl                                                  # 2   two paths: z and the KL
        d_heads = np.concatenate([d_mu, d_log_var], axis=1)                                     # 2   (B, 2J)
        mlp_backward(d_heads, f.encoder_hs, encoder, self.activation, d_encoder, wrt_x=False)   # 1   x is data: no gradient
        for name, d in zip(self.likelihood.scale, d_scale):
            gradient[name][...] = d
        return gradient

    def log_likelihood(self, x: NDArray, z: NDArray) -> NDArray:
        """log p(x|z) in nats, (L, B), for data x (B, D) and codes z: (L, B, J), or (L, 1, J) if all data share the codes."""
        out = self._decode(z.reshape(-1, self.latent))[-1].reshape(*z.shape[:2], -1)
        return self.likelihood.log_prob(x, out, *self.scale)

    def _encode(self, x):
        return mlp(self.likelihood.encoder_input(x), self.layers("encoder"), self.activation)

    def _heads(self, h):
        return h[:, : self.latent], h[:, self.latent :]     # the last layer outputs mu, then log_var

    def _decode(self, z):
        return mlp(z, self.layers("decoder"), self.activation)
