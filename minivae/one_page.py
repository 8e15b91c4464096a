"""A variational autoencoder (VAE) on one page: data, parameters, forward, backward, Adam, training, in NumPy.

A VAE is two neural networks. The encoder turns an image x into q(z|x), a Gaussian over codes z with mean mu and standard
deviation sigma. The decoder turns a code z, drawn from q(z|x), into p(x|z), a distribution over images. Training minimises

    loss = KL(q(z|x) || p(z)) - log p(x|z)              mean over images

The KL measures how far q(z|x) is from the prior p(z), a standard normal; log p(x|z) is called the reconstruction. Both are
in nats: the logarithms are natural. The mean of -loss over z is the ELBO (evidence lower bound), which is at most log p(x).

Run it (a few seconds):    python -m minivae.one_page
Step through it:           python -m pdb -m minivae.one_page
    pdb stops at the top of this page. Type `b 99`, then `c`: it runs to line 99, the first line of train. `n` runs one line;
    on a line that calls forward, backward or adam, `s` enters the function. `p z.shape` prints the shape of z. `q` quits.
"""

import numpy as np

from minivae.data import digits

# A pixel's value is the number of its 4x4 dots that have ink. So p(x|z) is Binomial(16, p), with one p for each pixel.
# Binomial(1, p) would be the Bernoulli, whose -log p(x|z) is the binary cross-entropy. B is the number of images in a batch.
DOTS, D, H, J = 16, 64, 48, 2                                             # dots, pixels, hidden units, coordinates of z
LOG_C = np.log(np.polynomial.polynomial.polypow([1, 1], DOTS))            # log C(16, k): (1 + t)^16 = sum_k C(16, k) t^k
EPOCHS, BATCH = 100, 32


def initial_params(rng: np.random.Generator) -> list[np.ndarray]:
    """Return random weights and zero biases. Dividing by sqrt(fan_in) makes outputs about as large as inputs."""
    params = []
    for fan_in, fan_out in (D, H), (H, J), (H, J), (J, H), (H, D):        # layers h, mu, log_var, g, logits
        params += [rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in), np.zeros(fan_out)]
    return params


def forward(params: list, x: np.ndarray, eps: np.ndarray) -> tuple:
    """Return the results of steps 1 to 7 for counts x (B, D) and noise eps (B, J), drawn from a standard normal."""
    W_h, b_h, W_mu, b_mu, W_log_var, b_log_var, W_g, b_g, W_logits, b_logits = params     # comments: step, shape, meaning
    h = np.tanh((x / DOTS) @ W_h + b_h)                                   # 1  (B, H)  hidden layer of the encoder
    mu = h @ W_mu + b_mu                                                  # 2  (B, J)  mean of q(z|x)
    log_var = h @ W_log_var + b_log_var                                   # 2  (B, J)  log of the variance sigma^2
    sigma = np.exp(log_var / 2)                                           # 3  (B, J)
    z = mu + sigma * eps                                                  # 3  (B, J)  a draw from q(z|x) = N(mu, sigma^2)
    g = np.tanh(z @ W_g + b_g)                                            # 4  (B, H)  hidden layer of the decoder
    logits = g @ W_logits + b_logits                                      # 4  (B, D)  log(p / (1 - p)) for each pixel
    softplus = np.logaddexp(0, logits)                                    # 5  (B, D)  log(1 + exp(logits)) = -log(1 - p)
    log_px_z = (LOG_C[x] + x * logits - DOTS * softplus).sum(axis=1)      # 5  (B,)    log of C(16, x) p^x (1 - p)^(16 - x)
    kl = (mu**2 + np.exp(log_var) - log_var - 1).sum(axis=1) / 2          # 6  (B,)    KL(q(z|x) || p(z)) of two Gaussians
    loss = (kl - log_px_z).mean()                                         # 7  ()
    return h, mu, log_var, sigma, z, g, logits, log_px_z, kl, loss


