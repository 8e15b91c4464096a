import numpy as np

f32 = np.float32
LOG2PI = f32(np.log(2 * np.pi))


def _f(*arrays):
    return [np.asarray(a, dtype=f32) for a in arrays]


def sample(mu, log_var, eps):
    mu, log_var, eps = _f(mu, log_var, eps)
    return mu + np.exp(f32(0.5) * log_var) * eps


def kl(mu, log_var):
    mu, log_var = _f(mu, log_var)
    return f32(0.5) * (np.expm1(log_var) - log_var + mu * mu).sum(-1)


def log_px_given_z(x, output):
    x, output = _f(x, output)
    return (f32(-0.5) * ((x - output) ** 2 + LOG2PI)).sum(-1)


def loss(x, output, mu, log_var):
    return f32(np.mean(kl(mu, log_var) - log_px_given_z(x, output)))
