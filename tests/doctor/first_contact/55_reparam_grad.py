import numpy as np

D, H, J = 8, 6, 3


def init_params(seed=2):
    r = np.random.default_rng(seed)
    return dict(We=r.normal(size=(D, H)) * .4, Wm=r.normal(size=(H, J)) * .4,
                Wl=r.normal(size=(H, J)) * .4, Wd=r.normal(size=(J, D)) * .4, bd=np.zeros(D))


params = init_params()


def loss_and_gradient(params, x, eps):
    p, N = params, len(x)
    h = np.tanh(x @ p['We'])
    mu, lv = h @ p['Wm'], h @ p['Wl']
    std = np.exp(0.5 * lv)
    z = mu + std * eps
    logits = z @ p['Wd'] + p['bd']
    loss = np.sum(np.logaddexp(0, logits) - x * logits) / N
    loss += 0.5 * np.sum(mu ** 2 + std ** 2 - lv - 1) / N

    dlogits = (1 / (1 + np.exp(-logits)) - x) / N
    dz = dlogits @ p['Wd'].T
    dmu = dz + mu / N
    dlv = dz * std * eps + 0.5 * (std ** 2 - 1) / N
    dh = (dmu @ p['Wm'].T + dlv @ p['Wl'].T) * (1 - h * h)
    grads = dict(We=x.T @ dh, Wm=h.T @ dmu, Wl=h.T @ dlv, Wd=z.T @ dlogits, bd=dlogits.sum(0))
    return loss, grads
