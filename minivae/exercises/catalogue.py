"""The fourteen exercises: functions with blanks, and the inputs that the judge uses.

For the bonus exercise, this file has only the input: a list with names of bugs. The file `bonus.py` has the rest.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.exercises.cut import Piece, blank, lines_of, source_of, tree_of
from minivae.exercises.prompts import TEXTS
from minivae.params import shapes_of

# Lengths of the axes in the first and the second draw of the inputs. In the first draw, no two axes of a function have the
# same length.
SIZES = (
    {"L": 3, "B": 5, "J": 2, "D": 7, "I": 7, "O": 3, "H": 11},
    {"L": 2, "B": 3, "J": 7, "D": 5, "I": 2, "O": 7, "H": 5},
)
START = 1000.0                                              # initial entries of arrays that the learner must overwrite
CAUGHT = ("exp-log-var", "half-forgotten", "kl-log-var-sign", "noise-not-in-gradient",
          "divided-by-log-var", "noise-forgotten")


class Draw(NamedTuple):
    """The arguments of one call, and the sizes of their axes."""

    sizes: Mapping[str, int]
    arguments: list

    def sizes_of(self, letters: str) -> dict[str, int]:
        """Return the lengths of the axes with these letters."""
        return {letter: size for letter, size in self.sizes.items() if letter in letters}


class Part(NamedTuple):
    """A function of an exercise, the names of its results, and one kind of inputs.

    `case` is the name of the kind: "large inputs", for example. `how` is the name of an adapter: a function of `pupil.HOW`
    that calls the learner's function. If the learner's function writes into the arrays of an argument, `written` is the
    index of that argument. In this case, `results` contains the names of the returned arrays, followed by the names of the
    arrays in that argument.
    """

    piece: Piece
    results: tuple[str, ...]
    letters: str
    draw: Callable
    case: str = ""
    how: str = "plain"
    written: int | None = None
    count: int = 0                                          # number of returned arrays; 0: all results are returned
    turns: tuple[int, ...] = ()                             # place of each result in the order of computation

    @property
    def title(self) -> str:
        """The function's name, and the kind of inputs."""
        return f"{self.piece.function}, {self.case}" if self.case else self.piece.function

    @property
    def returned(self) -> tuple[str, ...]:
        """The names of the arrays that the function returns."""
        return self.results[: self.count or len(self.results)]

    def turn(self, name: str) -> int:
        """Return the place of a result in the order of computation.

        The results at place 0 are computed first. A result can depend only on results at earlier places.
        """
        return self.turns[self.results.index(name)] if self.turns else 0

    def arguments(self) -> list[str]:
        """Return the names of the inputs: the arguments of the function, or the inputs of its adapter."""
        if self.how != "plain":
            return ["self", "self.params", "x", "eps"] if self.how == "model" else ["self.params", "gradient", "self"]
        return [argument.arg for argument in tree_of(self.piece).args.args]

    def steps(self) -> list[str]:
        """Return the names of all variables that are `...` in the blank function, in the order of the lines.

        If one `...` replaces the whole body of the function, the learner chooses the names, so the list is empty. Adam is an
        exception: its state has fixed names, and the list contains them.
        """
        if self.how == "adam":
            return ["self.t", "self.m", "self.v"]
        return [] if self.piece.whole else [name for names, _ in lines_of(self.piece) for name in names]

    @functools.lru_cache(64)
    def draws(self, seed: int) -> list[Draw]:
        """Return two draws of the inputs, with different sizes."""
        return [Draw(sizes, self.draw(np.random.default_rng([seed, k]), sizes)) for k, sizes in enumerate(SIZES)]


