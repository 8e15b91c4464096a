"""Turn a formula in LaTeX into MathML, which browsers typeset without a script.

The tokens and the tables of symbols are those of `unicode`. A command that is not in these tables is refused.
"""

import functools
import html
import re
import string
from typing import NamedTuple

from derivations.pages.html import BrokenPage, Html
from derivations.pages.unicode import (
    ACCENTS, BINARY, CLOSE, GREEK, LARGE, LINKS, OPEN, ORDINARY, RELATED, SCRIPT, SPACES, TEXT, TOKEN, WORDS, text_of,
    unicode,
)  # fmt: skip
from minivae.checks import refuse

ELEMENTS = {                                                # every element that this module writes
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "msub", "msup", "msubsup", "munder", "mover",
    "munderover",
}  # fmt: skip
WIDTHS = {"\\,": 0.167, "\\:": 0.222, "\\;": 0.278, "\\ ": 0.25, "~": 0.25, "\\quad": 1, "\\qquad": 2}     # in em
MARKS = {"hat": "ˆ", "widehat": "ˆ", "bar": "‾", "tilde": "˜", "dot": "˙", "vec": "→"}      # accents, drawn above a letter
LIMITS = {"max", "min", "argmax", "argmin", "lim", "sup", "inf"}                # words that have the subscript below them
SIZES = {"big", "Big", "bigg", "Bigg"}
SILENT = {"displaystyle", "limits", "mathstrut", "!"}
NO_SPACE = ' lspace="0" rspace="0"'
BAR = f'<mo stretchy="{{}}" form="{{}}"{NO_SPACE}>{{}}</mo>'     # the `form` of an opening bar is "prefix"
OPERANDS = ("ord", "close", "bar")


class Node(NamedTuple):
    """A piece of MathML and its kind, `part`.

    The kinds are ord, text, word, limits, sum, int, bin, rel, open, close, bars, comma, slash and space.
    """

    markup: str
    part: str


@functools.cache
def math(latex: str, display: bool = False) -> Html:
    """Return a formula as a `math` element, with the formula as text for software without MathML."""
    style = ' display="block"' if display else ""
    try:
        return Html(f'<math alttext="{html.escape(unicode(latex))}"{style}>{Reader(latex).row()}</math>')
    except ValueError as error:                             # the error is in our formula, not in the user's input
        raise BrokenPage(str(error)) from error


def chunk(markup: str, kind: str = "mrow") -> str:
    """Return an element with this markup inside. An `mrow` that would contain only one element is omitted."""
    if kind == "mrow" and re.fullmatch(r"<(\w+)( [^>]*)?>[^<]*</\1>", markup):
        return markup
    return f"<{kind}>{markup}</{kind}>"


def operator(text: str, attributes: str = "") -> str:
    """Return an `mo` element: an operator, or a bracket of fixed size."""
    return f"<mo{attributes}>{html.escape(text)}</mo>"


