"""Give each bug of the museum to the doctor as a user would: as plain functions, here from a changed copy of minivae."""

import numpy as np

from minivae.museum import patched
from minivae.museum.problems import likelihood_of


def callables(changes, likelihood="bernoulli", sigma="learned", **settings):
    """Return functions that take the arguments which the doctor passes, and call a changed copy of minivae."""
    copy, samples = patched.package(changes), settings.get("samples", 1)
    settings = {name: value for name, value in settings.items() if name not in ("samples", "white", "data")}
    kind = likelihood_of(copy, "bernoulli" if likelihood == "binomial" else likelihood, sigma)
    rng = np.random.default_rng(0)

    class Fed(copy.vae.VAE):
        """A model whose encoder and decoder compute nothing; they return the arrays that the doctor passes."""

        def _encode(self, x):
            return [x]

        def _heads(self, h):
            return fed["heads"]

        def _decode(self, z):
            return [fed["out"]]

    fed, models = {}, {}

    def model(features, latent, kind_of=Fed, hidden=()):
        key = features, latent, kind_of, hidden
        if key not in models:
            init = {"dtype": np.float64, "likelihood": kind, **settings}
            models[key] = kind_of.init(np.random.default_rng(0), features, latent, hidden, **init)
        return models[key]

    def loss(x, output, mu, log_var):
        fed.update(heads=(mu, log_var), out=output)
        return model(x.shape[1], mu.shape[1]).forward(x, np.zeros((1, *mu.shape))).loss

    def sample(mu, log_var):
        vae = model(4, mu.shape[1])
        return copy.gaussian.reparameterize(mu, log_var, vae.draw_noise(rng, len(mu)))[0]

    def loss_and_gradient(params, x, eps):
        vae = model(6, 2, copy.vae.VAE, (3,))
        vae.params.flat[...] = params
        draws = np.stack([factor * eps for factor in (1, -0.6, 0.3)[:samples]])
        f = vae.forward(x, draws)
        return f.loss, vae.backward(x, draws, f, vae.params.zeros_like()).flat.copy()

    given = {"loss_and_gradient": loss_and_gradient, "params": np.zeros_like(model(6, 2, copy.vae.VAE, (3,)).params.flat)}
    given |= {"features": 6, "latent": 2, "iw_bound": lambda log_w: copy.objective.iw_bound(log_w).mean()}
    if settings.get("estimator", "analytic") == "analytic":
        given |= {"loss": loss, "sample": sample, "kl": lambda mu, log_var: copy.objective.kl_analytic(None, mu, log_var)}
    return given
