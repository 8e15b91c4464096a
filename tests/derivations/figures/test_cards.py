"""Tests of the flashcards' figures: each figure shows the numbers that were checked, and faulty figures are refused."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from derivations.figures import cards_fits, cards_plate, cards_trick
from minivae.gaussian import kl_standard_normal, reparameterize, reparameterize_backward
from minivae.vae import VAE, Forward
from tests.helpers.drawn import by_gid, drawn, line, refused, words

# {fault: (function that draws the faulty figure, part of the error message)}
FAULTS = {}

# cards-15


def test_figure_cards_15_has_only_x_and_z_in_the_plate():
    axes = drawn("cards-15")[0].axes[0]
    axes.figure.draw_without_rendering()
    plate = by_gid(axes, "plate").get_window_extent()
    letters = {name: by_gid(axes, f"letter {name}").get_window_extent() for name in cards_plate.PLACES}
    inside = {name for name, box in letters.items() if plate.contains(*box.min) and plate.contains(*box.max)}
    assert inside == {"x", "z"} and not any(plate.overlaps(letters[name]) for name in ("theta", "phi"))
    n = next(text for text in axes.texts if text.get_text() == "$N$").get_window_extent()
    assert plate.contains(*n.min) and plate.contains(*n.max)
    assert by_gid(axes, "x").get_facecolor()[:3] != (1, 1, 1) == by_gid(axes, "z").get_facecolor()[:3]


def test_figure_cards_15_has_solid_arrows_for_p_and_dashed_for_q():
    axes = drawn("cards-15")[0].axes[0]
    styles = {a.get_gid(): a.get_linestyle() for a in axes.patches if "->" in str(a.get_gid())}
    solid = {gid for gid, style in styles.items() if style in ("-", "solid")}
    assert solid == {"z->x", "theta->x"} and set(styles) - solid == {"x->z", "phi->z"}


def test_every_arrow_of_figure_cards_15_starts_and_ends_at_a_letter():
    axes = drawn("cards-15")[0].axes[0]
    axes.figure.draw_without_rendering()
    places = {name: axes.transData.transform(place) for name, place in cards_plate.PLACES.items()}
    radius = np.ptp(axes.transData.transform([(0, 0), (cards_plate.RADIUS, 0)])[:, 0])
    for patch in [patch for patch in axes.patches if "->" in str(patch.get_gid())]:
        start, end = patch.get_gid().split("->")
        along = patch.get_transform().transform(patch.get_path().vertices)
        assert np.hypot(*(along[0] - places[start])) < 1.25 * radius, patch.get_gid()
        assert np.hypot(*(along - places[end]).T).min() == pytest.approx(radius, abs=6), patch.get_gid()


class ReplaceableSteps(VAE):
    """A correct model; a subclass can replace one step of its forward pass."""

    def forward(self, x, eps, fit=True):
        hs = self._encode(x)
        mu, log_var = self._heads(hs[-1])
        z = self.draw(mu, log_var, eps, x)
        out = self.decode_to_output(z, x)
        kl = self.prior(mu, log_var)
        return Forward(hs, mu, log_var, z, [out], out, (), None, kl, None)

    def draw(self, mu, log_var, eps, x):
        return reparameterize(mu, log_var, eps)

    def decode_to_output(self, z, x):
        return self._decode(z.reshape(-1, self.latent))[-1].reshape(*z.shape[:2], -1)

    def prior(self, mu, log_var):
        return kl_standard_normal(mu, log_var).sum(axis=-1)


class IgnoresZ(ReplaceableSteps):
    """Wrong: the decoder ignores z."""

    def decode_to_output(self, z, x):
        return super().decode_to_output(0 * z, x)


class DecoderUsesX(ReplaceableSteps):
    """Wrong: the decoder uses x."""

    def decode_to_output(self, z, x):
        return super().decode_to_output(z + x.mean(axis=1, keepdims=True), x)


class DrawsFromThePrior(ReplaceableSteps):
    """Wrong: z is drawn from the prior."""

    def draw(self, mu, log_var, eps, x):
        return reparameterize(0 * mu, 0 * log_var, eps)


class WeightsActOnZ(ReplaceableSteps):
    """Wrong: the sampled z depends on the decoder's weights."""

    def draw(self, mu, log_var, eps, x):
        return super().draw(mu, log_var, eps, x) * self.layers("decoder")[0][0].sum()


