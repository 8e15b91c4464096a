"""Check the book, an HTML page with the whole ledger: formulas, links, pictures, planted faults, and use in a browser."""

import base64
import contextlib
import dataclasses
import html
import inspect
import io
import json
import re
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.engine.judge import Judgement
from derivations.figures import NotShown, font
from derivations.pages import book, book_study, records
from derivations.pages.book_code import code
from derivations.pages.book_text import number_texts, prose
from derivations.pages.html import BrokenPage, checked, tag
from derivations.pages.mathml import ELEMENTS, math
from derivations.pages.unicode import unicode
from derivations.study import questions
from minivae.exercises.lessons.frame import lessons
from tests.helpers.browser import Browser, need_browser

MORE_THAN_LETTERS = {"lm.34", "beyond.57"}                  # `unicode` writes a transpose as the letter ᵀ, `math` does not


class Page(HTMLParser):
    """The elements of a page, with their attributes; `inside` has the names of all elements within formulas."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.formula, self.inside = [], 0, set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.formula += tag == "math"
        if self.formula:
            self.inside.add(tag)

    def handle_endtag(self, tag):
        self.formula -= tag == "math"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Run the command once; return the path of the book, the exit code, stdout and stderr."""
    path, out, err = tmp_path_factory.mktemp("book") / "new" / "book.html", io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["book", "--draws", "200", "--json", "--out", str(path)])
    return path, code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def text(written):
    return written[0].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Return a function that runs `derivations book` with a fake page and returns the exit code, stdout and stderr."""
    monkeypatch.setattr(cli, "judged_items", lambda options, found: [])
    monkeypatch.setattr(book, "book", lambda items, draws, seed: "a page")

    def run(*words, name="book.html"):
        code = cli.main(["book", "--out", str(tmp_path / name), *words])
        return code, *capsys.readouterr()

    return run


def letters(line):
    found = unicodedata.normalize("NFKD", line)
    return "".join(c for c in found if c.isalnum() and unicodedata.category(c) != "Lm")


def test_mathml_and_unicode_have_the_same_letters_except_in_two_entries():
    different = set()
    for entry in ledger.entries():
        forms = [entry.printed, *(row.repair for row in entry.rows if row.repair)]
        for form in forms:
            shown = html.unescape(re.sub(r"<[^>]*>", "", math(form.latex)))
            if letters(shown) != letters(unicode(form.latex).replace("½", "12")):
                different.add(entry.id)
    assert different == MORE_THAN_LETTERS


@pytest.mark.parametrize("latex", [r"\frac{1}", r"\mystery x", "a_b_c", "{a", "a}", r"\left(a", "_a", r"\mathcal{ab}"])
def test_broken_formula_is_refused(latex):
    with pytest.raises(BrokenPage, match="a formula must"):
        math(latex)


def test_text_in_a_formula_is_escaped():
    assert "<b>" not in math(r"\text{<b> x}") and "&lt;b&gt;" in math(r"\text{<b> x}")


@pytest.mark.slow
def test_ids_of_the_book_are_unique_and_every_link_resolves(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    targets = {attributes["href"][1:] for name, attributes in page.elements if name == "a"}
    assert len(ids) == len(set(ids)) and len(targets) > 500
    assert targets <= set(ids)


@pytest.mark.slow
def test_book_shows_no_markup_as_text(text):
    assert not re.search(r"&lt;/?(a|math|span|m[a-z]+)\b|&amp;lt;", text)


@pytest.mark.slow
def test_book_has_an_anchor_for_every_row_of_the_ledger(page):
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {row.id for entry in ledger.entries() for row in entry.rows} <= ids


@pytest.mark.slow
def test_book_needs_no_network_and_describes_every_picture(page):
    addresses = [a[key] for _, a in page.elements for key in ("src", "href") if key in a]
    assert all(address.startswith(("#", "data:image/")) for address in addresses)
    pictures = [attributes for name, attributes in page.elements if name == "img"]
    assert len(pictures) == 10 and all(attributes["alt"] for attributes in pictures)


@pytest.mark.slow
def test_book_uses_only_the_known_mathml_elements(page):
    assert page.inside == ELEMENTS


@pytest.mark.slow
def test_book_is_smaller_than_four_megabytes(text):
    assert len(text.encode()) < 4e6


@pytest.mark.parametrize(
    "body, fault",
    [
        (tag("a", "x", href="#nowhere"), "leads nowhere"),
        (tag("p", tag("b", "x", id="a"), tag("b", "y", id="a")), "used 2 times"),
        (tag("img", src="data:,"), "without an alt text"),
        (tag("img", src="https://example.org/a.png", alt="a"), "another site"),
    ],
)
def test_planted_fault_of_a_page_is_noticed(body, fault):
    with pytest.raises(BrokenPage, match=fault):
        checked(body)


@pytest.mark.slow
def test_book_with_a_missing_anchor_or_a_dead_link_is_refused(text):
    assert checked(text) is text
    with pytest.raises(BrokenPage, match="the link #odaibo.40 leads nowhere$"):
        checked(text.replace(' id="odaibo.40"', "", 1))
    with pytest.raises(BrokenPage, match="the link #lesson.99 leads nowhere"):
        checked(text.replace('href="#lesson.9"', 'href="#lesson.99"', 1))


@pytest.fixture
def quick(monkeypatch):
    """Leave the slow parts out of the book: figures, questions, bugs."""
    monkeypatch.setattr(book, "drawn_figures", dict)
    monkeypatch.setattr(questions, "QUESTIONS", ())
    monkeypatch.setattr(questions, "autoencoder_or_vae", lambda pair: questions.Answer("Why?", (), (), [], "So."))
    monkeypatch.setattr(questions, "train_pair", lambda: None)
    for module in (book, book_study):
        monkeypatch.setattr(module, "bugs", tuple)


@pytest.mark.slow
def test_book_without_entries_is_refused_because_its_links_are_dead(quick):
    with pytest.raises(BrokenPage, match="the link #beyond.1 leads nowhere;.* more$"):
        book.book([], 10, 0)


@pytest.mark.slow
def test_unknown_command_in_a_formula_stops_the_build(quick, monkeypatch):
    (found,) = ledger.find("hong.4")
    (item,) = records.judged([found], 10, 0)
    planted = dataclasses.replace(found.entry.printed, latex=r"a = \mystery")
    with pytest.raises(BrokenPage, match=r"a formula must .*mystery"):
        book.book([item._replace(entry=dataclasses.replace(found.entry, printed=planted))], 10, 0)


def test_missing_row_of_the_museum_matrix_stops_the_build(monkeypatch, tmp_path):
    lines = book_study.MATRIX.read_text(encoding="utf-8").splitlines()
    (tmp_path / "README.md").write_text("\n".join(line for line in lines if "-1 of the KL dropped" not in line))
    monkeypatch.setattr(book_study, "MATRIX", tmp_path / "README.md")
    with pytest.raises(BrokenPage, match="no complete row for minus-one-dropped"):
        book_study.matrix()
    monkeypatch.setattr(book_study, "MATRIX", tmp_path / "missing.md")
    assert book_study.matrix() == []


def test_each_column_of_the_museum_matrix_has_the_stated_number_of_marks():
    table = re.search("<table.*</table>", "".join(book_study.matrix()))[0]
    rows = [re.findall(r"<td>(?:<b>)?(X|x|)(?:</b>)?</td>", row) for row in table.split("<tr>")[2:]]
    (counts,) = re.findall(r"^\| bugs noticed, of \d+ \|  ?\|(.*)\|$", book_study.MATRIX.read_text(encoding="utf-8"), re.M)
    assert [sum(map(bool, column)) for column in zip(*rows)] == [int(count) for count in counts.split("|")]


def links_in(text, id):
    """Return the targets of all links in an article."""
    article = re.search(rf'<article id="{re.escape(id)}".*?</article>', text, re.S)
    return set(re.findall(r'href="#([^"]*)"', article[0]))


@pytest.mark.slow
def test_sides_of_a_faulty_formula_differ_at_the_shown_point(text):
    shown = 0
    for entry in ledger.entries():
        if entry.printed.free or not any(row.fault for row in entry.rows):
            continue
        article = re.search(rf'<article id="{re.escape(entry.id)}".*?</article>', text, re.S)[0]
        chain = article[article.index('<div class="chain"') : article.index("Numbers at")] if "Numbers at" in article else ""
        values = re.findall(r'<span class="value">(.*?)</span>', chain)
        # a false inequality can have equal sides
        if len(values) > 1 and not re.search(r"\\neq?\b|[<>]", entry.printed.latex):
            assert len(set(values)) > 1, entry.id
            shown += 1
    assert shown > 25


@pytest.mark.slow
def test_rounding_errors_are_shown_as_zero_in_the_book(text):
    assert number_texts([np.array([-8.9e-16, 3e-13]), np.array(2.0)]) == ["[0, 3e-13]", "2"]
    assert number_texts([np.array(7.5e-16)]) == ["7.5e-16"] and number_texts([np.array(np.nan), []]) == ["undefined", "[]"]
    assert number_texts([np.array(123.75), np.array(123.75 - 1e-13)]) == ["123.8", "123.8"]
    assert not re.search(r'class="value">[^<]*e-(1[4-9]|[2-9]\d)', text)


@pytest.mark.slow
def test_constants_in_the_code_link_to_their_definitions(text):
    anchor = "derivations.cards.reparameterization.CHANCES"
    assert anchor in links_in(text, "cards.25")
    assert "CHANCES = " in re.sub("<[^>]*>", "", text[text.index(f'<article id="{anchor}"') :][:2000])
    # The code of hong.11 has a local variable W. This name must not link to the constant W.
    assert "derivations.hong.world.W" not in links_in(text, "hong.11")


def test_sentences_in_the_book_have_greek_letters_and_links():
    assert prose("the MSE is larger by sigma_q^2") == "the MSE is larger by σ<sub>q</sub><sup>2</sup>"
    assert prose("q_phi(z|x), x~ and log_var at l.23-25") == "q<sub>φ</sub>(z|x), x̃ and log_var at text lines 23 to 25"
    assert prose("as in hong.15, <b>") == 'as in <a href="#hong.15">hong.15</a>, &lt;b&gt;'
    assert prose("evidence.bounds and hong.py") == "evidence.bounds and hong.py"


@pytest.mark.slow
def test_each_lesson_and_its_ledger_entry_link_to_each_other(text):
    for each in lessons():
        assert f"lesson.{each.number}" in links_in(text, each.ledger)
        assert each.ledger in links_in(text, f"lesson.{each.number}")
        assert f"minivae exercises lesson {each.number})" in text


def test_book_shows_the_complete_source_code_of_a_function():
    markup = str(code(measured, {}))
    lines = inspect.getsource(measured).splitlines()
    assert 'class="' not in markup and 'style="--i:8ch"' in markup
    shown = html.unescape(re.sub(r"<[^>]*>", "", markup.replace("</span>", "\n"))).splitlines()
    assert [re.sub(" +# ", "  # ", line.removesuffix("  # noqa: E731")) for line in lines] == shown


def measured(first_argument, second_argument):
    """Return a tuple; this code has a line with more than forty columns,

    an empty line and a comment.
    """
    x = lambda: first_argument  # noqa: E731
    return (
        "<&>", x, second_argument, 12345678901234567890,             # a comment, far to the right
    )


@pytest.mark.slow
def test_book_command_prints_the_path_of_the_book_as_json(written):
    path, code, out, err = written
    assert code == 0 and json.loads(out) == {"path": str(path)} and err == ""
    assert [each.name for each in path.parent.iterdir()] == ["book.html"]


def test_book_command_refuses_to_overwrite_without_the_option(command, tmp_path):
    path = tmp_path / "book.html"
    assert command() == (0, f"{path}\n", "")
    path.write_text("precious")
    code, out, err = command()
    assert code == 2 and out == "" and "--overwrite" in err and err.count("\n") == 1 and path.read_text() == "precious"
    assert command("--overwrite")[0] == 0 and path.read_text() == "a page"


def test_book_command_refuses_paths_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "directory").mkdir()
    for name in ("file/book.html", "directory", "directory/" + 300 * "x"):
        code, out, err = command("--overwrite", name=name)
        assert code == 2 and out == "" and err.startswith("derivations: ") and err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "precious" and list((tmp_path / "directory").iterdir()) == []


@pytest.mark.parametrize("words", [("--draws", "0"), ("--seed", "-1")])
def test_book_command_refuses_bad_numbers_and_writes_nothing(words, tmp_path, capsys):
    assert cli.main(["book", "--out", str(tmp_path / "book.html"), *words]) == 2
    assert words[0] in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [BrokenPage("the link #x leads nowhere"), NotShown("the claim of a figure")])
def test_book_command_exits_with_1_for_a_page_with_a_fault(error, command, monkeypatch, tmp_path):
    def broken(items, draws, seed):
        raise error

    monkeypatch.setattr(book, "book", broken)
    assert command("--json") == (1, "", f"derivations: {error}\n") and list(tmp_path.iterdir()) == []


def test_book_command_exits_with_1_for_an_unexpected_verdict(command, monkeypatch):
    entry = ledger.entries()[0]
    unexpected = Judgement(entry.rows[0], "fails", [], [], [], [], None, "")
    monkeypatch.setattr(cli, "judged_items", lambda options, found: [records.Judged(entry, [unexpected])])
    code, out, err = command("-q")
    assert code == 1 and out and f"{entry.rows[0].id} is fails, expected {entry.rows[0].expected}" in err


def test_text_with_markup_is_escaped():
    assert tag("p", '<a href="#x">', title='"><b>') == '<p title="&quot;&gt;&lt;b&gt;">&lt;a href=&quot;#x&quot;&gt;</p>'


def test_math_font_is_empty_if_it_cannot_be_made(monkeypatch):
    assert font.math_font("abc")
    monkeypatch.setattr(font, "SIZES", ("NoSuchFont",))
    assert font.math_font("abc") == ""


@pytest.mark.slow
def test_book_works_in_a_browser(written):
    need_browser()
    browser = Browser()
    try:
        browser.open(written[0], "#hong", width=390)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        brackets = "[...document.querySelectorAll('mo')].filter(m => m.textContent == '(')"
        assert browser.evaluate(f"Math.max(...{brackets}.map(m => m.getBoundingClientRect().height))") > 35
        browser.evaluate("box.value = 'odaibo.40'; box.dispatchEvent(new Event('input'))")
        assert browser.evaluate("document.querySelector('#found a').hash") == "#odaibo.40"
        browser.evaluate("box.value = 'triangle inequality hong'; box.dispatchEvent(new Event('input'))")
        assert browser.evaluate("document.querySelector('#found a').hash") == "#hong.22"      # hong.22 contains these words
        pdf = base64.b64decode(browser.call("Page.printToPDF")["data"])
        assert 10 < max(map(int, re.findall(rb"/Count (\d+)", pdf))) < 40       # only the open chapter is printed
        browser.open(written[0], width=673, media="print")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 673    # a browser shrinks wider pages in print
        assert browser.errors == []
    finally:
        browser.close()
