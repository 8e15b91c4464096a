# turned my autoencoder into a VAE
import numpy as np

D, H, J = 10, 14, 4
g = np.random.default_rng(11)
enc_w = g.normal(size=(D, H)) * 0.4
mu_w = g.normal(size=(H, J)) * 0.4
lv_w = g.normal(size=(H, J)) * 0.4
dec_w = g.normal(size=(J, H)) * 0.6
out_w = g.normal(size=(H, D)) * 0.6


def encode(x):
    h = np.tanh(x.dot(enc_w))
    return h.dot(mu_w), h.dot(lv_w)


def decode(z):
    # last layer is linear
    return np.tanh(z.dot(dec_w)).dot(out_w)


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - log_var - 1, axis=1)


def log_px_given_z(x, output):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def loss(x, output, mu, log_var):
    return np.mean(-log_px_given_z(x, output) + kl(mu, log_var))
