"""Comparison of the sources: their notation, and the same quantity in each of them, side by side.

The notation is taken from the formulas of the ledger. Some of these formulas are printed in the source; the others are
our formulas for the claims of the source, in the notation of the source. Entries, and in some cases functions of minivae,
compute a quantity for the same random values. The comparison shows which sides agree to the last bit, which agree up to
rounding, and which differ.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.engine import ledger
from derivations.engine.domains import Inputs, draw, point, positive, real, vector
from derivations.engine.equation import LEDGER, Entry
from derivations.engine.judge import judge, value_and_scale
from derivations.engine.numerics import kl, kl_normal, log_density, total
from derivations.engine.worlds import LINEAR, TABLES, evidence, linear_log_evidence, posterior
from derivations.odaibo.divergence import Q_FULL, P
from derivations.pages.terminal import columns, fit, wrapped
from derivations.pages.unicode import sides
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import gaussian_log_prob

AGREE = 1e-9                                                # largest relative difference that rounding can cause
LEGEND = """The columns are: entry; value of one side at the point; comparison of this side
with the definition of the quantity, over {draws} draws, seed {seed} ("off by": the largest relative difference);
verdict of the whole line. A line can be wrong although the side shown here agrees."""

# Notation

NAMES: dict[str, tuple[dict[str, str], str]] = {            # {quantity: ({way to write it: pattern}, name in minivae)}
    "encoder's weights": ({"q_θ": r"q_θ", "q_φ": r"q_φ"}, "params, encoder.*"),
    "decoder's weights": ({"p_θ(x|z)": r"p_θ\([^)]*\|z", "p_φ(x|z)": r"p_φ\([^)]*\|z"}, "params, decoder.*"),
    "logarithm": ({"log": r"\blog\b", "ln": r"\bln\b"}, "natural"),
    "divergence": (
        {"D_KL(q ‖ p)": r"D_KL\(.*‖", "KL(q ‖ p)": r"(?<!_)KL\(.*‖", "D_KL(q|p)": r"D_KL\([\w]+\|[\w]+\)"},
        "kl_standard_normal",
    ),
    "spread of q": (
        {"σ_q": r"σ_q", "σⱼ": r"σⱼ", "σᵢ": r"σᵢ", "σ_φ": r"σ_φ", "σ²⁽ⁱ⁾": r"σ\^\{2\(i\)\}", "Σ": r"Σ\("}, "log_var"
    ),
    "dimensions of z": ({"j to J": r"ⱼ₌₁ᴶ", "i to d": r"ᵢ₌₁\^d"}, "J"),
    "objective": ({"𝒢": r"𝒢", "ℒ": r"ℒ", "F": r"\bF\(", "L_VAE": r"L_VAE"}, "loss = -elbo"),
    "decoder's output": ({"x̂": r"x̂", "x̃": r"x̃", "f(z, θ)": r"f\(z, θ\)"}, "decode(z)"),
    "noise": ({"ε": r"ε"}, "eps"),
}


class Spelling(NamedTuple):
    """One way to write a quantity, and the ids of a source's entries that write the quantity in this way."""

    text: str
    ids: tuple[str, ...]


def notation() -> dict[str, dict[str, list[Spelling]]]:
    """Return {quantity: {source: the ways in which the source's formulas write the quantity}}."""
    sources = [source for source in ledger.SOURCES if source != "beyond"]
    return {quantity: {source: spellings(source, ways) for source in sources} for quantity, (ways, _) in NAMES.items()}


def spellings(source: str, ways: dict[str, str]) -> list[Spelling]:
    """Return the elements of `ways` that occur in a source's formulas, each with the ids of the entries that use it."""
    lines = {entry.id: printed(entry) for entry in ledger.entries(source)}
    found = {way: tuple(id for id, line in lines.items() if re.search(pattern, line)) for way, pattern in ways.items()}
    return [Spelling(way, ids) for way, ids in found.items() if ids]


def printed(entry: Entry) -> str:
    """Return the sides of an entry as Unicode. Sides in square brackets are left out: the source does not print them."""
    return "   ".join(side for _, side in sides(entry.printed.latex) if not re.fullmatch(r"\[[^\[\]]*\]", side))


# Quantities that several sources compute


class Version(NamedTuple):
    """A way to compute a quantity: one side of an entry's equation, or a function of minivae.

    `compute` takes {variable: n values} and returns the n values of the quantity.
    """

    name: str
    text: str
    compute: Callable[[dict], NDArray]