class Exercise(NamedTuple):
    """An exercise: its number, name, texts and parts, and the functions of minivae that its file imports."""

    number: int
    name: str
    title: str
    prompt: str
    hints: tuple[str, str, str]
    parts: tuple[Part, ...]
    given: tuple[str, ...]
    # An `Asking`: two functions of the judge. The first returns calls of the learner's functions, the second judges their
    # results. None means that the judge uses the functions in judge.py. Only the bonus exercise has its own two functions.
    asking = None

    @property
    def stem(self) -> str:
        """The name of the exercise's file, without .py."""
        return f"{self.number:02d}_{self.name}"

    def pieces(self) -> list[Piece]:
        """Return the functions of the exercise, without repetition."""
        return list(dict.fromkeys(part.piece for part in self.parts))

    def import_line(self) -> str:
        """Return the line that imports the given functions, or "" if no functions are given."""
        return f"from minivae.exercises.given import {', '.join(self.given)}" if self.given else ""

    def file(self) -> str:
        """Return the text of the learner's file: the prompt and the blank functions."""
        head = f'"""{self.number} of {len(PARTS)}: {self.title}\n\n{self.prompt}\n"""\n\nimport numpy as np\n'
        head += f"\n{self.import_line()}\n" if self.given else ""
        return head + "".join(f"\n\n{blank(piece)}" for piece in self.pieces())


# Inputs


def normal(shapes: str, **fit: Callable) -> Callable:
    """Return a function that draws arrays of standard normal numbers.

    In "BO BI .", each word means one argument, and each letter of a word means one axis of the argument. The word "." means
    a number without axes. `_1=np.tanh` applies tanh to argument 1, which is the second argument.
    """
    def draw(rng, sizes):
        arrays = [rng.standard_normal([sizes[letter] for letter in word.strip(".")]) for word in shapes.split()]
        for place, function in fit.items():
            arrays[int(place[1:])] = function(arrays[int(place[1:])])
        return arrays

    return draw


def coin(a: NDArray) -> NDArray:
    """Return 1 where a > 0, else 0."""
    return (a > 0).astype(float)


def large(a: NDArray) -> NDArray:
    """Return numbers 1000 times as large."""
    return 1000 * a


def narrow(a: NDArray) -> NDArray:
    """Return the first column, (L, 1)."""
    return a[:, :1]


def half_empty(a: NDArray) -> NDArray:
    """Return a copy in which the first row and the first column are -inf."""
    a = a.copy()
    a[0, 1:] = -np.inf
    a[:, 0] = -np.inf
    return a


def along(axis: int, draw: Callable) -> Callable:
    """Return a function that draws arguments with `draw` and adds `axis` as the last argument."""
    return lambda rng, sizes: [*draw(rng, sizes), axis]


def network(rng: np.random.Generator, sizes: Mapping[str, int]) -> list:
    """Return the arguments of mlp_backward for three layers, two of them with tanh."""
    b, i, h, o = (sizes[letter] for letter in "BIHO")
    layers = [(rng.standard_normal(shape), rng.standard_normal(shape[1])) for shape in ((i, h), (h, h + 2), (h + 2, o))]
    hs = [rng.standard_normal((b, i)), *(np.tanh(rng.standard_normal((b, n))) for n in (h, h + 2))]
    hs.append(rng.standard_normal((b, o)))
    d_layers = [(np.full_like(weight, START), np.full_like(bias, START)) for weight, bias in layers]
    return [rng.standard_normal((b, o)), hs, layers, "tanh", d_layers]


def model(likelihood: tuple, **settings) -> Callable:
    """Return a function that draws the arguments for a model: its settings, parameters, data and noise."""
    def draw(rng, sizes):
        scale = ("log_sigma",) if likelihood[0] == "gaussian" else ()
        shapes = shapes_of(sizes["D"], sizes["J"], [sizes["H"]], scale)
        flat = rng.normal(0, 0.5, sum(int(np.prod(shape)) for shape in shapes.values()))
        x = (rng.random((sizes["B"], sizes["D"])) < 0.5).astype(float)
        eps = rng.standard_normal((sizes["L"], sizes["B"], sizes["J"]))
        return [{"likelihood": list(likelihood), "hidden": [sizes["H"]], "beta": 1.0} | settings, flat, x, eps]

    return draw