class Reader:
    """A reader of one formula: it consumes tokens and returns MathML."""

    def __init__(self, latex: str):
        self.latex, self.tokens = latex, [token for token in TOKEN.findall(latex) if not token.isspace()]

    def row(self) -> str:
        """Return the whole formula as MathML. Raise ValueError if a group is not closed or is closed twice."""
        nodes = self.read()
        if self.tokens:
            self.refuse(self.tokens[0])
        return joined(nodes)

    def refuse(self, token: str):
        """Raise ValueError for a token that has no meaning here."""
        refuse("a formula", "LaTeX of derivations/pages/unicode.py", f"{token!r} in {self.latex!r}", "Use another command.")

    def take(self) -> str:
        """Remove the next token and return it."""
        if not self.tokens:
            refuse("a formula", "complete", repr(self.latex), "Add what is missing at its end.")
        return self.tokens.pop(0)

    def read(self, *ends: str) -> list[Node]:
        """Read nodes up to a closing brace or one of the tokens `ends`; do not remove this closing token."""
        nodes: list[Node] = []
        while self.tokens and self.tokens[0] not in (*ends, "}"):
            token = self.take()
            if token in "_^":
                if not nodes:
                    self.refuse(token)
                nodes[-1] = self.scripted(nodes[-1], token)
            elif token == "'":
                nodes[-1:] = [primed(nodes[-1])] if nodes else self.refuse(token)
            elif token == "{":
                nodes.append(Node(chunk(self.group()), "ord"))
            else:
                nodes += self.one(token)
        return nodes

    def group(self) -> str:
        """Read up to the closing brace, remove the brace, and return the markup of the group."""
        inside = joined(self.read())
        if self.take() != "}":
            self.refuse("{")
        return inside

    def argument(self) -> str:
        """Return the next token or group as one element."""
        token = self.take()
        if token == "{":
            return chunk(self.group())
        nodes = self.one(token)
        return nodes[0].markup if len(nodes) == 1 else self.refuse(token)

    def scripted(self, base: Node, token: str) -> Node:
        """Attach a subscript, a superscript or both to a base."""
        found = {token: self.argument()}
        while self.tokens and self.tokens[0] in ("_", "^", "'"):
            other = self.take()
            if other in found:
                self.refuse(other)
            if other == "'":                                # m_1': the prime belongs to the base
                base = primed(base)
            else:
                found[other] = self.argument()
        below, above = found.get("_"), found.get("^")
        if base.part in ("sum", "limits"):
            kind = "munderover" if below and above else "munder" if below else "mover"
        else:
            kind = "msubsup" if below and above else "msub" if below else "msup"
        return Node(chunk(base.markup + (below or "") + (above or ""), kind), base.part)

    def one(self, token: str) -> list[Node]:
        """Return the nodes of a token with its arguments; [] for a token that prints nothing."""
        command = token.startswith("\\")
        name = token[1:] if command and len(token) > 1 else token
        if token in SPACES:
            return [Node(f'<mspace width="{WIDTHS[token]}em"/>', "space")]
        if command and name in COMMANDS:
            return [COMMANDS[name](self, name)]
        if command and name == "left":
            return [self.fenced()]
        if command and name in SIZES:
            made = self.one(self.take())[0]
            return [Node(made.markup.replace('stretchy="false"', 'minsize="1.4em" maxsize="1.4em"'), made.part)]
        if command and name in SILENT:
            return []
        if name in WORDS and command:
            return [Node(chunk(name, "mi"), "limits" if name in LIMITS else "word")]
        return [symbol(token, name, command) or self.refuse(token)]

    def fenced(self) -> Node:
        """Return the formula between \\left and \\right, in brackets that are as high as the formula."""
        first, inside = self.delimiter(), joined(self.read("\\right"))
        self.take()
        last = self.delimiter()
        return Node(chunk(grown(first, "prefix") + inside + grown(last, "postfix")), "close")

    def delimiter(self) -> str:
        """Return the bracket after \\left or \\right; "" for a dot."""
        token = self.take()
        name = token[1:] if len(token) > 1 else token
        known = {".": "", "|": "|", "vert": "|", "Vert": "‖"} | OPEN | CLOSE
        return known[name] if name in known else self.refuse(token)


def grown(text: str, form: str) -> str:
    """Return a bracket that grows with its content; "" for no bracket."""
    return BAR.format("true", form, text) if text in ("|", "‖") else text and operator(text)


def symbol(token: str, name: str, command: bool) -> Node | None:
    """Return the node of a token without arguments; None for an unknown token."""
    if token[0].isdigit():
        return Node(chunk(token, "mn"), "ord")
    if not command and name.isalpha():
        return Node(chunk(name, "mi"), "ord")
    if name in LARGE and command:
        return Node(operator(LARGE[name], ' largeop="true"'), "int" if name == "int" else "sum")
    if token == "\\|" or RELATED.get(name) == "‖":
        return Node("‖", "bars")
    if name in OPEN or name in CLOSE:
        return Node(operator((OPEN | CLOSE)[name], ' stretchy="false"'), "open" if name in OPEN else "close")
    if name == "|" or ORDINARY.get(name) == "|":
        return Node("|", "bars")
    for table, part in ((BINARY, "bin"), (LINKS, "rel"), (RELATED, "rel")):
        if name in table:
            return Node(operator(table[name]), part)
    if command and name in ORDINARY:
        text = ORDINARY[name]
        if name == "top":                                   # the transpose sign: `^` in `^\top` already raises it
            return Node('<mi mathvariant="normal">⊤</mi>', "ord")
        upright = ' mathvariant="normal"' if name in GREEK and name[0].isupper() or not text.isalpha() else ""
        return Node(f"<mi{upright}>{html.escape(text)}</mi>", "ord")
    plain = {",": "comma", ";": "comma", ":": "comma", "/": "slash", "!": "close", ".": "close"}
    return Node(operator(name, NO_SPACE if name in "/!." else ""), plain[name]) if name in plain else None


def primed(base: Node) -> Node:
    """Return a base with a prime. The font already raises the prime, so no superscript is needed."""
    return Node(chunk(base.markup + operator("′", NO_SPACE)), base.part)


# Commands with arguments


def fraction(reader: Reader, name: str) -> Node:
    """Return a fraction."""
    return Node(chunk(reader.argument() + reader.argument(), "mfrac"), "ord")