class Quantity(NamedTuple):
    """A quantity that several sources compute.

    `truth` computes the quantity from its definition: it takes {variable: n values} and returns n values of the quantity.
    `simple` is a point with simple numbers, at which the values of all versions are shown.
    """

    name: str
    inputs: Inputs
    simple: dict
    truth: Callable[[dict], NDArray]
    versions: tuple[Version, ...]


def side(id: str, number: int, sign: int = 1, of: Callable[[dict], dict] = lambda values: values) -> Version:
    """Return a Version that computes `sign` times a side of an entry's printed equation. `number` counts the sides from 0.

    The entry and the quantity can have different variables: `of` turns {variable of the quantity: value} into
    {variable of the entry: value}.
    """

    def compute(values: dict) -> NDArray:
        letters = of(values)
        with np.errstate(all="ignore"):
            value = LEDGER[id](**{symbol.name: letters[symbol.name] for symbol in LEDGER[id].printed.inputs})
        return sign * value_and_scale(value[2 * number])[0]

    return Version(id, sides(LEDGER[id].printed.latex)[number][1], compute)


def in_minivae(name: str, compute: Callable[[dict], NDArray]) -> Version:
    """Return minivae's version of a quantity: the function with this dotted name."""
    return Version(name, f"{name.rpartition('.')[2]}(...)", compute)


def quantities() -> tuple[Quantity, ...]:
    """Return all quantities that are compared. The entries must be loaded."""
    mu, sigma = real("mu", r"\mu"), positive("sigma", r"\sigma")
    x, mean, s = vector("x", "x", 4), vector("mean", r"\tilde{x}", 4), positive("s", r"\sigma")
    scalar = lambda v: {"mu_q": v["mu"], "sigma_q": v["sigma"]}  # noqa: E731
    table = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.5, 0.5], [0.5, 0.5]]}
    bound = lambda v: np.log(evidence(v["p_xz"])) - kl(v["q"], posterior(v["p_xz"]))  # noqa: E731
    pixels = lambda v: {"x": v["x"], "x_tilde": v["mean"], "sigma": v["s"]}  # noqa: E731
    return (
        Quantity(
            "-KL(q || N(0, 1)) in closed form", (mu, sigma), {"mu": 1, "sigma": 2},
            lambda v: -kl_normal(v["mu"], v["sigma"], 0, 1),
            (
                side("odaibo.40", 3, of=scalar),
                side("hong.9", 1),
                side("hong.10", 1),
                in_minivae("minivae.gaussian.kl_standard_normal",
                           lambda v: -kl_standard_normal(v["mu"], 2 * np.log(v["sigma"]))),
            ),
        ),
        Quantity(
            "ELBO, reconstruction minus KL", TABLES, table, bound,
            (side("odaibo.28", 1), side("lm.22", 1), side("cards.1", 1)),
        ),
        Quantity(
            "ELBO, from the joint probability", TABLES, table, bound,
            (side("odaibo.26", 1), side("lm.27", 1)),
        ),
        Quantity(
            "log p(x) of x = w z + s eps", LINEAR, {"w": 2, "s": 0.5, "x": 1},
            lambda v: linear_log_evidence(v["w"], v["s"], v["x"]),
            (side("lm.3", 0), side("lm.3", 1)),
        ),
        Quantity(
            "log p(x), from the bound and its gap", TABLES, table, lambda v: np.log(evidence(v["p_xz"])),
            (side("lm.14", 1), side("lm.16", 1), side("lm.17", 1)),
        ),
        Quantity(
            "KL(p || q), from its expectation", (Q_FULL, P), {"q": (0.5, 0.5), "p": (0.9, 0.1)},
            lambda v: kl(v["p"], v["q"]),
            (side("odaibo.10", 1), side("cards.17", 2)),
        ),
        Quantity(
            "-log p(x|z) of four pixels", (x, mean, s), {"x": (0.5,) * 4, "mean": (0,) * 4, "s": 0.5},
            lambda v: -total(log_density(v["x"], v["mean"], v["s"])),
            (
                side("hong.15", 0, of=pixels),
                side("hong.15", 1, of=pixels),
                side("lm.37", 1, -1, lambda v: {"x": v["x"], "f": v["mean"], "var": v["s"] ** 2}),
                in_minivae("minivae.likelihood.gaussian_log_prob",
                           lambda v: -gaussian_log_prob(v["x"], v["mean"][None], np.log(v["s"])[:, 0]).T),
            ),
        ),
    )  # fmt: skip