def backward(params, x, eps, results):
    """Return the gradient of the loss with respect to each parameter: the chain rule, from step 7 back to step 1."""
    # d_mu: gradient with respect to mu. A layer y = a @ W + b has d_W = a.T @ d_y, d_b = d_y.sum(axis=0), d_a = d_y @ W.T.
    _, _, W_mu, _, W_log_var, _, W_g, _, W_logits, _ = params             # W_h and the biases are not needed
    h, mu, log_var, sigma, z, g, logits, *_ = results                     # comments: step number, shape of result, meaning
    d_kl, d_log_px_z = 1 / len(x), -1 / len(x)                            # 7  ()      the same for each image
    d_mu_kl = d_kl * mu                                                   # 6  (B, J)
    d_log_var_kl = d_kl * (np.exp(log_var) - 1) / 2                       # 6  (B, J)
    p = 1 / (1 + np.exp(-logits))                                         # 5  (B, D)  p from its logits
    d_logits = d_log_px_z * (x - DOTS * p)                                # 5  (B, D)  observed minus expected counts
    d_W_logits, d_b_logits = g.T @ d_logits, d_logits.sum(axis=0)         # 4  (H, D) and (D,)
    d_g = d_logits @ W_logits.T                                           # 4  (B, H)
    d_pre_g = d_g * (1 - g**2)                                            # 4  (B, H)  pre_g: input of tanh; slope: 1 - g^2
    d_W_g, d_b_g = z.T @ d_pre_g, d_pre_g.sum(axis=0)                     # 4  (J, H) and (H,)
    d_z = d_pre_g @ W_g.T                                                 # 4  (B, J)
    d_sigma = d_z * eps                                                   # 3  (B, J)
    d_log_var_z = d_sigma * sigma / 2                                     # 3  (B, J)
    d_log_var = d_log_var_z + d_log_var_kl                                # 2  (B, J)  two paths: through z and the KL
    d_mu = d_z + d_mu_kl                                                  # 2  (B, J)  two paths: through z and the KL
    d_W_log_var, d_b_log_var = h.T @ d_log_var, d_log_var.sum(axis=0)     # 2  (H, J) and (J,)
    d_W_mu, d_b_mu = h.T @ d_mu, d_mu.sum(axis=0)                         # 2  (H, J) and (J,)
    d_h = d_mu @ W_mu.T + d_log_var @ W_log_var.T                         # 2  (B, H)  two paths: through mu and log_var
    d_pre_h = d_h * (1 - h**2)                                            # 1  (B, H)  pre_h: input of tanh
    d_W_h, d_b_h = (x / DOTS).T @ d_pre_h, d_pre_h.sum(axis=0)            # 1  (D, H) and (H,)
    return d_W_h, d_b_h, d_W_mu, d_b_mu, d_W_log_var, d_b_log_var, d_W_g, d_b_g, d_W_logits, d_b_logits


def adam(params: list, gradient: tuple, m: list, v: list, t: int) -> None:
    """Change params, m and v in place: step t = 1, 2, 3, ... of Adam (Kingma and Ba 2015)."""
    lr, b1, b2, tiny = 5e-3, 0.9, 0.999, 1e-8
    for i, d_param in enumerate(gradient):
        m[i] = b1 * m[i] + (1 - b1) * d_param                             # moving average of the gradient
        v[i] = b2 * v[i] + (1 - b2) * d_param**2                          # moving average of the squared gradient
        m_hat = m[i] / (1 - b1**t)                                        # corrects for m starting at zero
        v_hat = v[i] / (1 - b2**t)                                        # corrects for v starting at zero
        params[i] -= lr * m_hat / (np.sqrt(v_hat) + tiny)                 # tiny: no division by zero


def report(label: str, params: list, x: np.ndarray, rng: np.random.Generator) -> None:
    """Print reconstruction, KL and ELBO = reconstruction - KL: means over the images x, with one draw of z per image."""
    *_, log_px_z, kl, loss = forward(params, x, rng.standard_normal((len(x), J)))
    print(f"{label}: reconstruction {log_px_z.mean():.2f}, KL {kl.mean():.2f}, ELBO {-loss:.2f} nats")


def train() -> list[np.ndarray]:
    """Train on the digits in mini-batches, print the progress and return the parameters."""
    rng, data = np.random.default_rng(0), digits()
    train_x, test_x = data.train_x.astype(int), data.test_x.astype(int)   # (1442, D) and (355, D)
    params = initial_params(rng)
    m, v, t = [0.0] * len(params), [0.0] * len(params), 0                 # each 0.0 becomes an array in Adam's first step
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(train_x))
        for start in range(0, len(order), BATCH):
            x = train_x[order[start : start + BATCH]]                     # (B, D)
            eps = rng.standard_normal((len(x), J))                        # (B, J)
            results = forward(params, x, eps)
            gradient = backward(params, x, eps, results)
            t += 1
            adam(params, gradient, m, v, t)
        if epoch % 10 == 0:
            report(f"epoch {epoch:3}, training set", params, train_x, rng)
    report(f"epoch {epoch:3}, held-out set", params, test_x, rng)
    return params


if __name__ == "__main__":
    train()
