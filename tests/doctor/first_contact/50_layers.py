import numpy as np

D, H, J = 11, 13, 3


class Linear:
    def __init__(self, n_in, n_out, rng):
        self.W = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in)
        self.b = rng.normal(size=n_out) * 0.1

    def __call__(self, a):
        return a @ self.W + self.b


class Encoder:
    def __init__(self, rng):
        self.fc1 = Linear(D, H, rng)
        self.fc_mu = Linear(H, J, rng)
        self.fc_logvar = Linear(H, J, rng)

    def forward(self, x):
        h = np.maximum(self.fc1(x), 0)
        mu = self.fc_mu(h)
        logvar = self.fc_mu(h)
        return mu, logvar


class Decoder:
    def __init__(self, rng):
        self.fc1 = Linear(J, H, rng)
        self.fc2 = Linear(H, D, rng)

    def forward(self, z):
        h = np.maximum(self.fc1(z), 0)
        return 1 / (1 + np.exp(-self.fc2(h)))


_rng = np.random.default_rng(5)
_enc, _dec = Encoder(_rng), Decoder(_rng)


def encode(x):
    return _enc.forward(x)


def decode(z):
    return _dec.forward(z)


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return np.mean(-np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1) + kl(mu, log_var))
