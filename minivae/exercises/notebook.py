"""Write exercises and lessons as Jupyter notebooks: JSON, nbformat 4. The code in the cells is plain Python."""

import inspect
import json

from minivae.exercises import bonus, judge, report
from minivae.exercises.catalogue import Exercise
from minivae.exercises.cut import solutions
from minivae.exercises.lessons.frame import Lesson, place

# Cells


def cells_of(prompt: str, code: str) -> list[dict]:
    """Return a list of cells: a text cell (Markdown) with the prompt, if there is a prompt; and a code cell."""
    text = {"cell_type": "markdown", "metadata": {}, "source": lines_of(prompt)}
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines_of(code)}
    return [text, cell] if prompt else [cell]


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their line ends, as nbformat stores them."""
    return text.strip("\n").splitlines(keepends=True)


def notebook(cells: list[dict]) -> dict:
    """Return a notebook with these cells."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def text_of(document: dict) -> str:
    """Return a notebook as JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


# Exercises


def of_exercise(exercise: Exercise) -> dict:
    """Return an exercise as a notebook: prompt, import, function with blanks, cell that checks the answer, folded hints."""
    prompt = f"# Exercise {exercise.number}: {exercise.title}\n\n{exercise.prompt}"
    blank = exercise.file().partition('"""\n\n')[2]
    cells = cells_of(prompt, IMPORT.format("from minivae.exercises.notebook import check_here")) + cells_of("", blank)
    cells += cells_of("Run this cell to check your answer.", f'check_here("{exercise.name}", globals())')
    folded = "<details><summary>Hint {} of {}</summary>\n\n{}\n\n</details>"
    hints = [folded.format(n, len(exercise.hints), hint) for n, hint in enumerate(exercise.hints, 1)]
    return notebook([*cells, *cells_of("\n\n".join(hints), "# your own experiments")])


IMPORT = """try:
    {}
except ImportError as error:
    raise ImportError(f"{{error}}. To install minivae, run `%pip install PATH` in a new cell. "
                      "PATH is the folder or the address of the project.") from None"""


def check_here(name: str, names: dict) -> None:
    """Judge the functions in `names` and print the verdict; after "passed", print the package's solution, too."""
    exercise = bonus.find(name)
    verdict = judge.check_names(exercise, names)
    print("\n".join(report.lines_of(verdict)))
    if verdict.status == "passed":
        print("", *solutions(exercise.name, exercise.pieces()), sep="\n")
    elif verdict.status != "not started":
        print("Next: correct your cell, run it, and run this cell again. Hints are below.")


# Lessons


def of_lesson(each: Lesson) -> dict:
    """Return a lesson as a notebook: question, code to run and change, number, figure, verdict, references."""
    choices = "\n".join(f"- {letter}) {text}" for letter, text in zip("abc", each.choices))
    asked = f"Asked in: {each.asked}."
    question = f"# Lesson {each.number}: {each.question}\n\n{asked}\n\n**Predict first.** {each.predict}\n\n{choices}"
    functions = "\n".join(f"- `{place(function)}`" for function in each.code)
    further = f"- ledger: `derivations show {each.ledger}`\n- test: `pytest -k {each.test}`"
    cells = cells_of(question, IMPORT.format(f"from {each.run.__module__} import *")) + cells_of("", source_of(each))
    words = "Run this cell. Then change a number in the function above, and run both cells again."
    cells += cells_of(words, RUN.format(each.name))
    cells += cells_of("The figure:", "found.show()")
    cells += cells_of("Was your prediction right?", 'print(found.verdict if found.holds else "Not as expected.")')
    return notebook([*cells, *cells_of(f"**Read on**\n\n{functions}\n{further}", "# your own experiments")])


RUN = """found = {0}(Setup(seed=0, epochs=40, rows=100))
print(f"{{found.number:.4g}} {{found.meaning}}")
for label, text in found.rows:
    print(f"  {{label}}: {{text}}")"""


def source_of(each: Lesson) -> str:
    """Return the source of a lesson without its decorator."""
    source = inspect.getsource(each.run)
    return source[source.index("\ndef ") + 1 :].replace("  # fmt: skip", "")
