"""Exhibits that change what is optimised, or what is drawn. Most keep the gradient right: no gradient check sees them."""

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
        "The sampler reads log_var as log sigma, the KL as log sigma^2. The backward agrees with this forward, so the "
        "gradient is right and the loss looks better: what it calls a lower bound is none.",
        (
            Change("gaussian", DRAW, "return mu + np.exp(log_var) * eps"),
            Change("gaussian", DRAW_BACKWARD, "d_log_var = (d_z * eps).sum(axis=0) * np.exp(log_var)"),
        ),
        {"likelihood": "bernoulli"},
    ),
    Bug(
        "noise-forgotten",
        "the code is mu, without noise",
        "keras-team/keras-io #790",
        "A plain autoencoder that still pays the KL: the reconstruction is that of a q without width.",
        (
            Change("gaussian", DRAW, "return mu + 0 * sigma * eps"),
            Change("gaussian", DRAW_BACKWARD, "d_log_var = np.zeros_like(mu)"),
        ),
    ),
    Bug(
        "noise-too-small",
        "noise of standard deviation 0.01",
        "keras-team/keras, PR #4211: epsilon_std = 0.01",
        "The draws are a hundred times nearer to mu than the KL is told: it 'gives better results', and bounds nothing.",
        (Change("vae", NOISE, "return 0.01 * rng.standard_normal(shape, self.dtype) if self.noise"),),
    ),
    Bug(
        "noise-shared",
        "one noise vector for the whole batch",
        COMMON,
        "Every datum of a batch is drawn with the same eps. Each draw alone is right; their errors no longer average out.",
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
        "What is drawn from p(x|z) has the square root of the standard deviation that its density has.",
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
        "1/2 (mu^2 + sigma^2 - 1 + log sigma^2): a narrow q is rewarded, and the 'KL' falls below 0.",
        (
            Change("gaussian", KL, "return (mu * mu + (np.expm1(log_var) + log_var)) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (np.exp(log_var) + 1) / 2"),
        ),
    ),
    Bug(
        "log-var-squared",
        "log_var squared for its exponential",
        "deepchem/deepchem, PR #4888",
        "1/2 (mu^2 + log_var^2 - 1 - log_var): smallest at log_var = 1/2, where it is negative.",
        (
            Change("gaussian", KL, "return (mu * mu + log_var**2 - 1 - log_var) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (2 * log_var - 1) / 2"),
        ),
    ),
    Bug(
        "log-sigma-squared",
        "(log sigma)^2 for 2 log sigma",
        "FluxML/model-zoo #73, fixed in PR #76",
        "log sigma^2 and (log sigma)^2 differ by where the square stands; the prior is no longer the optimum.",
        (
            Change("gaussian", KL, "return (mu * mu + (np.expm1(log_var) - (log_var / 2) ** 2)) / 2"),
            Change("gaussian", KL_BACKWARD, "return d_kl * mu, d_kl * (np.exp(log_var) - log_var / 2) / 2"),
        ),
    ),
    Bug(
        "minus-one-dropped",
        "the -1 of the KL dropped",
        "ex4sperans/variational-inference-with-normalizing-flows #1",
        "A constant: every gradient is right, training is the same, and the reported KL is J/2 nats too large.",
        (Change("gaussian", KL, "return (mu * mu + (np.exp(log_var) - log_var)) / 2"),),
    ),
    Bug(
        "minus-one-once",
        "the -1 of the KL counted once instead of once per dimension",
        "ericjang/draw #2, PR #6",
        "In the KL of two full Gaussians J stands where there was one -1 per coordinate. Right for J = 1 only.",
        (Change("divergences", "return (squares - root_q.shape[-1] +", "return (squares - 1 +"),),
    ),
    Bug(
        "prior-too-wide",
        "log of the prior's standard deviation passed as 1 instead of 0",
        "HIPS/autograd, fixed in PR #266",
        "The prior N(0, e^2) in the density, N(0, 1) in the closed form: two KLs that differ.",
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
        "eps = (z - mu) / log_var",
        "AntixK/PyTorch-VAE, models/iwae.py (f71e454)",
        "What brings z back to standard units divides by log_var instead of sigma.",
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
        "A hidden beta of 1/J: the KL costs half of what it should with J = 2, and the 'bound' lies higher.",
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
        "A hidden beta of B. The KL is driven to 0 and nothing is encoded.",
        (
            Change("objective", LOSS, "return (beta * log_px_z.shape[1] * kl - log_px_z).mean()"),
            Change("objective", D_KL, "np.full_like(kl, d_loss * beta / kl.size * log_px_z.shape[1])"),
        ),
    ),
    Bug(
        "mean-over-pixels",
        "cross-entropy averaged over the pixels",
        "keras-team/keras #6015",
        "A hidden beta of D. The number looks like a likelihood per pixel; the latent space collapses.",
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
        "The further q is from the prior, the better: the loss has no minimum.",
        (
            Change("objective", LOSS, "return (-beta * kl - log_px_z).mean()"),
            Change("objective", D_KL, "np.full_like(kl, -d_loss * beta / kl.size)"),
        ),
    ),
    Bug(
        "validated-with-another-weight",
        "learned with one weight of the KL, reported with another",
        "AntixK/PyTorch-VAE, experiment.py (8bf7be5): M_N = kld_weight in training, 1 in validation",
        "The reported loss is not what is minimised: the gradient is that of beta = 0.00025.",
        (Change("objective", D_KL, "np.full_like(kl, 2.5e-4 * d_loss * beta / kl.size)"),),
    ),
    Bug(
        "weighted-bound",
        "the weighted loss reported as a bound",
        "AntixK/PyTorch-VAE #11, #23, #56: questions about one kld_weight",
        "With beta = 1 it is the ELBO; with any other it is another number, compared under the same name.",
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
        "The loss is flat where the model is surest and wrong, and the backward does not know.",
        (
            Change(
                "likelihood",
                "rest = np.log1p(np",
                "logits = np.clip(logits, -16.118, 16.118)\n    rest = np.log1p(np",
            ),
        ),
        {"likelihood": "bernoulli"},
    ),
    Bug(
        "naive-softplus",
        "log(1 + e^a) computed as it is printed",
        "y0ast/Variational-Autoencoder, scikit-learn/VariationalAutoencoder_noSK.py (5c06a7f)",
        "Right until e^a overflows: then the loss is infinite, and everything after it is no number.",
        (
            Change(
                "ops",
                "return np.maximum(a, 0) + np.log1p(np.exp(np.minimum(a, -a)))",
                "return np.log(1 + np.exp(a))",
            ),
            Change(
                "likelihood",
                "return (x * logits - np.maximum(logits, 0) - rest).sum(axis=-1)",
                "return (x * logits - np.log(1 + np.exp(logits))).sum(axis=-1)",
            ),
        ),
    ),
    Bug(
        "grey-bytes",
        "0..255 pixels fed to a Bernoulli",
        "Cross Validated, question 630079: a loss of -5e7 with cross-entropy",
        "Where nothing refuses them, x l - log(1 + e^l) has no maximum in l: the loss falls without end.",
        (Change("checks", "if low < 0 or high > n:", "if low < 0:"),),
        {"likelihood": "bernoulli", "white": 255},
    ),
    Bug(
        "softened-sigma",
        "the optimal sigma passed through a softplus",
        "orybkin/sigma-vae-pytorch, model.py (8873c56): softclip",
        "'Optimal' is then not quite optimal, so d loss / d sigma is not 0 and the gradient lacks a path.",
        (
            Change(
                "likelihood",
                "return np.log(top) + np.log(squared_error(x, mean, top).mean() / x.shape[-1]) / 2",
                "half = np.log(squared_error(x, mean, top).mean() / x.shape[-1]) / 2\n"
                "    return np.log1p(np.exp(np.log(top) + half + 6)) - 6",
            ),
        ),
        {"likelihood": "gaussian", "sigma": "optimal"},
    ),
)

BUGS = (*SAMPLER, *DIVERGENCE, *REDUCTION, *RECONSTRUCTION)
