"""Lessons about z: collapse, mean or sample, holes in the prior, blur, the grid of images, unused dimensions."""

import numpy as np

from minivae.evidence import lower_bounds, rate_distortion
from minivae.evidence.sweep import measure
from minivae.exercises.lessons.frame import Finding, Setup, data_for, held_out, lesson, nats, trained
from minivae.gaussian import log_standard_normal, reparameterize


def ten(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first image of each class, and the classes: (10, 64) and (10,) if all ten classes occur."""
    classes, first = np.unique(labels, return_index=True)
    return x[first], classes


@lesson(
    3,
    question="Why are all my reconstructions the same blurry image?",
    asked="AppliedDataSciencePartners/WorldModels #12, moses #45",
    predict="Raise beta from 1 to 128. What does the decoder draw for ten different digits?",
    choices=("ten sharper digits", "ten times the same image", "noise"),
    answer=1,
    code=("minivae.evidence.sweep:measure", "minivae.objective:kl_analytic"),
    ledger="lm.33",
    test="test_large_beta_or_sigma_causes_collapse_but_small_values_do_not",
)
def collapse(setup: Setup) -> Finding:
    """Train with five betas; measure how much the decoded images differ from each other."""
    x, labels = held_out(setup)
    images, classes = ten(x, labels)
    pictures, points = {"data": images}, {}
    for each in (0.5, 1.0, 4.0, 16.0, 128.0):
        vae = trained(setup, beta=each)
        points[each] = measure(vae, x, np.random.default_rng(setup.seed), each)
        pictures[f"beta {each:g}"] = vae.decode(vae.encode(images)[0])
    rows = [
        (f"beta {each:g}", f"KL {nats(p.rate)}, {p.active} of 2 dimensions active, sd of images / sd of data {p.spread:.3f}")
        for each, p in points.items()
    ]
    finding, notes = "With a large beta, the decoder ignores z", ["", *(f"KL {p.rate:.2g}" for p in points.values())]
    caption = "Each row: the mean of p(x|z) at z = mu(x). KL in nats. With a KL of 0, z does not depend on x."
    first, last = points[1.0], points[128.0]
    return Finding(
        last.spread, "standard deviation of the decoded images, as a fraction of that of the data, at beta = 128", rows,
        last.spread < 0.05 and last.collapsed and first.spread > 0.3 and first.active == 2,
        f"The decoder ignores z: the KL is {nats(last.rate)} instead of {nats(first.rate)}. Look for the cause in this "
        "order: a mean instead of a sum, a large beta, a large decoder sigma. If you find no such "
        "cause, collapse is the optimum.",
        lambda figures: figures.images(vae, pictures, notes, classes, data_for("binomial"), finding, caption),
    )  # fmt: skip


@lesson(
    5,
    question="Do I decode the mean or a sample? From q(z|x) or from the prior? In training or in testing?",
    asked="MONAI #8413, keras-io #790, Cross Validated, question 369660",
    predict="Decode z = mu instead of a sample z ~ q(z|x). How does log p(x|z) change?",
    choices=("it rises", "not at all", "it falls"),
    answer=0,
    code=("minivae.vae:VAE.forward", "minivae.vae:VAE.decode", "minivae.vae:VAE.sample"),
    ledger="odaibo.t34",
    test="test_autoencoder_reconstructs_better_than_a_vae_and_ignores_the_prior",
)
def mean_or_sample(setup: Setup) -> Finding:
    """Compare log p(x|z) at z = mu(x) with the mean of log p(x|z) over z ~ q(z|x).

    Also decode three kinds of z: mu(x), a sample from q(z|x), and a sample from the prior.
    """
    x, labels = held_out(setup)
    vae, rng = trained(setup), np.random.default_rng(setup.seed)
    at_mean = float(vae.forward(x, np.zeros((1, len(x), 2), vae.dtype)).log_px_z.mean())
    mean = float(lower_bounds(vae, x, 1000, rng).reconstruction.mean())
    images, classes = ten(x, labels)
    mu, log_var = vae.encode(images)
    draws = {"z = mu(x)": mu, "z ~ q(z|x)": reparameterize(mu, log_var, vae.draw_noise(rng, len(images)))[0]}
    draws["z ~ p(z), the prior"] = rng.standard_normal(mu.shape)
    pictures = {"data": images} | {name: vae.decode(z) for name, z in draws.items()}
    finding = "One decoder, three choices of z"
    rows = [("log p(x|z) at z = mu(x)", nats(at_mean)), ("mean of log p(x|z) over z ~ q(z|x)", nats(mean))]
    caption = "The first three rows show the same digits. The last row has new images: their classes are not known."
    return Finding(
        at_mean - mean, "nats by which log p(x|z) at the mean is above its mean over q(z|x)", rows, at_mean - mean > 0.1,
        "The mean of a function is not the function of the mean. The ELBO needs z ~ q(z|x): with z = mu it would be "
        f"too high by {nats(at_mean - mean)}. Show a reconstruction with z = mu; make a new image with z ~ N(0, I).",
        lambda figures: figures.images(vae, pictures, [""] * 4, classes, data_for("binomial"), finding, caption),
    )  # fmt: skip


@lesson(
    10,
    question="The ELBO is good but the samples are bad. The latent space has holes. Is something wrong?",
    asked="Cross Validated, question 333018; AI Stack Exchange, question 35862",
    predict="After training, average the densities q(z|x) over all x. Is this average q(z) equal to the prior N(0, I)?",
    choices=("yes, the KL term forces it", "nearly, but not exactly", "no, it is 0.3 nats or more away"),
    answer=2,
    code=("minivae.evidence.rates:rate_distortion", "minivae.evidence.rates:log_aggregate"),
    ledger="beyond.8",
    test="test_parts_of_the_mean_kl_agree_with_integrals_over_the_aggregate_posterior",
)
def holes(setup: Setup) -> Finding:
    """Split the KL into two parts: the information that z has about x, and the KL from q(z) to the prior."""
    x, _ = held_out(setup._replace(rows=1000))
    vae = trained(setup)
    rates = rate_distortion(vae, x, np.random.default_rng(setup.seed))
    rows = [
        ("KL, mean over the data", nats(rates.kl)),
        ("first part: information about x in z", nats(rates.mutual_information)),
        ("second part: KL from q(z) to the prior", nats(rates.marginal_kl)),
    ]
    return Finding(
        rates.marginal_kl, "nats of KL from q(z), the aggregate posterior, to the prior", rows,
        rates.marginal_kl > 0.3 and rates.mutual_information > rates.marginal_kl,
        "Nothing is wrong. The ELBO penalises the distance of q(z) from the prior, but does not make it 0. The "
        "decoder was not trained where q(z) has no mass, but samples z ~ p(z) can lie in such holes.",
        lambda figures: figures.aggregate(vae, x, rates),
    )  # fmt: skip


@lesson(
    12,
    question="Why are VAE images blurry?",
    asked="mydeeplearningblog.wordpress.com and many others",
    predict="Take the variance of the pixels over the data. How much of it do the decoded means keep?",
    choices=("all of it", "a part; the rest is in the noise of p(x|z)", "more than all of it"),
    answer=1,
    code=("minivae.vae:VAE.decode", "minivae.likelihood:Binomial.sample"),
    ledger="hong.4",
    test="test_reconstructions_show_the_mean_and_a_sample_decoded_from_the_same_z",
)
def blur(setup: Setup) -> Finding:
    """Split the variance of the pixels into the variances of decoded means and residuals, and twice their covariance."""
    x, labels = held_out(setup._replace(rows=1000))
    vae, rng = trained(setup), np.random.default_rng(setup.seed)
    z = reparameterize(*vae.encode(x), vae.draw_noise(rng, len(x)))[0]
    mean, data = vae.decode(z).astype(float), x.astype(float)
    rest = data - mean
    parts = [a.var(axis=0).sum() for a in (data, mean, rest)]
    parts.append(2 * ((mean - mean.mean(axis=0)) * (rest - rest.mean(axis=0))).mean(axis=0).sum())
    fraction = float(parts[1] / parts[0])
    left = abs(parts[0] - sum(parts[1:])) / parts[0]
    names = "data", "decoded means", "residuals", "2 x covariance of means and residuals"
    rows = [(f"variance, {name}" if i < 3 else name, f"{part:.1f}") for i, (name, part) in enumerate(zip(names, parts))]
    return Finding(
        fraction, "variance of the decoded means, as a fraction of the variance of the data", rows,
        fraction < 0.8 and abs(left) < 1e-9,
        f"The means keep {100 * fraction:.0f} % of the variance; the rest is noise of p(x|z), which a mean leaves out. "
        "If two images have the same code z, the best single image for both is their average, which is blurred.",
        lambda figures: figures.reconstructions(vae, x, np.random.default_rng(setup.seed), figures.SHAPE, labels,
                                                classes=figures.class_names(data_for("binomial"))),
    )  # fmt: skip


@lesson(
    13,
    question="What does the famous grid of images show, and why does it use the inverse normal CDF (ppf)?",
    asked="Cross Validated, question 345269; Data Science Stack Exchange, question 48971",
    predict="A 20 x 20 grid at quantiles of the prior: how many of its images have both |z1| and |z2| below 1?",
    choices=("about a tenth", "about half", "nearly all"),
    answer=1,
    code=("minivae.figures.latent:prior_quantiles", "minivae.figures.latent:manifold"),
    ledger="lm.11",
    test="test_manifold_shows_decoder_means_at_normal_quantiles_and_z_1_is_horizontal",
)
def grid(setup: Setup) -> Finding:
    """Compare two grids of z: quantiles of the prior, and equally spaced values from -3 to 3."""
    from minivae.figures.latent import prior_quantiles      # imported here: matplotlib takes half a second

    vae = trained(setup)
    axis_values = {"quantiles of the prior (ppf)": prior_quantiles(20), "equal distances": np.linspace(-3, 3, 20)}
    fractions = {name: float((np.abs(z) < 1).mean() ** 2) for name, z in axis_values.items()}
    rows = [(f"{name}: images with |z1|, |z2| < 1", f"{100 * value:.0f} %") for name, value in fractions.items()]
    for name, z in axis_values.items():
        ratio = np.exp(log_standard_normal(np.full(2, z[0])) - log_standard_normal(np.zeros(2)))
        rows.append((f"{name}: density of the prior, corner / centre", f"{ratio:.2g}"))
    ppf, even = fractions.values()
    finding = f"{100 * ppf:.0f} % of the left images, but {100 * even:.0f} % of the right ones, lie in the orange frame"
    caption = "The same decoder. Frame: |z1| < 1 and |z2| < 1, which has 47 % of the prior probability."
    return Finding(
        ppf, "fraction of the images at quantiles of the prior with |z1| < 1 and |z2| < 1", rows,
        abs(ppf - 0.466) < 0.06 and even < 0.2,
        "At quantiles, each image stands for the same probability, 1/400, so the grid shows what the prior generates. At "
        "equal distances, most images show values of z that are almost never drawn.",
        lambda figures: figures.grids(vae, axis_values, finding, caption),
    )  # fmt: skip


@lesson(
    18,
    question="I gave the model 20 latent dimensions. Does it use them all?",
    asked="Cross Validated, 'VAE Active Units'",
    predict="Train on 0/1 digits of 64 pixels with 20 latent dimensions. How many are inactive?",
    choices=("none: more is better", "some: their KL is nearly 0", "all of them"),
    answer=1,
    code=("minivae.evidence.rates:rate_distortion", "minivae.figures.latent:kl_per_dimension"),
    ledger="odaibo.t25",
    test="test_coordinate_is_active_only_if_its_variance_exceeds_the_threshold",
)
def unused(setup: Setup) -> Finding:
    """Count the inactive dimensions of a model with 20 latent dimensions."""
    x, _ = held_out(setup._replace(rows=1000), "bernoulli")
    longer = setup._replace(epochs=5 * setup.epochs // 2)   # train longer, because dimensions become inactive slowly
    wide, narrow = (trained(longer, "bernoulli", latent) for latent in (20, 2))
    rates, narrow_rates = (rate_distortion(vae, x, np.random.default_rng(setup.seed), 2) for vae in (wide, narrow))
    inactive = int((~rates.active).sum())
    largest = float(np.sort(rates.kl_per_dimension)[-10:].sum() / rates.kl)
    rows = [
        ("KL of all 20 dimensions", nats(rates.kl)),
        ("share of the KL in the 10 dimensions with the largest KL", f"{100 * largest:.0f} %"),
        ("held-out ELBO with 20 dimensions", nats(rates.reconstruction - rates.kl)),
        ("held-out ELBO with 2 dimensions", nats(narrow_rates.reconstruction - narrow_rates.kl)),
    ]
    caption = "Variance of mu_j(x) over held-out digits. Below 0.01 a dimension is inactive: mu_j(x) hardly depends on x."
    lines = {"variance": np.sort(rates.variance_of_means)[::-1]}
    names = "latent dimension, largest variance first", "variance of mu_j(x)"
    panel = ("", *names, np.arange(1, 21), lines, [(0.01, "0.01")], "y")
    return Finding(
        inactive, "of 20 latent dimensions are inactive", rows, 1 <= inactive < 20 and largest > 0.8,
        f"The ten dimensions with the largest KL carry {100 * largest:.0f} % of it. If a dimension helps less than its KL "
        "costs, its q(z|x) becomes the prior: its KL is 0, and it does no harm. That is not a bug.",
        lambda figures: figures.curves([figures.Panel(*panel)], f"{inactive} of 20 latent dimensions are inactive", caption),
    )  # fmt: skip
