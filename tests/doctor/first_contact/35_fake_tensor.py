"""My code is written for tensors; the functions at the bottom convert to arrays."""
import numpy as np


class Tensor:
    """stand-in for torch.Tensor, only what the loss needs"""

    def __init__(self, data):
        self.data = data.data if isinstance(data, Tensor) else np.asarray(data, dtype=np.float32)

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.data

    def _v(self, o):
        return o.data if isinstance(o, Tensor) else np.float32(o)

    def __add__(self, o): return Tensor(self.data + self._v(o))
    def __sub__(self, o): return Tensor(self.data - self._v(o))
    def __mul__(self, o): return Tensor(self.data * self._v(o))
    def __rmul__(self, o): return Tensor(self._v(o) * self.data)
    def __radd__(self, o): return Tensor(self._v(o) + self.data)
    def pow(self, n): return Tensor(self.data ** n)
    def exp(self): return Tensor(np.exp(self.data))
    def sum(self, dim=None): return Tensor(self.data.sum(axis=dim))
    def mean(self, dim=None): return Tensor(self.data.mean(axis=dim))


def torch_kl(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)


def torch_loss(x, out, mu, logvar):
    return (0.5 * (out - x).pow(2).sum(1) + torch_kl(mu, logvar)).mean()


def torch_sample(mu, logvar, eps):
    return mu + (0.5 * logvar).exp() * eps


def _wrap(f):
    def g(*arrays):
        return f(*map(Tensor, arrays)).detach().cpu().numpy()
    return g


def kl(mu, log_var):
    return _wrap(torch_kl)(mu, log_var)


def loss(x, output, mu, log_var):
    return _wrap(torch_loss)(x, output, mu, log_var)


def sample(mu, log_var, eps):
    return _wrap(torch_sample)(mu, log_var, eps)