def optimiser(rng: np.random.Generator, sizes: Mapping[str, int]) -> list:
    """Return parameters, three gradients and the settings of Adam."""
    settings = {"lr": 0.3, "b1": 0.6, "b2": 0.7, "tiny": 0.1}
    return [rng.standard_normal(sizes["D"]), list(rng.standard_normal((3, sizes["D"]))), settings]


def copies(rng: np.random.Generator, sizes: Mapping[str, int]) -> list:
    """Return one argument, a list in random order: the names of the bugs in CAUGHT, and "" (the right code) three times."""
    names = ["", "", "", *CAUGHT]
    return [[names[i] for i in rng.permutation(len(names))]]


# The list of exercises

PARAMETERS = tuple(f"d_{part}.{i}.{name}" for part in ("encoder", "decoder") for i in (1, 2) for name in ("weight", "bias"))
TURNS = (3, 3, 2, 2, 1, 1, 0, 0)                            # place of each gradient in the order of computation, from 0
STEPS = ("L, B, J", "d_z", "d_mu_z, d_log_var_z", "d_mu", "d_log_var")
PATHS = Piece("vae", "VAE.backward", ("d_z_px", "d_z_kl", "d_mu_kl", "d_log_var_kl", "mu", "log_var", "eps"), STEPS[:1],
              lines=STEPS, called="two_paths")  # fmt: skip
BACKWARD = Piece("vae", "VAE.backward", shown=("L, B, J", "encoder, d_encoder", "decoder, d_decoder", "objective"))
LAYERS = tuple(f"d_layers[{i}], {name}" for i in range(3) for name in ("weight", "bias"))


def _paths(rng, sizes):
    arrays = normal("LBJ LBJ BJ BJ BJ BJ LBJ")(rng, sizes)
    return [arrays[0].reshape(-1, sizes["J"]), *arrays[1:]]


