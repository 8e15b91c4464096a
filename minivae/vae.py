"""The variational autoencoder: forward in seven numbered steps, backward in the same seven, reversed.

    loss = mean over data and draws of   beta KL( q(z|x) || p(z) )  -  log p(x|z),      z = mu + sigma eps

Or, with importance-weighted draws, its own step 7: minus the mean over data of log 1/L sum_l p(x|z_l) p(z_l) / q(z_l|x).
Shapes: x (B, D) data, mu and log_var (B, J), eps and z (L, B, J) with L draws for every datum, out (L, B, D).
One reduction throughout: sum over D and J, mean over B and L.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minivae import checks
from minivae.gaussian import (
    kl_standard_normal,
    kl_standard_normal_backward,
    log_normal,
    log_normal_backward,
    log_standard_normal,
    log_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from minivae.likelihood import Bernoulli, Gaussian, Likelihood
from minivae.ops import ACTIVATIONS, log_sum_exp, log_sum_exp_backward, mlp, mlp_backward
from minivae.params import Params

ESTIMATORS = ("analytic", "sampled", "path")
OBJECTIVES = ("elbo", "iwae")


class Forward(NamedTuple):
    """What the numbered steps made, in their order. The backward reads it; the model itself remembers nothing."""

    hs: list[NDArray]           # 1  the encoder's layers, the input first
    mu: NDArray                 # 2  (B, J)
    log_var: NDArray            # 2  (B, J)
    z: NDArray                  # 3  (L, B, J)
    gs: list[NDArray]           # 4  the decoder's layers, z first, L * B rows
    out: NDArray                # 4  (L, B, D)   logits or means, as the likelihood reads them
    own: tuple                  # 5  the likelihood's own parameters: () or (log_sigma,)
    log_px_z: NDArray           # 5  (L, B)
    kl: NDArray                 # 6  (B,) in closed form, (L, B) sampled
    loss: NDArray               # 7  ()


@dataclass(frozen=True, eq=False)
class VAE:
    """A VAE with diagonal Gaussian q(z|x) and standard normal prior. Make one with `VAE.init`.

    Attributes
    ----------
    params : Params
        Every weight and bias, and log_sigma if the likelihood has one: views on one flat vector.
    likelihood : Likelihood
        Bernoulli(), Binomial(n) or Gaussian(sigma).
    activation : str
        "tanh" or "relu".
    beta : float
        Weight of the KL, the only weight there is. At beta = 1, minus the loss is the ELBO; above, a looser lower bound of
        log p(x); below, no bound.
    estimator : str
        "analytic": closed-form KL. "sampled": log q(z|x) - log p(z) at the drawn z, the same in expectation. "path":
        sampled, but the gradient leaves out the score of q, whose expectation is 0. So, at beta = 1, that in the encoder
        is 0 for every draw where q(z|x) is the posterior (Roeder, Wu and Duvenaud 2017)   [beyond.48].
    objective : str
        "elbo", or "iwae": the importance-weighted bound of the L draws, which needs sampled and beta = 1.
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
        if not isinstance(self.params, Params) or self.params.layers.keys() != {"encoder", "decoder"}:
            came = list(self.params) if isinstance(self.params, Params) else type(self.params).__name__
            checks.refuse("params", "a Params with an encoder and a decoder", str(came), "Make the model with VAE.init.")
        if not isinstance(self.likelihood, Likelihood):
            checks.refuse("likelihood", "a Likelihood", repr(self.likelihood), "Try likelihood=Bernoulli().")
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.choice("estimator", self.estimator, ESTIMATORS)
        if checks.choice("objective", self.objective, OBJECTIVES) == "iwae":
            self._check_iwae()
        if not isinstance(self.noise, (bool, np.bool_)):
            checks.refuse("noise", "True or False", repr(self.noise), "False makes a deterministic autoencoder.")
        object.__setattr__(self, "beta", checks.real_number("beta", self.beta, at_least=0))    # a plain float: no dtype

    @classmethod
    def init(
        cls,
        rng: np.random.Generator,
        features: int,
        latent: int = 2,
        hidden: Sequence[int] = (128,),
        *,
        dtype=np.float32,
        data_mean: NDArray | None = None,
        **settings,
    ) -> "VAE":
        """A fresh model: D features, J latent coordinates, hidden layers as for the encoder (the decoder mirrors them).

        Weights are Glorot (tanh) or He (relu) draws from `rng`, biases zero. With `data_mean` (D,) the decoder starts
        out saying the mean of the data. `dtype` is float32 or float64; `settings` are the attributes of `VAE`.
        Raises ValueError if an argument breaks its rule.
        """
        checks.generator("rng", rng)
        features, latent = checks.whole_number("features", features, 1), checks.whole_number("latent", latent, 1)
        hidden = checks.sizes("hidden", hidden)
        dtype = checks.float_dtype("dtype", dtype)
        likelihood = settings.get("likelihood", cls.likelihood)
        shapes = shapes_of(features, latent, hidden, getattr(likelihood, "own", ()))
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        vae = cls(Params(shapes, np.zeros(size, dtype)), **settings)
        for name, array in vae.params.items():
            if name.endswith("weight"):
                fan_in, fan_out = array.shape
                variance = 2 / (fan_in + fan_out) if vae.activation == "tanh" else 2 / fan_in
                array[...] = rng.normal(0, variance**0.5, array.shape)
        if data_mean is not None:
            data_mean = checks.real_array("data_mean", data_mean, (features,), np.float64)
            vae.layers("decoder")[-1][1][...] = likelihood.output_for(data_mean)
        for name, value in zip(likelihood.own, likelihood.start()):
            vae.params[name][...] = value
        return vae

    # What the model is made of

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64, of every parameter and every result."""
        return self.params.flat.dtype

    @property
    def features(self) -> int:
        """D."""
        return self.layers("encoder")[0][0].shape[0]

    @property
    def latent(self) -> int:
        """J."""
        return self.layers("decoder")[0][0].shape[0]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the encoder's hidden layers."""
        return tuple(weight.shape[1] for weight, _ in self.layers("encoder")[:-1])

    def layers(self, part: str, params: Params | None = None) -> list[tuple[NDArray, NDArray]]:
        """The (weight, bias) pairs of "encoder" or "decoder", first to last; of `params` instead, if given."""
        return (self.params if params is None else params).layers[part]

    def draw_noise(self, rng: np.random.Generator, rows: int, samples: int = 1) -> NDArray:
        """eps (L, B, J), standard normal; zeros if the model is deterministic."""
        shape = (checks.whole_number("samples", samples, 1), checks.whole_number("rows", rows, 1), self.latent)
        checks.generator("rng", rng)
        return rng.standard_normal(shape, self.dtype) if self.noise else np.zeros(shape, self.dtype)

    @property
    def own(self) -> tuple[NDArray, ...]:
        """The likelihood's own parameters: () or (log_sigma,)."""
        return tuple(self.params[name] for name in self.likelihood.own)

    def astype(self, dtype: DTypeLike) -> "VAE":
        """The same model with its numbers in another dtype; the parameters are copied."""
        return replace(self, params=self.params.astype(checks.float_dtype("dtype", dtype)))

    # What a user asks of it

    def encode(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """mu and log_var of q(z|x), (B, J) each, for data x (B, D)."""
        _, mu, log_var = self._encode(self.check_data(x))
        return mu, log_var

    def decode(self, z: NDArray) -> NDArray:
        """The mean of p(x|z), (B, D), for codes z (B, J)."""
        return self.likelihood.mean(self._decode(self._check_codes(z))[-1])

    def sample(self, rng: np.random.Generator, z: NDArray) -> NDArray:
        """One draw x ~ p(x|z), (B, D), for every code z (B, J)."""
        out = self._decode(self._check_codes(z))[-1]
        return self.likelihood.sample(checks.generator("rng", rng), out, *self.own)

    def loss(self, x: NDArray, eps: NDArray) -> NDArray:
        """The objective in nats, mean over data x (B, D) and draws eps (L, B, J)."""
        return self.forward(*self._check_batch(x, eps)).loss

    def gradient(self, x: NDArray, eps: NDArray) -> Params:
        """The gradient of `loss` in every parameter."""
        x, eps = self._check_batch(x, eps)
        return self.backward(x, eps, self.forward(x, eps), self.params.zeros_like())

    def elbo(self, x: NDArray, eps: NDArray) -> NDArray:
        """The evidence lower bound in nats of every datum, (B,): mean over draws, whatever beta is   [odaibo.28]

        Refused with ValueError for a model without noise, which has none.
        """
        self.check_noise()
        f = self.forward(*self._check_batch(x, eps), fit=False)
        return f.log_px_z.mean(axis=0) - (f.kl if f.kl.ndim == 1 else f.kl.mean(axis=0))

    # Forward and backward. The arguments of all that follows are taken to be checked.

    def forward(self, x: NDArray, eps: NDArray, fit: bool = True) -> Forward:
        """Steps 1 to 7. With `fit` a likelihood that re-estimates its own parameters does so on this batch   [odaibo.43]"""
        L, B, J = eps.shape
        hs, mu, log_var = self._encode(x)                                                   # 1, 2   (B, J) each
        z = reparameterize(mu, log_var, eps)                                                # 3   (L, B, J)
        gs = self._decode(z.reshape(L * B, J))                                              # 4   L * B rows
        out = gs[-1].reshape(L, B, -1)                                                      # 4   (L, B, D)
        own = self.likelihood.fit(x, out, *self.own) if fit else self.own                   # 5
        log_px_z = self.likelihood.log_prob(x, out, *own)                                   # 5   (L, B)
        kl = self._kl(z, mu, log_var)                                                       # 6   (B,) or (L, B)
        loss = (self.beta * kl).mean() - log_px_z.mean()                                    # 7   ()
        if self.objective == "iwae":
            loss -= jensen_gain(log_px_z - kl)                                              # 7   ()
        return Forward(hs, mu, log_var, z, gs, out, own, log_px_z, kl, loss)

    def backward(self, x: NDArray, eps: NDArray, f: Forward, gradient: Params) -> Params:
        """Steps 7 to 1: the gradient of the loss in every parameter, written into `gradient`   [beyond.25]"""
        L, B, J = eps.shape
        encoder, d_encoder = self.layers("encoder"), self.layers("encoder", gradient)
        decoder, d_decoder = self.layers("decoder"), self.layers("decoder", gradient)
        share = self._shares(f) / B                                                         # 7   (L, B)
        d_kl = self.beta * (share if f.kl.ndim == 2 else share.sum(axis=0))                 # 7   (B,) or (L, B)
        d_log_px_z = -share                                                                 # 7   (L, B)
        d_z_kl, d_mu_kl, d_log_var_kl = self._kl_backward(d_kl, f)                          # 6
        d_out, *d_own = self.likelihood.log_prob_backward(d_log_px_z, x, f.out, *f.own)     # 5   (L, B, D)
        d_rows = d_out.reshape(L * B, -1)                                                   # 4   (L * B, D)
        d_z_px = mlp_backward(d_rows, f.gs, decoder, self.activation, d_decoder)            # 4   (L * B, J)
        d_z = d_z_px.reshape(L, B, J) + d_z_kl                                              # 3   two paths
        d_mu_z, d_log_var_z = reparameterize_backward(d_z, f.mu, f.log_var, eps)            # 3   (B, J) each
        d_mu = d_mu_z + d_mu_kl                                                             # 2   two paths
        d_log_var = d_log_var_z + d_log_var_kl                                              # 2   two paths
        d_heads = np.concatenate([d_mu, d_log_var], axis=1)                                 # 2   (B, 2J)
        mlp_backward(d_heads, f.hs, encoder, self.activation, d_encoder, wrt_x=False)       # 1
        for name, d in zip(self.likelihood.own, d_own):
            gradient[name][...] = d
        return gradient

    def log_likelihood(self, x: NDArray, z: NDArray) -> NDArray:
        """log p(x|z) in nats, (L, B), for data x (B, D) and codes z (L, B, J), or (L, 1, J) shared by all data."""
        out = self._decode(z.reshape(-1, self.latent))[-1].reshape(*z.shape[:2], -1)
        return self.likelihood.log_prob(x, out, *self.own)

    def _encode(self, x):
        """Steps 1 and 2: one last layer holds both heads, mu in its first J columns and log_var in the others."""
        hs = mlp(self.likelihood.encoder_input(x), self.layers("encoder"), self.activation)     # 1
        J = self.latent
        mu, log_var = hs[-1][:, :J], hs[-1][:, J:]                                              # 2   (B, J) each
        return hs, mu, log_var

    def _decode(self, z):
        """Step 4: the layers of the decoder for rows of codes (rows, J)."""
        return mlp(z, self.layers("decoder"), self.activation)

    def _shares(self, f):
        """Step 7: how much every draw counts for its datum, (L, B): alike, or as its importance weight."""
        if self.objective == "elbo":
            return np.full(f.log_px_z.shape, 1 / len(f.z), self.dtype)
        return log_sum_exp_backward(np.ones(f.kl.shape[1], self.dtype), f.log_px_z - f.kl)

    def _kl(self, z, mu, log_var):
        """Step 6: in closed form (B,), or sampled (L, B)."""
        if self.estimator == "analytic":
            return kl_standard_normal(mu, log_var).sum(axis=-1)                 # (B,)
        return log_normal(z, mu, log_var) - log_standard_normal(z)              # (L, B)

    def _kl_backward(self, d_kl, f):
        """Step 6: gradients in z, mu and log_var. In closed form z takes no part."""
        if self.estimator == "analytic":
            return 0, *kl_standard_normal_backward(d_kl[:, None], f.mu, f.log_var)
        d_z_q, d_mu, d_log_var = log_normal_backward(d_kl, f.z, f.mu, f.log_var)
        if self.estimator == "path":                        # E[d/dmu log q] = E[d/dlog_var log q] = 0: the score
            d_mu, d_log_var = 0 * d_mu, 0 * d_log_var
        return d_z_q + log_standard_normal_backward(-d_kl, f.z), d_mu, d_log_var    # two paths into z

    # The public entrance

    def check_data(self, x: NDArray) -> NDArray:
        """x as the model's dtype, (B, D), refused with ValueError if it is not data of this likelihood."""
        x = checks.real_array("x", x, (None, self.features), self.dtype)
        self.likelihood.check(x)
        return x

    def check_noise(self) -> None:
        """Raise ValueError for a model without noise: its encoder is no distribution, so there is no bound."""
        if not self.noise:
            remedy = "Its encoder is no distribution, so there is no bound."
            checks.refuse("vae", "a model with noise", "a deterministic one", remedy)

    def _check_iwae(self):
        needs = "for the objective 'iwae'"
        if self.estimator != "sampled":
            remedy = "Its weights hold log q(z|x) at the drawn z."
            checks.refuse("estimator", f"'sampled' {needs}", repr(self.estimator), remedy)
        if self.beta != 1:
            checks.refuse("beta", f"1 {needs}", repr(self.beta), "With another beta it bounds nothing.")
        if isinstance(self.likelihood, Gaussian) and self.likelihood.sigma == "optimal":
            remedy = "Its optimum is that of the ELBO. Try sigma='learned'."
            checks.refuse("sigma", f"a number or 'learned' {needs}", "'optimal'", remedy)

    def _check_codes(self, z):
        return checks.real_array("z", z, (None, self.latent), self.dtype)

    def _check_batch(self, x, eps):
        x = self.check_data(x)
        eps = checks.real_array("eps", eps, (None, len(x), self.latent), self.dtype)
        if not self.noise and eps.any():
            checks.refuse("eps", "zero for a model without noise", "other numbers", "Use draw_noise.")
        return x, eps


def jensen_gain(log_w: NDArray) -> NDArray:
    """By how much the importance-weighted bound exceeds the mean of log w, log_w (L, B): the mean over data

    log 1/L sum_l w_l  -  1/L sum_l log w_l:   not negative but for rounding (of log w), exactly 0 for one draw
    (Burda, Grosse and Salakhutdinov 2016)   [beyond.4]
    """
    bound = log_sum_exp(log_w) - np.log(len(log_w)).astype(log_w.dtype)         # (B,)
    return (bound - log_w.mean(axis=0)).mean()              # ()


def shapes_of(features: int, latent: int, hidden: Sequence[int], own: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of a model of these sizes, by name; `own` are the likelihood's."""
    encoder = mlp_shapes("encoder", [features, *hidden, 2 * latent])
    decoder = mlp_shapes("decoder", [latent, *reversed(hidden), features])
    return encoder | decoder | dict.fromkeys(own, ())


def mlp_shapes(part: str, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights and biases of layers of these widths."""
    shapes = {}
    for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]), start=1):
        shapes[f"{part}.{i}.weight"] = (fan_in, fan_out)
        shapes[f"{part}.{i}.bias"] = (fan_out,)
    return shapes