class PriorWithParameters(ReplaceableSteps):
    """Wrong: the KL depends on weights, so the prior has parameters."""

    def prior(self, mu, log_var):
        return super().prior(mu - self.layers("decoder")[0][0][:, 0], log_var)


class PointsActOnEachOther(ReplaceableSteps):
    """Wrong: the z of one data point depends on the other data points."""

    def draw(self, mu, log_var, eps, x):
        return super().draw(mu - mu.mean(axis=0), log_var, eps, x)


def plate(cls):
    return lambda: cards_plate.plate(cls(cards_plate.small_vae().params))


def test_check_of_figure_cards_15_accepts_a_correct_model():
    cards_plate.check_model(ReplaceableSteps(cards_plate.small_vae().params))


FAULTS |= {
    "a decoder that ignores z": (plate(IgnoresZ), "generative model has the edge z -> x"),
    "a decoder that uses x": (plate(DecoderUsesX), "generative model has no edge x -> x"),
    "a z drawn from the prior": (plate(DrawsFromThePrior), "inference model has the edge phi -> z, x -> z"),
    "a sampled z that depends on the decoder's weights": (plate(WeightsActOnZ), "inference model has no edge theta -> z"),
    "a prior with parameters": (plate(PriorWithParameters), "the prior has no parameters"),
    "data points that act on each other": (plate(PointsActOnEachOther), "only x and z are separate"),
}


# cards-23


def test_figure_cards_23_draws_both_densities_and_shades_the_valley():
    figure, _ = drawn("cards-23")
    axes = figure.axes[0]
    z, q = line(axes, "q")
    np.testing.assert_allclose(q, np.exp(-(z**2) / 20) / np.sqrt(20 * np.pi), rtol=1e-9)
    p = next(a for a in axes.collections if a.get_label() == "p").get_paths()[0].vertices
    expected = (np.exp(-((p[:, 0] - 3) ** 2) / 2) + np.exp(-((p[:, 0] + 3) ** 2) / 2)) / np.sqrt(8 * np.pi)
    assert all(y == 0 or abs(y - e) < 1e-9 for y, e in zip(p[:, 1], expected)) and p[:, 1].max() > 0.199
    valley = next(a for a in axes.collections if a.get_label() == "valley").get_paths()[0].vertices
    assert valley[:, 0].min() == pytest.approx(-1) and valley[:, 0].max() == pytest.approx(1)
    assert any("24.8 % of $q$\n2.3 % of $p$" in text for text, _ in words(figure))


Z = cards_fits.Z
covering = cards_fits.covering()
q = covering["q"]


def forward(**faulty):
    return lambda: cards_fits.forward(covering | faulty)


def bell(mu, sigma):
    return cards_fits.normal(Z, mu, sigma)


outside = abs(Z) > 1.1
FAULTS |= {
    "a p with modes at +-2.9": (forward(p=cards_fits.mixture(2.9)), "p has its modes"),
    "the reverse fit": (forward(q=bell(2.984, 1.023)), "quarter of its mass in the valley"),
    "a q that is too narrow": (forward(q=bell(0, 3)), "quarter of its mass in the valley"),
    "a q with more mass on the right": (forward(q=q * (1 + 0.5 * np.sign(Z) * outside)), "no Gaussian has a smaller"),
    "a q with slightly more mass on the right": (forward(q=q * (1 + 0.02 * np.sign(Z) * outside)), "0.461995"),
    "a q with heavy tails": (forward(q=q + 2e-6 * (abs(Z) > 12)), "same mean and variance"),
    "a q with small ripples": (forward(q=q * (1 + 1e-3 * np.sin(20 * Z) * outside)), "q is N(0, 10)"),
}


# cards-24


