"""The book: formulas as MathML, links, pictures, planted faults, and the page in a real browser."""

import html
import re
import unicodedata
from html.parser import HTMLParser

import pytest

from derivations.engine import ledger
from derivations.figures import font
from derivations.pages import book, records
from derivations.pages.html import BrokenPage, checked, tag
from derivations.pages.mathml import ELEMENTS, math
from derivations.pages.unicode import unicode
from tests.helpers.browser import Browser, need_browser

MORE_THAN_LETTERS = {"lm.34", "beyond.57"}                  # the Unicode writer writes a transpose as the letter ᵀ


class Page(HTMLParser):
    """All elements of a page, with their attributes."""

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
def text():
    return book.book(records.judged(ledger.find_all([]), 200, 0), 200, 0)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def letters(line):
    found = unicodedata.normalize("NFKD", line)
    return "".join(c for c in found if c.isalnum() and unicodedata.category(c) != "Lm")


def test_mathml_and_unicode_have_the_same_letters_for_every_formula():
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
    with pytest.raises(ValueError, match="a formula must"):
        math(latex)


def test_text_in_a_formula_is_escaped():
    assert "<b>" not in math(r"\text{<b> x}") and "&lt;b&gt;" in math(r"\text{<b> x}")


def test_ids_of_the_book_are_unique_and_every_link_resolves(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    targets = {attributes["href"][1:] for name, attributes in page.elements if name == "a"}
    assert len(ids) == len(set(ids)) and len(targets) > 500
    assert targets <= set(ids)


def test_book_shows_no_markup_as_text(text):
    assert not re.search(r"&lt;/?(a|math|span|m[a-z]+)\b|&amp;lt;", text)


def test_every_row_of_the_ledger_is_an_anchor(page):
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {row.id for entry in ledger.entries() for row in entry.rows} <= ids


def test_book_needs_no_network_and_describes_every_picture(page):
    addresses = [a[key] for _, a in page.elements for key in ("src", "href") if key in a]
    assert all(address.startswith(("#", "data:image/")) for address in addresses)
    pictures = [attributes for name, attributes in page.elements if name == "img"]
    assert len(pictures) == 10 and all(attributes["alt"] for attributes in pictures)


def test_book_uses_only_the_known_mathml_elements(page):
    assert page.inside == ELEMENTS


def test_book_is_smaller_than_four_megabytes(text):
    assert len(text.encode()) < 4e6


@pytest.mark.parametrize(
    "body, fault",
    [
        (tag("a", "x", href="#nowhere"), "no place"),
        (tag("p", tag("b", "x", id="a"), tag("b", "y", id="a")), "used 2 times"),
        (tag("img", src="data:,"), "without a text"),
        (tag("img", src="https://example.org/a.png", alt="a"), "network"),
    ],
)
def test_planted_fault_of_a_page_is_noticed(body, fault):
    with pytest.raises(BrokenPage, match=fault):
        checked(body)


def test_text_cannot_become_markup():
    assert tag("p", '<a href="#x">', title='"><b>') == '<p title="&quot;&gt;&lt;b&gt;">&lt;a href=&quot;#x&quot;&gt;</p>'


def test_math_font_falls_back_if_it_cannot_be_made(monkeypatch):
    assert font.math_font("abc")
    monkeypatch.setattr(font, "SIZES", ("NoSuchFont",))
    assert font.math_font("abc") == ""


def test_book_works_in_a_browser(text, tmp_path):
    need_browser()
    (tmp_path / "book.html").write_text(text, encoding="utf-8")
    browser = Browser()
    try:
        browser.open(tmp_path / "book.html", width=390)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        brackets = "[...document.querySelectorAll('mo')].filter(m => m.textContent == '(')"
        assert browser.evaluate(f"Math.max(...{brackets}.map(m => m.getBoundingClientRect().height))") > 35
        browser.evaluate("box.value = 'odaibo.40'; box.dispatchEvent(new Event('input'))")
        assert browser.evaluate("document.querySelector('#found a').hash") == "#odaibo.40"
        assert len(browser.call("Page.printToPDF")["data"]) > 1e5
        assert browser.errors == []
    finally:
        browser.close()