class Compared(NamedTuple):
    """A version, its `value` at the simple point, and `apart`: its largest relative difference from the definition."""

    name: str
    text: str
    verdict: str
    value: float
    apart: float
    alike: tuple[str, ...]      # names of the other versions with the same values, to the last bit, at every draw


def compare(quantity: Quantity, draws: int = 1000, seed: int = 0) -> list[Compared]:
    """Compare every version of a quantity with its definition and with the other versions."""
    values = draw(quantity.inputs, np.random.default_rng(seed), draws)
    truth = value_and_scale(quantity.truth(values))[0].reshape(draws, -1)
    found = [np.asarray(version.compute(values)).reshape(draws, -1) for version in quantity.versions]
    compared = []
    for version, numbers in zip(quantity.versions, found):
        at = np.asarray(version.compute(point(**quantity.simple))).reshape(-1)[0]
        apart = float((np.abs(numbers - truth) / np.maximum(np.abs(truth), np.abs(numbers))).max())
        pairs = zip(quantity.versions, found)
        alike = tuple(
            other.name for other, theirs in pairs if other is not version and np.array_equal(theirs, numbers)
        )
        verdict = verdict_of(version.name, seed) if version.name in LEDGER else "in the model"
        compared.append(Compared(version.name, version.text, verdict, float(at), apart, alike))
    return compared


def verdict_of(id: str, seed: int) -> str:
    """Return the computed verdict of an entry. If the rows of the entry have different verdicts, join them by "/"."""
    return "/".join(dict.fromkeys(judgement.verdict for judgement in judge(LEDGER[id], 200, seed)))


# The comparison as text


def notation_markdown(found: dict[str, dict[str, list[Spelling]]]) -> str:
    """Return the notation as a table in Markdown: every way to write a quantity, and the number of entries that use it."""
    sources = list(next(iter(found.values())))
    titles = [ledger.SOURCES[source].split(",")[0] for source in sources]
    lines = [f"| | {' | '.join(titles)} | `minivae` |", "|---" * (len(titles) + 2) + "|"]
    for quantity, by_source in found.items():
        cells = [", ".join(f"`{one.text}` {len(one.ids)}" for one in by_source[source]) or "–" for source in sources]
        row = " | ".join(cell.replace("|", "\\|") for cell in (quantity, *cells, f"`{NAMES[quantity][1]}`"))
        lines.append(f"| {row} |")
    return "\n".join(lines)


def notation_lines(found: dict[str, dict[str, list[Spelling]]]) -> list[str]:
    """Return the notation as a table for a terminal."""
    sources = list(next(iter(found.values())))
    width = 18
    lines = [f"{'':{width}}" + "".join(f"{source:{width}}" for source in sources) + "minivae"]
    for quantity, by_source in found.items():
        cells = [", ".join(f"{one.text} {len(one.ids)}" for one in by_source[source]) or "-" for source in sources]
        lines.append(fit(quantity, width) + "".join(fit(cell, width - 1) + " " for cell in cells) + NAMES[quantity][1])
    return lines


def quantity_lines(quantity: Quantity, compared: list[Compared], width: int) -> list[str]:
    """Return a line per version of a quantity: value at the simple point, difference from the definition, verdict, formula.

    The first line names the quantity and the point. The last lines name versions with exactly equal numbers.
    """
    where = ", ".join(f"{name} = {np.asarray(value).tolist()}" for name, value in quantity.simple.items())
    lines = [*wrapped(f"{quantity.name}, at {where}", "", "  ", width)]
    for one in compared:
        off = "agrees" if one.apart <= AGREE else f"off by {min(one.apart, 2):.0%}"
        short = one.name.removeprefix("minivae.").rpartition(".")[2] if one.name.startswith("minivae") else one.name
        lead = f"  {fit(short, 20)} {one.value:12.6f}  {off:10} {one.verdict:12} "
        lines.append(lead + fit(one.text, width - columns(lead)).rstrip())
    alike = dict.fromkeys(", ".join(sorted({one.name, *one.alike})) for one in compared if one.alike)
    return lines + [f"  equal to the last bit: {names}" for names in alike]


def contradictions(compared: list[Compared]) -> list[str]:
    """Return the names of the versions that should agree with the definition, but differ from it.

    Entries that hold, and functions of minivae, should agree with the definition.
    """
    holds = ("holds", "holds-if", "defines", "in the model")
    return [one.name for one in compared if one.verdict in holds and not one.apart <= AGREE]
