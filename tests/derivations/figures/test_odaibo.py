"""Tests of Odaibo's figures: each figure shows the numbers that were checked, and faulty figures are refused."""

import dataclasses

import numpy as np
import pytest

from derivations.engine import graph
from derivations.figures import odaibo
from minivae.gaussian import kl_standard_normal, reparameterize
from minivae.vae import VAE
from tests.helpers.drawn import drawn, line, refused

# Figure 1


def test_figure_1_draws_log_t_and_its_tangent_and_shades_the_gap():
    axes = drawn("odaibo-F1")[0].axes[0]
    (t, log), (same, tangent), (_, log2) = (line(axes, name) for name in ("log", "tangent", "log2"))
    assert np.array_equal(t, same) and t.min() < 0.05 and t.max() == 4 and 1 in t
    np.testing.assert_allclose(np.exp(log), t, rtol=1e-12)
    np.testing.assert_allclose(2.0**log2, t, rtol=1e-12)
    assert np.array_equal(tangent, t - 1)
    assert (log <= tangent).all() and list(t[log == tangent]) == [1]
    gap = next(artist for artist in axes.collections if artist.get_label() == "gap")
    vertices = gap.get_paths()[0].vertices
    for curve in (log, tangent):
        assert {tuple(point) for point in np.column_stack([t, curve])} <= {tuple(point) for point in vertices}


def curves(**faulty):
    return lambda: odaibo.log_and_tangent(odaibo.curves() | faulty)


good = odaibo.curves()
t, log2 = good["t"], good["log2"]
# {fault: (function that draws the faulty figure, part of the error message)}
FAULTS = {
    "base 2 instead of e": (curves(log=np.log2(t)), "log t lies below t - 1"),
    "base 10": (curves(log=np.log10(t)), "log t lies below t - 1"),
    "log(1 + t)": (curves(log=np.log1p(t)), "touch at t = 1"),
    "the tangent at t = 2": (curves(tangent=np.log(2) + (t - 2) / 2), "touch at t = 1"),
    "the tangent moved up": (curves(tangent=t - 1 + 1e-6), "touch at t = 1"),
    "the tangent moved down": (curves(tangent=t - 1 - 1e-6), "touch at t = 1"),
    "a steeper line through (1, 0)": (curves(tangent=1.1 * (t - 1)), "log t lies below t - 1"),
    "a kink at t = 1": (curves(log=t - 1 - abs(t - 1)), "t - 1 is the tangent"),
    "no t = 1": (curves(**{name: values[t != 1] for name, values in good.items()}), "touch at t = 1"),
    "log10 for log2": (curves(log2=np.log10(t)), "log2 t lies above t - 1"),
    "ln for log2": (curves(log2=np.log(t)), "log2 t lies above t - 1"),
    "log2 that rises too fast": (curves(log2=log2 + 0.3 * (t > 2)), "log2 t lies below t - 1"),
    "log2 that is a little too large": (curves(log2=log2 + 0.01 * ((t > 1) & (t < 2))), "log2 1.5 = 0.585"),
}


# Figure 2


CARRYING = {                                                # gradients flow backwards along these arrows
    ("encoder_hs", "mu"), ("encoder_hs", "log_var"), ("mu", "z"), ("log_var", "z"), ("z", "decoder_hs"),
    ("decoder_hs", "out"), ("mu", "kl"), ("log_var", "kl"), ("out", "log_px_z"), ("kl", "loss"), ("log_px_z", "loss"),
}  # fmt: skip


def test_arrows_of_figure_2_equal_the_arrows_of_the_implemented_model():
    figure, alt = drawn("odaibo-F2")
    gids = [artist.get_gid() for artist in figure.axes[0].patches if artist.get_gid()]
    on_page = {tuple(gid.split("->")) for gid in gids if "->" in gid and "gradient" not in gid}
    found = odaibo.probed(odaibo.small_vae())
    assert on_page | set(odaibo.WEIGHTS.items()) == found == odaibo.GRAPH
    names = {gid for gid in gids if "->" not in gid}
    assert names == set(odaibo.NODES) == {name for arrow in on_page for name in arrow}
    assert f"{len(on_page)} dark arrows" in alt and f"{len(on_page)} dark arrows" in figure.get_supxlabel()


def test_gradient_arrows_of_figure_2_reach_all_nodes_except_x_and_eps():
    figure, alt = drawn("odaibo-F2")
    gids = {artist.get_gid() for artist in figure.axes[0].patches}
    back = {tuple(gid.removeprefix("gradient ").split("->")) for gid in gids if gid and gid.startswith("gradient")}
    assert back == {(b, a) for a, b in CARRYING} and f"{len(back)} orange ones" in alt
    assert odaibo.GRAPH - CARRYING == {("x", "encoder_hs"), ("x", "log_px_z"), ("eps", "z"), *odaibo.WEIGHTS.items()}


@pytest.mark.slow
def test_arrows_of_figure_2_begin_and_end_at_their_nodes():
    figure, _ = drawn("odaibo-F2")
    figure.draw_without_rendering()
    patches = {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}
    arrows = [gid for gid in patches if "->" in gid]
    assert len(arrows) == 14 + 11
    for gid in arrows:
        start, end = (patches[name].get_window_extent() for name in gid.removeprefix("gradient ").split("->"))
        line = patches[gid].get_path().vertices             # points of the arrow: its line from start to end, then its head
        line = patches[gid].get_transform().transform(line)
        assert gap(line[:1], start) < 6 and gap(line, end) < 6, gid
        assert gap(line[1:], start) > gap(line[:1], start), gid


