"""Exhibits that change the loss or the sampler.

In most of them, the gradient is the gradient of the wrong loss, so gradient checks pass.
"""

from minivae.museum.exhibits import COMMON, Bug
from minivae.museum.patched import Change

KL = "return (mu * mu + (np.expm1(log_var) - log_var)) / 2"
KL_BACKWARD = "return d_kl * mu, d_kl * np.expm1(log_var) / 2"
DRAW = "return mu + sigma * eps"
DRAW_BACKWARD = "d_log_var = (d_z * eps).sum(axis=0) * sigma / 2"
NOISE = "return rng.standard_normal(shape, self.dtype) if self.noise"
LOSS = "return (beta * kl - log_px_z).mean()"
D_KL = "np.full_like(kl, d_loss * beta / kl.size)"

SAMPLER = (
    Bug(
        "exp-log-var",
        "exp(log_var) used as a standard deviation",
        "ddbourgin/numpy-ml, numpy_ml/neural_nets/models/vae.py (b0359af); keras-team/keras #3283",
        "The sampler uses log_var as log sigma, the KL uses it as log sigma^2. The gradient belongs to this wrong loss, so "
        "gradient checks pass. The loss looks better, but minus the loss is not a lower bound of log p(x).",
        (
            Change("gaussian", DRAW, "return mu + np.exp(log_var) * eps"),
            Change("gaussian", DRAW_BACKWARD, "d_log_var = (d_z * eps).sum(axis=0) * np.exp(log_var)"),
        ),
        {"likelihood": "bernoulli"},
    ),
    Bug(
        "noise-forgotten",
        "z is mu, without noise",
        "keras-team/keras-io #790",
        "The model is a plain autoencoder with a KL in its loss: the reconstruction uses z = mu, as if q had no width.",
        (
            Change("gaussian", DRAW, "return mu + 0 * sigma * eps"),
            Change("gaussian", DRAW_BACKWARD, "d_log_var = np.zeros_like(mu)"),
        ),
    ),
    Bug(
        "noise-too-small",
        "noise of standard deviation 0.01",
        "keras-team/keras, PR #4211: epsilon_std = 0.01",
        "Draws are 100 times nearer to mu than the KL assumes. Results look better, but minus the loss is no lower bound.",
        (Change("vae", NOISE, "return 0.01 * rng.standard_normal(shape, self.dtype) if self.noise"),),
    ),
    Bug(
        "noise-shared",
        "one noise vector for the whole batch",
        COMMON,
        "All rows of a batch use the same eps. Each draw alone is right, but the errors of the rows do not average out.",
        (
            Change(
                "vae",
                NOISE,
                "return np.zeros(shape, self.dtype) + rng.standard_normal(shape[::2], self.dtype)[:, None] if self.noise",
            ),
        ),
    ),
    Bug(
        "sigma-or-variance",
        "a log-variance under the name log_sigma",
        "y0ast/Variational-Autoencoder, VAE.py (b3c71bf)",
        "Samples from p(x|z) have the standard deviation sqrt(sigma), but the density uses sigma.",
        (
            Change(
                "likelihood",
                "return rng.normal(out, np.exp(log_sigma))",
                "return rng.normal(out, np.exp(log_sigma / 2))",
            ),
        ),
        {"likelihood": "gaussian"},
    ),
)