def root(reader: Reader, name: str) -> Node:
    """Return a square root."""
    return Node(chunk(reader.argument(), "msqrt"), "ord")


def accented(reader: Reader, name: str) -> Node:
    """Return a letter with an accent above."""
    return Node(f'<mover accent="true">{reader.argument()}<mo stretchy="false">{MARKS[name]}</mo></mover>', "ord")


def words(reader: Reader, name: str) -> Node:
    """Return upright words: a name such as Var, or a text with its spaces."""
    text = text_of(reader.tokens, reader.latex)
    if text in WORDS:
        return Node(chunk(text, "mi"), "limits" if text in LIMITS else "word")
    if " " in text:
        return Node(chunk(html.escape(text.replace(" ", "\u00a0")), "mtext"), "text")
    upright = ' mathvariant="normal"' if len(text) == 1 else ""
    return Node(f"<mi{upright}>{html.escape(text)}</mi>", "ord")


def alphabet(letters: str, first: int) -> dict[str, str]:
    """Return {letter: the letter in another style}; the styled letters have consecutive numbers in Unicode, from `first`."""
    return {letter: chr(first + i) for i, letter in enumerate(letters)}


def styled(reader: Reader, name: str) -> Node:
    """Return bold, double-struck or script letters."""
    letters = [reader.take()]
    if letters == ["{"]:
        letters = list(iter(reader.take, "}"))
    plain = [GREEK.get(letter[1:], letter) if letter.startswith("\\") else letter for letter in letters]
    markup = (chunk(STYLED[name][one], "mi") if one in STYLED[name] else reader.refuse(one) for one in plain)
    return Node(chunk("".join(markup)), "ord")


LATIN, SMALL_GREEK = string.ascii_uppercase + string.ascii_lowercase, "αβγδεζηθικλμνξοπρςστυφχψω"
STYLED = {
    "mathbf": alphabet(LATIN, 0x1D400), "boldsymbol": alphabet(LATIN, 0x1D468) | alphabet(SMALL_GREEK, 0x1D736),
    "mathbb": alphabet(LATIN, 0x1D538) | dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ")), "mathcal": SCRIPT,
}  # fmt: skip
COMMANDS = {
    "frac": fraction, "dfrac": fraction, "sqrt": root,
    **dict.fromkeys(ACCENTS, accented), **dict.fromkeys(STYLED, styled), **dict.fromkeys(TEXT, words),
}  # fmt: skip


# Spaces, signs and bars: their markup depends on the nodes before and after them


def joined(nodes: list[Node]) -> str:
    """Return the nodes as one row. A minus with one operand has no spaces around it; a word such as log has thin spaces."""
    made, before = [], "start"
    for node, (markup, part) in zip(nodes, paired(nodes)):
        if part == "bin" and before not in OPERANDS:        # a minus with one operand
            markup, part = markup.replace("<mo>", f'<mo form="prefix"{NO_SPACE}>'), "sign"
        if needs_thin_space(before, part):
            made.append('<mspace width="0.167em"/>')
        made.append(markup)
        before = "ord" if part == "text" else before if part == "space" else part
    return "".join(made)


def needs_thin_space(before: str, part: str) -> bool:
    """Return True if a thin space is needed: before or after a word such as log, or before a large operator."""
    if before in ("word", "limits"):
        return part in ("ord", "word", "limits", "sum", "int")
    return before in OPERANDS and part in ("word", "limits", "sum", "int")


def paired(nodes: list[Node]) -> list[Node]:
    """Turn two equal bars inside the same brackets into a pair of brackets: |x|. Other bars become separators: p(x|z)."""
    made, groups, depth = list(nodes), {}, [0]
    for i, node in enumerate(nodes):
        if node.part == "open":
            depth.append(i + 1)
        elif node.part == "close" and len(depth) > 1 and node.markup.startswith("<mo"):
            depth.pop()
        elif node.part == "bars":
            groups.setdefault((depth[-1], "‖" if "‖" in node.markup else "|"), []).append(i)
    for (_, text), places in groups.items():
        fences = len(places) == 2 and (not places[0] or nodes[places[0] - 1].part not in OPERANDS)
        for place, (form, part) in zip(places, (("prefix", "open"), ("postfix", "close")) if fences else ()):
            made[place] = Node(nodes[place].markup.replace(text, BAR.format("false", form, text)), part)
        space = {"|": "0.12em", "‖": "0.28em"}[text]
        for place in () if fences else places:
            bar = operator(text, f' stretchy="false" form="infix" lspace="{space}" rspace="{space}"')
            made[place] = Node(nodes[place].markup.replace(text, bar), "rel")
    return made
