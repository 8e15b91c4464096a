import numpy as np

D, H, J = 8, 10, 2


def init_params(seed=1):
    rs = np.random.RandomState(seed)
    return {
        'W_h': rs.randn(D, H) * 0.3, 'W_mu': rs.randn(H, J) * 0.3, 'W_lv': rs.randn(H, J) * 0.3,
        'U_h': rs.randn(J, H) * 0.3, 'U_o': rs.randn(H, D) * 0.3,
    }


params = init_params()


def loss_and_gradient(params, x, eps):
    m = x.shape[0]
    h = np.tanh(x.dot(params['W_h']))
    mu = h.dot(params['W_mu'])
    lv = h.dot(params['W_lv'])
    std = np.exp(lv / 2)
    z = mu + std * eps
    hd = np.tanh(z.dot(params['U_h']))
    out = hd.dot(params['U_o'])

    rec = 0.5 * np.sum((out - x) ** 2) / m
    kl = 0.5 * np.sum(mu ** 2 + np.exp(lv) - lv - 1) / m

    grads = {}
    dout = (out - x) / m
    grads['U_o'] = hd.T.dot(dout)
    dhd = dout.dot(params['U_o'].T) * (1 - hd ** 2)
    grads['U_h'] = z.T.dot(dhd)
    dz = dhd.dot(params['U_h'].T)
    dmu = dz + mu / m
    dlv = 0.5 * (np.exp(lv) - 1) / m
    grads['W_mu'] = h.T.dot(dmu)
    grads['W_lv'] = h.T.dot(dlv)
    dh = (dmu.dot(params['W_mu'].T) + dlv.dot(params['W_lv'].T)) * (1 - h ** 2)
    grads['W_h'] = x.T.dot(dh)
    return rec + kl, grads
