"""Exhibits in which the gradient does not fit the forward pass. All models train without an error."""

from minivae.museum.exhibits import COMMON, Bug
from minivae.museum.patched import Change

D_HEADS = "d_heads = np.concatenate([d_mu, d_log_var], axis=1)"
DRAW_BACKWARD = "d_log_var = (d_z * eps).sum(axis=0) * sigma / 2"

HEADS = (
    Bug(
        "noise-drawn-twice",
        "new noise drawn for the backward pass",
        "kwj2104/Simple-Variational-Autoencoder, vae.py (21dcae4)",
        "The gradient of log_var uses noise that was not used in the forward pass: its direction is right only by chance.",
        (
            Change(
                "vae",
                "reparameterize_backward(d_z, f.mu, f.log_var, eps)",
                "reparameterize_backward(d_z, f.mu, f.log_var, np.random.default_rng(0).standard_normal(eps.shape))",
            ),
        ),
    ),
    Bug(
        "noise-not-in-gradient",
        "log_var gets the gradient of z unchanged",
        "maideas/numpy-neural-network, numpy_neural_network/sample_layer.py (c4ecdc6)",
        "dz/dlog_var = eps sigma / 2 is replaced by 1: log_var gets the same gradient through z as mu.",
        (Change("gaussian", DRAW_BACKWARD, "d_log_var = d_z.sum(axis=0)"),),
    ),
    Bug(
        "half-forgotten",
        "dKL/dlog_var without its 1/2",
        COMMON,
        "The gradient of the KL in log_var is too large by a factor of 2: q becomes too wide, but the loss looks normal.",
        (
            Change(
                "gaussian",
                "return d_kl * mu, d_kl * np.expm1(log_var) / 2",
                "return d_kl * mu, d_kl * np.expm1(log_var)",
            ),
        ),
    ),
    Bug(
        "kl-pushes-away",
        "dKL/dmu = -mu",
        COMMON,
        "The KL pushes the codes away from the prior instead of towards it.",
        (
            Change(
                "gaussian",
                "return d_kl * mu, d_kl * np.expm1(log_var) / 2",
                "return -d_kl * mu, d_kl * np.expm1(log_var) / 2",
            ),
        ),
    ),
    Bug(
        "sigmoid-on-a-linear-head",
        "the derivative of a sigmoid in the backward pass of a linear layer (log sigma)",
        "y0ast/Variational-Autoencoder, scikit-learn/VariationalAutoencoder_noSK.py (5c06a7f), Gaussian mode",
        "The derivative of a sigmoid is at most 1/4, so the gradient of this layer is at least four times too small.",
        (
            Change(
                "vae",
                D_HEADS,
                "d_heads = np.concatenate([d_mu, d_log_var / (4 * np.cosh(f.log_var / 2) ** 2)], axis=1)",
            ),
        ),
    ),
    Bug(
        "path-through-sigma-missing",
        "the gradient's path through sigma missing",
        "y0ast/Variational-Autoencoder, scikit-learn/VariationalAutoencoder_noSK.py (5c06a7f), Gaussian mode",
        "The gradient of log_var comes from the KL alone, without the reconstruction: q stays as wide as the prior.",
        (Change("vae", "d_log_var = d_log_var_z + d_log_var_kl", "d_log_var = d_log_var_kl"),),
    ),
    Bug(
        "decoders-gradient-in-the-encoder",
        "dz passed to the encoder in place of dmu and dlog_var",
        "oakleafwarrior/numpy_VAE, src/model.py (3136323)",
        "dmu and dlog_var are computed but not used: the encoder receives the decoder's gradient dz. All shapes match.",
        (Change("vae", D_HEADS, "d_heads = np.concatenate([d_z.sum(axis=0), d_z.sum(axis=0)], axis=1)"),),
    ),
)

WEIGHTS = (
    Bug(
        "weights-not-held-fixed",
        "importance weights not constant in the gradient",
        "AntixK/PyTorch-VAE, models/iwae.py (f71e454); PR #53",
        "The right gradient treats the normalised weights as constants. Here the weights are differentiated as well.",
        (
            Change(
                "vae",
                "d_log_px_z, d_kl = objective.loss_backward(1, f.log_px_z, f.kl, self.beta)",
                "d_log_px_z, d_kl = objective.loss_backward(1, f.log_px_z, f.kl, self.beta)\n"
                "        if self.objective == 'iwae':\n"
                "            log_w = f.log_px_z - f.kl\n"
                "            d_kl *= 1 + log_w - (B * d_kl * log_w).sum(axis=0)\n"
                "            d_log_px_z = -d_kl",
            ),
        ),
        {"objective": "iwae", "estimator": "sampled", "samples": 5},
    ),
)

LAYERS = (
    Bug(
        "activation-skipped",
        "the activation skipped in the forward pass but not in the backward pass",
        "danielkurniadi/Numpy-VAE (29e08eb)",
        "The network is linear, but its backward pass contains the derivative of tanh.",
        (Change("ops", "hs.append(act(affine(hs[-1], weight, bias)))", "hs.append(affine(hs[-1], weight, bias))"),),
        changes_decoder=True,
    ),
    Bug(
        "before-the-activation",
        "weight gradients from values before the activation",
        COMMON,
        "In dW = x^T dy, x is taken before the activation. The shape is right; the numbers are nearly right for small x.",
        (
            Change(
                "ops",
                "affine_backward(d_a, hs[i], *layers[i]",
                "affine_backward(d_a, np.arctanh(hs[i]) if i else hs[i], *layers[i]",
            ),
        ),
    ),
    Bug(
        "mean-declared-sum-differentiated",
        "a mean squared error reported, the gradient of a sum used",
        "danielkurniadi/Numpy-VAE (29e08eb)",
        "The squared error in the printed loss is D times smaller than in the loss whose gradient is used.",
        (
            Change(
                "likelihood",
                "return -squared_error(x, mean, sigma) / 2",
                "return -squared_error(x, mean, sigma) / x.shape[-1] / 2",
            ),
        ),
        {"likelihood": "gaussian"},
    ),
)

BUGS = (*HEADS, *WEIGHTS, *LAYERS)