DIVERGENCE = (
    Bug(
        "kl-log-var-sign",
        "KL with the sign of log_var flipped",
        "FluxML/model-zoo, fixed in PR #147",
        "The 'KL' is 1/2 (mu^2 + sigma^2 - 1 + log sigma^2). It is negative for a narrow q, which lowers the loss.",
        (
            Change("gaussian", KL, "return (mu * mu + (np.expm1(log_var) + log_var)) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (np.exp(log_var) + 1) / 2"),
        ),
    ),
    Bug(
        "log-var-squared",
        "log_var squared instead of exponentiated",
        "deepchem/deepchem, PR #4888",
        "The 'KL' is 1/2 (mu^2 + log_var^2 - 1 - log_var). Its minimum is negative, and is at log_var = 1/2 instead of 0.",
        (
            Change("gaussian", KL, "return (mu * mu + log_var**2 - 1 - log_var) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (2 * log_var - 1) / 2"),
        ),
    ),
    Bug(
        "log-sigma-squared",
        "(log sigma)^2 instead of 2 log sigma",
        "FluxML/model-zoo #73, fixed in PR #76",
        "log(sigma^2) = 2 log sigma was computed as (log sigma)^2. This 'KL' falls without limit as sigma goes to 0.",
        (
            Change("gaussian", KL, "return (mu * mu + (np.expm1(log_var) - (log_var / 2) ** 2)) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (np.exp(log_var) - log_var / 2) / 2"),
        ),
    ),
    Bug(
        "minus-one-dropped",
        "the -1 of the KL dropped",
        "ex4sperans/variational-inference-with-normalizing-flows #1",
        "Only a constant is missing: all gradients are right and training is the same, but the KL is J/2 nats too large.",
        (Change("gaussian", KL, "return (mu * mu + (np.exp(log_var) - log_var)) / 2"),),
    ),
    Bug(
        "minus-one-once",
        "the -1 of the KL counted once instead of once per dimension",
        "ericjang/draw #2, PR #6",
        "The KL of two Gaussians with full covariances contains -J. Here -1 replaces -J, which is right only for J = 1.",
        (Change("divergences", "return (squares - root_q.shape[-1] +", "return (squares - 1 +"),),
    ),
    Bug(
        "prior-too-wide",
        "log of the prior's standard deviation passed as 1 instead of 0",
        "HIPS/autograd, fixed in PR #266",
        "The prior has the density of N(0, e^2), but the closed-form KL assumes N(0, 1): a KL from draws is different.",
        (
            Change(
                "gaussian",
                "return -(z * z + LOG_2PI).sum(axis=-1) / 2",
                "return -(z * z * np.exp(-2) + 2 + LOG_2PI).sum(axis=-1) / 2",
            ),
            Change("gaussian", "return -d_out[..., None] * z\n", "return -d_out[..., None] * z * np.exp(-2)\n"),
        ),
        {"estimator": "sampled"},
    ),
    Bug(
        "divided-by-log-var",
        "(z - mu) / log_var instead of (z - mu) / sigma",
        "AntixK/PyTorch-VAE, models/iwae.py (f71e454)",
        "The standardised z in log q(z|x) is (z - mu) / sigma. Here z - mu is divided by log_var instead of sigma.",
        (
            Change(
                "gaussian",
                "u = (z - mu) * np.exp(-log_var / 2)                     # (L, B, J)   z in",
                "u = (z - mu) / log_var                     # (L, B, J)   z in",
            ),
        ),
        {"estimator": "sampled"},
    ),
    Bug(
        "kl-mean-over-latents",
        "KL averaged over the latent dimensions",
        "maxhodak/keras-molecules #59, mkusner/grammarVAE #2, podgorskiy/VAE #1",
        "The effect is that of beta = 1/J: with J = 2 the KL has half its weight, and the 'bound' is too high.",
        (
            Change(
                "objective",
                "return kl_standard_normal(mu, log_var).sum(axis=-1)",
                "return kl_standard_normal(mu, log_var).mean(axis=-1)",
            ),
            Change(
                "objective",
                "np.repeat(d_kl[:, None], mu",
                "np.repeat(d_kl[:, None] / mu.shape[1], mu",
            ),
        ),
    ),
)