def test_figure_cards_24_shows_the_best_fits_in_panels_with_equal_scales():
    figure, _ = drawn("cards-24")
    wide, narrow = figure.axes
    z, right = line(wide, "right")
    mean, var = (right * z).sum() / right.sum(), (right * z**2).sum() / right.sum()
    assert (mean, (var - mean**2) ** 0.5) == pytest.approx((2.98431, 1.02337), abs=1e-5)
    np.testing.assert_allclose(line(wide, "left")[1], right[::-1], atol=1e-12)
    z, near = line(narrow, "near q")
    assert (near * z**2).sum() / near.sum() == pytest.approx(1.27342**2, abs=1e-4)
    figure.draw_without_rendering()
    scales = [axes.transData.transform([(0, 0), (1, 0.1)]) for axes in (wide, narrow)]
    np.testing.assert_allclose(np.diff(scales[0], axis=0), np.diff(scales[1], axis=0), rtol=0.02)


on_one_mode = cards_fits.on_one_mode()
right, left, near_q = (on_one_mode[name] for name in ("right", "left", "near_q"))


def reverse(**faulty):
    return lambda: cards_fits.reverse(on_one_mode | faulty)


FAULTS |= {
    "a p with bells at +-0.9": (reverse(near_p=cards_fits.mixture(0.9)), "bells of p lie at +-3, and at +-0.8"),
    "the forward fit": (reverse(right=bell(0, 10**0.5), left=bell(0, 10**0.5)), "2.6 % of q and 2.3 % of p"),
    "a q that is not the best": (reverse(left=bell(-2.7, 1.2)), "no Gaussian has a smaller"),
    "a q that is not quite the best": (reverse(left=bell(-2.98, 1.03)), "0.688769"),
    "both fits on the right mode": (reverse(left=right), "the mirror image"),
    "both fits with small ripples": (
        reverse(right=right * (1 + 1e-3 * np.sin(20 * Z) * outside), left=left * (1 - 1e-3 * np.sin(20 * Z) * outside)),
        "the fit on the right is",
    ),
    "a fit of one near bell": (reverse(near_q=bell(0.8, 1)), "with near bells, no Gaussian"),
    "a fit of near bells that is slightly too wide": (reverse(near_q=bell(0, 1.2734 + 1e-4)), "with near bells the fit is"),
}


# cards-30


def test_gradients_reach_mu_and_log_var_only_in_the_right_panel():
    left, right, _ = drawn("cards-30")[0].axes
    gids = [{patch.get_gid() for patch in axes.patches} - {None} for axes in (left, right)]
    gradients = [{gid for gid in page if "gradient" in gid} for page in gids]
    assert gradients == [{"gradient f->z"}, {"gradient f->z", "gradient z->mu", "gradient z->log_var"}]
    values = [page - back - {*"mu log_var eps z f".split()} for page, back in zip(gids, gradients)]
    assert values == [{"mu->z", "log_var->z", "z->f"}, {"mu->z", "log_var->z", "eps->z", "z->f"}]
    assert "eps->z" in gids[1] - gids[0] and not any(gid.endswith("->eps") for page in gids for gid in page)
    assert [a.get_label() for a in left.lines] == ["stop"] and not right.lines


@pytest.mark.slow
def test_common_arrows_look_the_same_in_cards_30_and_in_odaibo_f2():
    """Compare the two figures: the colours and widths of five arrows, the legends, and the texts of the nodes.

    Three of these arrows lead to z. The other two are gradients that lead back from z.
    """
    pages = drawn("odaibo-F2")[0].axes[0], drawn("cards-30")[0].axes[1]
    inner = {"mu->z", "log_var->z", "eps->z", "gradient z->mu", "gradient z->log_var"}
    arrows = [[patch for patch in axes.patches if patch.get_gid() in inner] for axes in pages]
    looks = [{arrow.get_gid(): (arrow.get_edgecolor(), arrow.get_linewidth()) for arrow in each} for each in arrows]
    assert looks[0] == looks[1] and set(looks[0]) == inner
    colours = {gid.startswith("gradient"): look[0] for gid, look in looks[0].items()}
    assert len({look for look in looks[0].values()}) == len(set(colours.values())) == 2
    for name in ("odaibo-F2", "cards-30"):
        written = {text: to_rgba(artist.get_color()) for text, artist in words(drawn(name)[0])}
        assert (written["values, forward"], written["gradients, back"]) == (colours[False], colours[True])
    nodes = [{t.get_text() for t in axes.texts} & {r"$\mu$", r"$\log\,\sigma^2$", r"$\varepsilon$", "$z$"} for axes in pages]
    assert nodes[0] == nodes[1] and len(nodes[0]) == 4


