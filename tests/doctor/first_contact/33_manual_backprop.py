"""All gradients by hand. Linear-tanh encoder, linear-sigmoid decoder, Bernoulli likelihood."""
import numpy as np

D, H, J = 9, 7, 3


def init_params(seed=0):
    r = np.random.default_rng(seed)
    n = lambda *s: r.normal(size=s) * 0.4
    return {'W1': n(D, H), 'b1': n(H), 'Wm': n(H, J), 'bm': n(J), 'Wv': n(H, J), 'bv': n(J),
            'V1': n(J, H), 'c1': n(H), 'V2': n(H, D), 'c2': n(D)}


params = init_params()


def loss_and_gradient(params, x, eps):
    P, B = params, len(x)
    # forward
    h = np.tanh(x @ P['W1'] + P['b1'])
    mu = h @ P['Wm'] + P['bm']
    lv = h @ P['Wv'] + P['bv']
    sd = np.exp(0.5 * lv)
    z = mu + sd * eps
    k = np.tanh(z @ P['V1'] + P['c1'])
    a = k @ P['V2'] + P['c2']
    nll = np.sum(np.logaddexp(0, a) - x * a)
    kld = 0.5 * np.sum(mu ** 2 + np.exp(lv) - lv - 1)
    loss = (nll + kld) / B
    # backward
    G = {}
    da = (1 / (1 + np.exp(-a)) - x) / B
    G['V2'], G['c2'] = k.T @ da, da.sum(0)
    dk = (da @ P['V2'].T) * (1 - k ** 2)
    G['V1'], G['c1'] = z.T @ dk, dk.sum(0)
    dz = dk @ P['V1'].T
    dmu = dz + mu / B
    dlv = dz * eps * 0.5 * sd + 0.5 * (np.exp(lv) - 1) / B
    G['Wm'], G['bm'] = h.T @ dmu, dmu.sum(0)
    G['Wv'], G['bv'] = h.T @ dlv, dlv.sum(0)
    dh = (dmu @ P['Wm'].T + dlv @ P['Wv'].T) * (1 - h ** 2)
    G['W1'], G['b1'] = x.T @ dh, dh.sum(0)
    return loss, G