REDUCTION = (
    Bug(
        "kl-sum-over-batch",
        "KL summed over the batch, reconstruction averaged",
        "SeldonIO/alibi-detect #90: curves change their scale with the batch size",
        "The effect is that of beta = B, the batch size. Training makes the KL nearly 0, so the codes do not depend on x.",
        (
            Change("objective", LOSS, "return (beta * log_px_z.shape[1] * kl - log_px_z).mean()"),
            Change("objective", D_KL, "np.full_like(kl, d_loss * beta / kl.size * log_px_z.shape[1])"),
        ),
    ),
    Bug(
        "mean-over-pixels",
        "cross-entropy averaged over the pixels",
        "keras-team/keras #6015",
        "The effect is that of beta = D, the number of pixels: the latent space collapses. The loss looks small.",
        (
            Change(
                "vae",
                "log_px_z = self.likelihood.log_prob(x, out, *scale)",
                "log_px_z = self.likelihood.log_prob(x, out, *scale) / x.shape[1]",
            ),
            Change("vae", "log_prob_backward(d_log_px_z, x,", "log_prob_backward(d_log_px_z / x.shape[1], x,"),
        ),
    ),
    Bug(
        "kl-wrong-sign",
        "the KL with the wrong sign in the loss",
        "KelvinHong/VAE-study, tex/main.tex (aa267ac); the sign in its loss.py is right",
        "The loss falls as q moves away from the prior, so it has no minimum.",
        (
            Change("objective", LOSS, "return (-beta * kl - log_px_z).mean()"),
            Change("objective", D_KL, "np.full_like(kl, -d_loss * beta / kl.size)"),
        ),
    ),
    Bug(
        "validated-with-another-weight",
        "trained with one weight of the KL, reported with another",
        "AntixK/PyTorch-VAE, experiment.py (8bf7be5): M_N = kld_weight in training, 1 in validation",
        "The reported loss has beta = 1, but training uses the gradient for beta = 0.00025.",
        (Change("objective", D_KL, "np.full_like(kl, 2.5e-4 * d_loss * beta / kl.size)"),),
    ),
    Bug(
        "weighted-bound",
        "the weighted loss reported as a bound",
        "AntixK/PyTorch-VAE #11, #23, #56: questions about one kld_weight",
        "Minus the loss is the ELBO only if beta = 1. Here, minus the loss is called the ELBO although beta is 4.",
        (
            Change(
                "vae",
                "return (f.log_px_z - f.kl).mean(axis=0)",
                "return (f.log_px_z - self.beta * f.kl).mean(axis=0)",
            ),
        ),
        {"beta": 4.0},
    ),
)

RECONSTRUCTION = (
    Bug(
        "clipped-probabilities",
        "probabilities clipped to [1e-7, 1 - 1e-7]",
        "oakleafwarrior/numpy_VAE (3136323)",
        "Where a prediction is confident but wrong, the clipped loss is constant, but the computed gradient is not 0.",
        (
            Change(
                "likelihood",
                "return x * logits - np.maximum(logits, 0) - softplus_excess(logits)",
                "logits = np.clip(logits, -16.118, 16.118)\n"
                "    return x * logits - np.maximum(logits, 0) - softplus_excess(logits)",
            ),
        ),
        {"likelihood": "bernoulli"},
    ),
    Bug(
        "naive-softplus",
        "log(1 + e^a) computed without care for overflow",
        "y0ast/Variational-Autoencoder, scikit-learn/VariationalAutoencoder_noSK.py (5c06a7f)",
        "The result is right until e^a overflows. Then the loss and all results computed from it are infinite or NaN.",
        (
            Change(
                "ops",
                "return np.maximum(a, 0) + softplus_excess(a)",
                "return np.log(1 + np.exp(a))",
            ),
            Change(
                "likelihood",
                "return x * logits - np.maximum(logits, 0) - softplus_excess(logits)",
                "return x * logits - np.log(1 + np.exp(logits))",
            ),
        ),
    ),
    Bug(
        "grey-bytes",
        "pixels from 0 to 255 fed to a Bernoulli",
        "Cross Validated, question 630079: a loss of -5e7 with cross-entropy",
        "If x > 1, log p(x|z) = x l - log(1 + e^l) rises with the logit l without limit, so the loss falls without limit.",
        (Change("checks", "if low < 0 or high > n:", "if low < 0:"),),
        {"likelihood": "bernoulli", "white": 255},
    ),
    Bug(
        "softened-sigma",
        "the optimal sigma passed through a softplus",
        "orybkin/sigma-vae-pytorch, model.py (8873c56): softclip",
        "The backward pass assumes d loss / d sigma = 0. This is true only at the optimal sigma, so the gradient is wrong.",
        (
            Change(
                "likelihood",
                "return log_sigma.astype(mean.dtype)",
                "return np.log1p(np.exp(log_sigma + 6)).astype(mean.dtype) - 6",
            ),
        ),
        {"likelihood": "gaussian", "sigma": "optimal"},
    ),
)

BUGS = (*SAMPLER, *DIVERGENCE, *REDUCTION, *RECONSTRUCTION)