@pytest.mark.slow
def test_arrows_of_figure_2_do_not_touch_other_nodes():
    figure, _ = drawn("odaibo-F2")
    figure.draw_without_rendering()
    patches = {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}
    for gid in filter(lambda gid: "->" in gid, patches):
        line = points_along(patches[gid].get_transform().transform_path(patches[gid].get_path()))
        for name in set(odaibo.NODES) - set(gid.removeprefix("gradient ").split("->")):
            assert gap(line, patches[name].get_window_extent()) > 3, (gid, name)


def points_along(path):
    """Return points along a path in pixels: fifty for each straight piece. Curves become many straight pieces."""
    pieces = [pair for line in path.to_polygons(closed_only=False) for pair in zip(line, line[1:])]
    return np.concatenate([np.linspace(*pair, 50) for pair in pieces])


def gap(points, box):
    """Return the distance in pixels from a box to the nearest of the points."""
    return np.hypot(*np.maximum(0, np.maximum(box.min - points, points - box.max)).T).min()


class LostGradient(VAE):
    """Wrong: the gradient of the encoder's weights is zero."""

    lost = "encoder"

    def gradient(self, x, eps):
        gradient = self.params.copy()
        for name, array in gradient.items():
            array[...] *= not name.startswith(self.lost)
        return gradient


class LostDecoder(LostGradient):
    """Wrong: the gradient of the decoder's weights is zero."""

    lost = "decoder"


class Feedback(VAE):
    """Wrong: mu depends on z."""

    def forward(self, x, eps, fit=True):
        z = eps[0] * np.exp(self._heads(self._encode(x)[-1])[1] / 2)
        mu = z + self._heads(self._encode(x)[-1])[0]
        return mu


class NoiseOfTheData(VAE):
    """Wrong: the noise is scaled by the data."""

    def forward(self, x, eps, fit=True):
        eps = eps * x.mean()
        return eps


class SeenData(VAE):
    """Wrong: the decoder also uses x."""

    def forward(self, x, eps, fit=True):
        encoder_hs = self._encode(x)
        mu, log_var = self._heads(encoder_hs[-1])
        z = mu + np.exp(log_var / 2) * eps
        decoder_hs = self._decode(z.reshape(-1, self.latent) + x.mean())
        out = decoder_hs[-1]
        return out


class SharedWeights(VAE):
    """Wrong: the KL has an additional term, the sum of the biases of the encoder's first layer."""

    def forward(self, x, eps, fit=True):
        encoder_hs = self._encode(x)
        mu, log_var = self._heads(encoder_hs[-1])
        z = reparameterize(mu, log_var, eps)
        decoder_hs = self._decode(z.reshape(-1, self.latent))
        out = decoder_hs[-1].reshape(*z.shape[:2], -1)
        log_px_z = self.likelihood.log_prob(x, out, *self.scale)
        kl = kl_standard_normal(mu, log_var).sum(axis=-1) + self.layers("encoder")[0][1].sum()
        loss = kl.mean() - log_px_z.mean()
        return loss


class NoNoise(VAE):
    """Wrong: z is the mean, without noise."""

    def forward(self, x, eps, fit=True):
        mu, log_var = self._heads(self._encode(x)[-1])
        z = mu + 0 * eps
        return z


def as_model(cls):
    return cls(odaibo.small_vae().params)


def schematic(vae):
    return lambda: odaibo.schematic(vae)


FAULTS |= {
    "z acts on mu": (schematic(as_model(Feedback)), "nothing leads from z back"),
    "x acts on the noise": (schematic(as_model(NoiseOfTheData)), "nothing acts on eps"),
    "x acts on the decoder": (schematic(as_model(SeenData)), "acts on"),
    "no noise": (schematic(as_model(NoNoise)), "eps acts on z"),
    "shared weights": (schematic(as_model(SharedWeights)), "encoder weights does not act on kl"),
    "sampled KL": (schematic(dataclasses.replace(odaibo.small_vae(), estimator="sampled")), "z does not act on kl"),
    "no gradient in the encoder": (schematic(as_model(LostGradient)), "reaches the weights of the encoder"),
    "no gradient in the decoder": (schematic(as_model(LostDecoder)), "reaches the weights of the decoder"),
    "no KL": (schematic(dataclasses.replace(odaibo.small_vae(), beta=0.0)), "kl acts on loss"),
}


def test_new_and_missing_arrows_of_a_changed_model_are_noticed():
    assert ("z", "mu") in odaibo.probed(as_model(Feedback))
    assert ("x", "decoder_hs") in odaibo.probed(as_model(SeenData))
    found = odaibo.probed(as_model(NoNoise))
    assert ("mu", "z") in found and not {("eps", "z"), ("log_var", "z")} & found
    assert graph.reaches({("z", "a"), ("a", "mu")}, "z", "mu") and not graph.reaches({("mu", "z")}, "z", "mu")


@pytest.mark.parametrize("fault", FAULTS)
def test_drawing_an_odaibo_figure_from_faulty_input_raises_an_error(fault):
    refused(*FAULTS[fault])
