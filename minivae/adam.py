"""Adam (Kingma and Ba 2015), in place on one flat vector."""

import numpy as np

from minivae.checks import real_number, refuse
from minivae.params import Params

BLOCK = 32768                                               # numbers at a time, so that they stay in the cache
FORGET = 64                                                 # steps between two looks for what has decayed to nothing


class Adam:
    """theta <- theta - lr m_hat / (sqrt(v_hat) + tiny),   m_hat and v_hat: weighted means of past g and g^2

    The weights are b^0 for the newest gradient, b^1 for the one before, and so on. So m = sum of b1^age g is kept, and
    m_hat = m / (1 + b1 + ... + b1^(t-1)) = m (1 - b1) / (1 - b1^t): dividing by the sum of the weights is all that
    "bias correction" is. Likewise v. t counts steps, not epochs.

    Parameters
    ----------
    params : Params
        What is updated, in place.
    lr, b1, b2, tiny : float
        Learning rate > 0; decay of m and v in [0, 1); the number that keeps the division finite.
    """

    def __init__(self, params: Params, lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, tiny: float = 1e-8):
        if not isinstance(params, Params):
            refuse("params", "a Params", type(params).__name__, "Give it those of a model: vae.params.")
        self.params = params
        self.lr = real_number("lr", lr, above=0)
        self.b1 = real_number("b1", b1, at_least=0, below=1)
        self.b2 = real_number("b2", b2, at_least=0, below=1)
        self.tiny = real_number("tiny", tiny, above=0)
        self.m, self.v, self.t = np.zeros_like(params.flat), np.zeros_like(params.flat), 0
        self._nothing = 1e4 * np.finfo(params.flat.dtype).tiny                  # 1e-34 in float32
        self._scratch = np.empty_like(params.flat[:BLOCK])

    def step(self, gradient: Params) -> None:
        """One update of every parameter, in place."""
        self.t += 1
        if self.t % FORGET == 0:
            self._forget()
        sum_1 = (1 - self.b1**self.t) / (1 - self.b1)       # sum of the weights in m
        sum_2 = (1 - self.b2**self.t) / (1 - self.b2)       # sum of the weights in v
        # lr (m / sum_1) / (sqrt(v / sum_2) + tiny)  =  rate m / (sqrt(v) + floor)
        rate, floor = self.lr * sum_2**0.5 / sum_1, self.tiny * sum_2**0.5
        for start in range(0, self.params.flat.size, BLOCK):
            here = slice(start, start + BLOCK)
            theta, g, m, v = self.params.flat[here], gradient.flat[here], self.m[here], self.v[here]
            update = self._scratch[: g.size]
            m *= self.b1
            m += g
            v *= self.b2
            v += np.multiply(g, g, out=update)
            np.sqrt(v, out=update)
            update += floor
            np.divide(m, update, out=update)
            update *= rate
            theta -= update

    def _forget(self) -> None:
        """Set to zero what m and v still hold of gradients long past.

        A unit that has died has gradient 0, and its m and v decay for ever. Beside `tiny` they are nothing long before
        they leave the normal range of their dtype, below which a processor is far slower.
        """
        for moment in (self.m, self.v):
            moment[np.abs(moment) < self._nothing] = 0