PARTS: dict[str, tuple[Part, ...]] = {
    "affine_backward": (Part(Piece("ops", "affine_backward"), ("d_x", "d_weight", "d_bias"), "BIO", normal("BO BI IO O")),),
    "tanh_backward": (Part(Piece("ops", "tanh_backward"), ("d_a",), "BH", normal("BH BH", _1=np.tanh)),),
    "sigmoid_softplus": (
        Part(Piece("ops", "sigmoid_backward"), ("d_a",), "BH", normal("BH BH", _1=lambda a: (1 + np.tanh(a)) / 2)),
        Part(Piece("ops", "softplus_backward"), ("d_a",), "BH", normal("BH BH")),
        Part(Piece("ops", "softplus_backward"), ("d_a",), "BH", normal("BH BH", _1=large), "large inputs"),
    ),
    "log_sum_exp": (
        Part(Piece("ops", "log_sum_exp", 2, whole=True), ("the result",), "LB", normal("LB")),
        Part(Piece("ops", "log_sum_exp", 2, whole=True), ("the result",), "LB", along(1, normal("LB")), "axis 1"),
        Part(Piece("ops", "log_sum_exp", 2, whole=True), ("the result",), "LB", normal("LB", _0=large), "large inputs"),
        Part(Piece("ops", "log_sum_exp", 2, whole=True), ("the result",), "LB", normal("LB", _0=narrow), "one column"),
        Part(Piece("ops", "log_sum_exp", 2, whole=True), ("the result",), "LB", normal("LB", _0=half_empty), "-inf among a"),
    ),
    "log_sum_exp_backward": (
        Part(Piece("ops", "log_sum_exp_backward", 3, whole=True), ("d_a",), "LB", normal("B LB")),
        Part(Piece("ops", "log_sum_exp_backward", 3, whole=True), ("d_a",), "LB", along(1, normal("L LB")), "axis 1"),
        Part(Piece("ops", "log_sum_exp_backward", 3, whole=True), ("d_a",), "LB", normal("B LB", _1=large), "large inputs"),
    ),
    "reparameterize": (
        Part(Piece("gaussian", "reparameterize"), ("z",), "LBJ", normal("BJ BJ LBJ")),
        Part(Piece("gaussian", "reparameterize_backward"), ("d_mu", "d_log_var"), "LBJ", normal("LBJ BJ BJ LBJ")),
    ),
    "kl": (Part(Piece("gaussian", "kl_standard_normal"), ("kl",), "BJ", normal("BJ BJ")),),
    "kl_backward": (
        Part(Piece("gaussian", "kl_standard_normal_backward"), ("d_mu", "d_log_var"), "BJ", normal("BJ BJ BJ")),
    ),
    "bernoulli": (
        Part(Piece("likelihood", "bernoulli_log_prob", whole=True), ("log_px_z",), "LBD", normal("BD LBD", _0=coin)),
        Part(Piece("likelihood", "bernoulli_log_prob_backward"), ("d_logits",), "LBD", normal("LB BD LBD", _1=coin)),
        Part(Piece("likelihood", "bernoulli_log_prob", whole=True), ("log_px_z",), "LBD",
             normal("BD LBD", _0=coin, _1=large), "large logits"),
        Part(Piece("likelihood", "bernoulli_log_prob_backward"), ("d_logits",), "LBD",
             normal("LB BD LBD", _1=coin, _2=large), "large logits"),
    ),
    "gaussian_backward": (
        Part(Piece("likelihood", "gaussian_log_prob_backward"), ("d_mean", "d_log_sigma"), "LBD", normal("LB BD LBD .")),
    ),
    "mlp_backward": (
        Part(Piece("ops", "mlp_backward", 5, whole=True), ("d_x", *LAYERS), "BIHO", network, written=4, count=1,
             turns=(2, 2, 2, 1, 1, 0, 0)),
    ),
    "two_paths": (Part(PATHS, ("d_z", "d_mu", "d_log_var"), "LBJ", _paths, turns=(0, 1, 1)),),
    "whole_backward": (
        Part(Piece("objective", "iw_loss_backward"), ("d_log_px_z", "d_kl"), "LB",
             lambda rng, sizes: [np.array(1.7), *normal("LB LB")(rng, sizes), 1.0]),
        Part(BACKWARD, PARAMETERS, "LBJDH", model(("bernoulli",), beta=1.5), "the ELBO, Bernoulli", "model", turns=TURNS),
        Part(BACKWARD, (*PARAMETERS, "d_log_sigma"), "LBJDH",
             model(("gaussian", "learned"), objective="iwae", estimator="sampled"), "importance weights, Gaussian", "model",
             turns=(*TURNS, 0)),
    ),
    "adam": (Part(Piece("adam", "Adam.step", whole=True), tuple(f"theta after call {i}" for i in (1, 2, 3)), "D", optimiser,
                  how="adam", turns=(0, 1, 2)),),
}  # fmt: skip


GIVEN = {
    "sigmoid_softplus": ("sigmoid",), "bernoulli": ("sigmoid",), "mlp_backward": ("ACTIVATIONS", "affine_backward"),
    "two_paths": ("reparameterize_backward",),
    "whole_backward": ("OBJECTIVES", "log_sum_exp_backward", "mlp_backward", "reparameterize_backward"),
}  # fmt: skip


def forward_lines() -> str:
    """Return the numbered lines of the package's forward pass, without the line that re-estimates sigma."""
    lines = source_of(Piece("vae", "VAE.forward")).splitlines()
    return "\n".join(line for line in lines if "  # " in line and "refit" not in line)


@functools.cache
def exercises() -> tuple[Exercise, ...]:
    """Return the fourteen exercises in order."""
    found, lines = [], forward_lines()
    for number, (name, parts) in enumerate(PARTS.items(), 1):
        title, prompt, *hints = TEXTS[name]
        prompt = prompt.strip("\n").replace("{FORWARD}", lines)
        found.append(Exercise(number, name, title, prompt, tuple(hints), parts, GIVEN.get(name, ())))
    return tuple(found)


def solved_by(function: str) -> list[int]:
    """Return the numbers of the exercises about a function of the package, such as "minivae.gaussian:reparameterize"."""
    return [each.number for each in exercises()
            if function in [f"minivae.{piece.module}:{piece.name}" for piece in each.pieces()]]  # fmt: skip
