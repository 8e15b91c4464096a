"""For every known wrong solution, the judge names the code that was changed.

Sentences about a change use only names from the learner's file.
"""

import ast
import re

import numpy as np
import pytest

from minivae.exercises import compare, judge
from minivae.exercises.bonus import find
from minivae.exercises.catalogue import exercises
from minivae.exercises.sentences import Given
from minivae.exercises.variants import CONFUSIONS, variants

SAME = {                                                    # {function: variants that return right numbers in all calls}
    # `into` is (None, None), so into[0] and into[1] are equal.
    "affine_backward": {"`1` in place of `0`", "`0` in place of `1`"},
    # If the maximum is -inf, the function subtracts 0. It could also subtract 1 or 2: exp(-inf - 2) = exp(-inf) = 0.
    "log_sum_exp": {"`1` in place of `0`", "`2` in place of `0`"},
    # The function uses only the shape of `mu`; `d_mu_kl` has the same shape.
    "two_paths": {"`d_mu_kl` in place of `mu`"},
    # The line of `d_bound` uses only the shape of `log_w`. `d_loss` is one number, so d_loss.sum() is equal to it.
    "iw_loss_backward": {"`log_px_z` in place of `log_w`", "`kl` in place of `log_w`", "`1` in place of `0`",
                         "`d_loss.sum()`"},
    # NumPy reads reshape(L * B, -2) as reshape(L * B, -1).
    "backward": {"`2` in place of `1`"},
    # One block holds all parameters, so `start` is always 0. In the three steps of the exercise, no moment is tiny, so
    # nothing has to be reset.
    "step": {"arguments 2 and 3 of `range` exchanged", "`1` in place of `0`", "`2` in place of `0`", "`start +` is missing",
             "`gradient` in place of `self`", "`sum_1` in place of `self`", "`sum_2` in place of `self`",
             "`rate` in place of `self`", "`floor` in place of `self`"},
}  # fmt: skip
UNREACHED = {"bernoulli_log_prob": 62, "mlp_backward": 38}   # number of variants in lines that no call reaches


def telling(arrays, right):
    """Return True if at least one array is wrong for at least one draw of the inputs.

    An array is ignored if it has no finite entry for one of the draws: NaN and infinity do not show which mistake was made.
    """
    pairs = zip(arrays.values(), zip(*right))
    return any(not compare.equal(a, b) and all(np.isfinite(each).any() for each in a) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.stem)
def test_judge_finds_the_changed_code_in_every_wrong_solution(exercise, monkeypatch):
    monkeypatch.setattr(compare, "words_of", lambda *arguments: ())
    silent = {}
    for part in exercise.parts:
        right, known = compare.right_arrays(part, 0), compare.known_arrays(part, 0)
        wrong = [(variant, arrays) for variant, arrays in known if telling(arrays, right)]
        for variant, arrays in wrong:
            given = Given(list(zip(*arrays.values())))
            names = [name for finding in compare.compared(part, 0, given) for name in finding.names]
            assert variant.name in names, (part.title, variant.name)
        same = {variant.name for variant, arrays in known if all(map(compare.equal, arrays.values(), zip(*right)))}
        assert wrong
        silent[part.piece.function] = silent.get(part.piece.function, same) & same
    for function, names in silent.items():
        words = {name.partition(": ")[2] for name in names}
        assert len(names) == UNREACHED[function] if function in UNREACHED else words == SAME.get(function, set()), names


@pytest.mark.slow
def test_every_listed_confusion_runs_and_gives_wrong_numbers():
    parts = [part for exercise in exercises() for part in exercise.parts]
    for function, _, words in CONFUSIONS:
        mine = [part for part in parts if part.piece.function == function]
        assert any(telling(arrays, compare.right_arrays(part, 0)) for part in mine
                   for variant, arrays in compare.known_arrays(part, 0) if variant.name == f"confusion: {words}"), words


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.stem)
def test_sentence_about_a_change_uses_only_names_from_the_learners_file(exercise):
    names = frozenset({"np"}).union(*map(judge.names_in, judge.functions_in(ast.parse(exercise.file())).values()))
    for piece in exercise.pieces():
        for variant in variants(piece):
            said = re.findall(r"`([^`]*)`", variant.said(names))
            assert set(re.findall(r"[A-Za-z_]\w*", " ".join(said))) <= names and "..." not in "".join(said)


def test_lookup_error_is_raised_if_the_line_to_replace_is_missing(monkeypatch):
    piece = find("2").pieces()[0]
    monkeypatch.setattr("minivae.exercises.variants.CONFUSIONS", [("tanh_backward", {"no such line": ""}, "")])
    with pytest.raises(LookupError, match="change CONFUSIONS"):
        variants.__wrapped__(piece)


def test_changed_line_computes_the_first_array_that_is_reported_as_wrong():
    exercise, steps = find("10"), set()
    for variant in variants(exercise.pieces()[0])[::7]:
        verdict = judge.check_names(exercise, {exercise.pieces()[0].function: variant.function})
        first = next((each for each in verdict.findings if each.status == "wrong"), None)
        if variant.line and first and first.array not in exercise.parts[0].results:
            assert first.array in variant.computes(), (variant.name, first)
            steps.add(first.array)
    assert steps == {"sigma", "u"}