def test_figure_of_cards_30_shows_all_estimates_and_exact_standard_deviations():
    axes = drawn("cards-30")[0].axes[2]
    eps = np.random.default_rng(29).standard_normal(cards_trick.DRAWS)
    expected = {"constant z": 0 * eps, "score": (1 + eps) ** 2 * eps, "path": 2 + 2 * eps}
    low, high = axes.get_xlim()
    for name, (mean, variance) in {"constant z": (0, 0), "score": (2, 30), "path": (2, 4)}.items():
        dots = line(axes, name)[0]
        np.testing.assert_allclose(dots, expected[name], atol=1e-12)
        assert low < dots.min() and dots.max() < high
        ends = line(axes, f"{name} bar")[0]
        np.testing.assert_allclose(ends, (mean - variance**0.5, mean + variance**0.5), atol=1e-9)


def trick(**faulty):
    return lambda: cards_trick.trick(**faulty)


def estimate(name, change):
    """Return a function that draws the figure with faulty values of one estimate: `change(right values, eps)`."""
    def faulty(eps):
        good = cards_trick.estimates(eps)
        return good | {name: change(good[name], eps)}

    return trick(estimate=faulty)


def replaced(sampler, name, value):
    """Return a sampler like `sampler`, in which the function `value` computes the result `name`."""
    return lambda mu, log_var, eps: sampler(mu, log_var, eps) | {name: value(mu, log_var, eps)}


drawn_z, computed_z = cards_trick.drawn_z, cards_trick.computed_z
one_more = lambda *given: (*reparameterize_backward(*given), given[0][0])  # noqa: E731
no_half = lambda *given: (reparameterize_backward(*given)[0], 2 * reparameterize_backward(*given)[1])  # noqa: E731
sign = lambda *given: (-reparameterize_backward(*given)[0], reparameterize_backward(*given)[1])  # noqa: E731
many = lambda eps: len(eps) > 100  # noqa: E731         True for random draws of eps, False for quadrature nodes
FAULTS |= {
    "wrong z on the left": (trick(left=replaced(drawn_z, "z", lambda mu, log_var, eps: eps)), "both sides draw the same z"),
    "a left side whose z is computed": (trick(left=computed_z), "a gradient stops at a drawn z"),
    "a right side whose z is a constant": (
        trick(right=replaced(computed_z, "z", lambda *given: drawn_z(*given)["z"])),
        "through a computed z",
    ),
    "noise that depends on mu": (
        trick(right=replaced(computed_z, "eps", lambda mu, log_var, eps: eps + mu)),
        "no parameter changes the noise",
    ),
    "a backward that returns a gradient for eps": (trick(backward=one_more), "none for eps"),
    "a gradient without the factor 1/2": (trick(backward=no_half), "implemented gradient in log_var"),
    "a gradient with the wrong sign": (trick(backward=sign), "implemented gradient in mu"),
    "path estimates divided by 2": (estimate("path", lambda d, eps: d / 2), "path estimate has mean 2"),
    "constant z estimates of 1": (estimate("constant z", lambda d, eps: 0 * d + 1), "constant z estimate has mean 0"),
    "path estimates with more noise": (estimate("path", lambda d, eps: d + eps), "path estimate has variance 4"),
    "score estimates with less noise": (estimate("score", lambda d, eps: d - eps), "score estimate has variance 30"),
    "path estimates with a wrong mean": (
        estimate("path", lambda d, eps: d + 0.5 * many(eps)),
        "drawn path estimates have mean 2",
    ),
    "path estimates with a small variance": (
        estimate("path", lambda d, eps: d + (2 - d) * 0.4 * many(eps)),
        "drawn path estimates have variance 4",
    ),
    "an estimate outside the axis": (
        estimate("score", lambda d, eps: d + 5 * (d == d.max()) * many(eps)),
        "every estimate lies within the axis",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_drawing_a_cards_figure_from_faulty_input_raises_an_error(fault):
    refused(*FAULTS[fault])
