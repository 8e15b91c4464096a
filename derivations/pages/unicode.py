"""Turn a formula in LaTeX into one line of text for a terminal: \\frac{\\sigma_q^2}{2} becomes σ_q²/2.

The result is readable, not typeset. Nothing is dropped silently: an unknown command stays as a word.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|:=|\|\||\s+|.")
GREEK = dict(zip(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi "
    "chi psi omega Gamma Delta Theta Lambda Sigma Pi Phi Psi Omega".split(),
    "αβγδεεζηθικλμνξπρστφφχψωΓΔΘΛΣΠΦΨΩ",
))  # fmt: skip
WORDS = "log ln exp max min argmin argmax det tr arg sup inf lim diag Var Cov KL sin cos tanh dim".split()
LARGE = {"int": "∫", "sum": "∑", "prod": "∏"}
ORDINARY = GREEK | {
    "infty": "∞", "partial": "∂", "nabla": "∇", "ldots": "…", "cdots": "…", "dots": "…", "ell": "ℓ", "prime": "′",
    "emptyset": "∅", "forall": "∀", "exists": "∃", "top": "ᵀ", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|",
    "Re": "Re", "Im": "Im", "hbar": "ℏ", "circ": "∘", "ast": "*", "neg": "¬", "%": "%", "#": "#", "&": "&", "_": "_",
}  # fmt: skip
BINARY = {
    "cdot": "·", "times": "×", "cap": "∩", "cup": "∪", "pm": "±", "mp": "∓", "odot": "⊙", "otimes": "⊗", "wedge": "∧",
    "setminus": "∖", "-": "−", "+": "+", "*": "*", "land": "∧",
}  # fmt: skip
LINKS = {
    "=": "=", ":=": ":=", "<": "<", ">": ">", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠",
    "to": "→", "rightarrow": "→",
}  # fmt: skip
RELATED = {
    "sim": "∼", "approx": "≈", "propto": "∝", "ll": "≪", "gg": "≫", "in": "∈", "notin": "∉", "subset": "⊂", "mapsto": "↦",
    "subseteq": "⊆", "Rightarrow": "⇒", "implies": "⇒", "iff": "⇔", "Leftrightarrow": "⇔", "equiv": "≡", "perp": "⊥",
    "Vert": "‖", "parallel": "‖", "||": "‖", "lVert": "‖", "rVert": "‖", "nearrow": "↗", "searrow": "↘",
    "uparrow": "↑", "downarrow": "↓", "Leftarrow": "⇐", "leftarrow": "←",
}  # fmt: skip
OPEN = {"(": "(", "[": "[", "{": "{", "langle": "⟨", "lceil": "⌈", "lfloor": "⌊"}
CLOSE = {")": ")", "]": "]", "}": "}", "rangle": "⟩", "rceil": "⌉", "rfloor": "⌋"}
PARTS = {"large": LARGE, "bin": BINARY, "link": LINKS, "rel": RELATED, "open": OPEN, "close": CLOSE}
SPACES = {"\\,", "\\;", "\\:", "\\ ", "\\quad", "\\qquad", "~"}
SILENT = {"left", "right", "big", "Big", "bigg", "Bigg", "displaystyle", "limits", "!", "mathstrut"}
ACCENTS = {
    "hat": "\u0302",
    "widehat": "\u0302",
    "bar": "\u0304",
    "tilde": "\u0303",
    "dot": "\u0307",
    "vec": "\u20d7",
}
PLAIN = {"underline", "overline", "underbrace", "mathbf", "mathbb", "boldsymbol", "mathit", "mathsf"}  # styles are ignored
TEXT = {"text", "mathrm", "operatorname", "textrm", "textit", "mbox"}
SCRIPT = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "𝒜ℬ𝒞𝒟ℰℱ𝒢ℋℐ𝒥𝒦ℒℳ𝒩𝒪𝒫𝒬ℛ𝒮𝒯𝒰𝒱𝒲𝒳𝒴𝒵"))
KNOWN = {*WORDS, *LARGE, *ORDINARY, *BINARY, *LINKS, *RELATED, *OPEN, *CLOSE, *SILENT, *ACCENTS, *PLAIN, *TEXT} | {
    "frac", "dfrac", "sqrt", "mathcal", *(space[1:] for space in SPACES)
}  # fmt: skip
RAISED = dict(zip("0123456789+−=()niTJLDKN*′ᵀ", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀᴶᴸᴰᴷᴺ*′ᵀ"))
# Unicode has a subscript p, but no subscript q. LOWERED omits both, so that σ_p and σ_q have the same style.
LOWERED = dict(zip("0123456789+−=()ijklmnt", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ᵢⱼₖₗₘₙₜ"))
LETTER = r"[^\W\d_][\u0300-\u036f]?(_(\w+|\(\))|[₀-₉ᵢⱼₖₗₘₙₜ]+)?"
SINGLE = re.compile(rf"(\d+(\.\d+)?|√?(d|D_)?{LETTER}(\(\))?|√?\(\))[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ⁺⁻ᵀ*′]*")


class Piece(NamedTuple):
    """A piece of a formula and its kind: ord, frac, word, text, large, bin, link, rel, open, close, bar, comma, space."""

    text: str
    part: str


@functools.cache
def unicode(latex: str) -> str:
    """Return a formula as one line of text."""
    return spaced(pieces(latex))


def sides(latex: str) -> list[tuple[str, str]]:
    """Split a chain into (relation, side), as text; the first relation is "".

    A relation inside brackets does not split the chain: p(X = x) is one side.
    """
    depth, parts = 0, [("", [])]
    for piece in pieces(latex):
        depth += (piece.part == "open") - (piece.part == "close")
        if piece.part == "link" and depth == 0:
            parts.append((piece.text, []))
        else:
            parts[-1][1].append(piece)
    return [(relation, spaced(side)) for relation, side in parts]


def latex_sides(latex: str) -> list[tuple[str, str]]:
    """Split a chain into pairs (relation, side), both in LaTeX."""
    depth, parts = 0, [["", ""]]
    for token in TOKEN.findall(latex):
        name = token.removeprefix("\\") if len(token) > 1 else token
        depth += (name in OPEN) - (name in CLOSE)
        if depth == 0 and name in LINKS and (token.startswith("\\") or not name.isalpha()):
            parts.append([token, ""])
        else:
            parts[-1][1] += token
    return [(relation, side.strip()) for relation, side in parts]


@functools.cache
def pieces(latex: str) -> tuple[Piece, ...]:
    """Return the pieces of a formula in order; fractions, subscripts and superscripts are text already."""
    return tuple(read([token for token in TOKEN.findall(latex) if not token.isspace()], latex))


def read(tokens: list[str], latex: str) -> list[Piece]:
    """Turn tokens into pieces until the group ends; remove these tokens from the list."""
    made: list[Piece] = []
    while tokens and tokens[0] != "}":
        token = tokens.pop(0)
        if token in "_^" and made:
            made[-1] = made[-1]._replace(text=made[-1].text + script(token, argument(tokens, latex)))
        elif token == "{":
            made += group(read(tokens, latex))
            tokens[:1] = []                                 # the closing brace
        elif (piece := one(token, tokens, latex)) is not None:
            made.append(piece)
    return made


def group(inside: list[Piece]) -> list[Piece]:
    """Join a group into one piece, so that a following subscript or superscript belongs to the whole group."""
    return inside if len(inside) < 2 else [Piece(spaced(inside), "ord")]


def argument(tokens: list[str], latex: str) -> str:
    """Remove the next token or group from the list and return it as text."""
    if not tokens:
        raise ValueError(f"a formula must not end in the middle; got {latex!r}.")
    token = tokens.pop(0)
    if token == "{":
        inside = read(tokens, latex)
        tokens[:1] = []
        return spaced(inside)
    piece = one(token, tokens, latex)
    return piece.text if piece else ""


def one(token: str, tokens: list[str], latex: str) -> Piece | None:
    """Return the piece for a token and the arguments of this token. Return None if the token prints nothing."""
    if token == "\\|":
        return Piece("‖", "rel")
    name = token.removeprefix("\\") if len(token) > 1 else token
    if token in SPACES:
        return Piece(" ", "space")
    if token.startswith("\\") and name in ("frac", "dfrac"):
        return Piece(fraction(argument(tokens, latex), argument(tokens, latex)), "frac")
    if name == "sqrt":
        inside = argument(tokens, latex)
        return Piece(f"√{inside}" if is_single(inside) else f"√({inside})", "ord")
    if name in ACCENTS:
        inside = argument(tokens, latex)
        return Piece(inside[:1] + ACCENTS[name] + inside[1:], "ord")
    if name in PLAIN:
        return Piece(argument(tokens, latex), "ord")
    if name in TEXT:
        words = text_of(tokens, latex)
        return Piece(words, "word" if words in WORDS else "ord" if " " not in words.strip() else "text")
    if name == "mathcal":
        return Piece("".join(SCRIPT.get(letter, letter) for letter in argument(tokens, latex)), "ord")
    if token.startswith("\\") and name in SILENT:
        if tokens and tokens[0] == "." and name in ("left", "right"):
            tokens.pop(0)
        return None
    for part, table in PARTS.items():
        if name in table and (token.startswith("\\") or not name.isalpha()):
            return Piece(table[name], part)
    if token.startswith("\\"):
        text = ORDINARY.get(name, name)
        return Piece(text, "word" if name in WORDS else "bar" if text == "|" else "ord")
    return Piece({"'": "′"}.get(token, token), {"|": "bar", ",": "comma", ";": "comma"}.get(token, "ord"))


def text_of(tokens: list[str], latex: str) -> str:
    """Return the words of \\text{...} from the formula itself, because the tokens contain no spaces."""
    words, start = [], tokens.pop(0) if tokens else ""
    if start != "{":
        return start
    while tokens and (token := tokens.pop(0)) != "}":
        words.append(token)
    letters = r"\s*".join(re.escape(word) for word in words)
    found = re.search(r"\{(\s*" + letters + r"\s*)\}", latex)
    inside = found.group(1) if found else " ".join(words)
    return inside.replace("\\ ", " ").replace("~", " ").replace("\\", "")


def fraction(above: str, below: str) -> str:
    """Write a fraction as a/b, with brackets where they are needed."""
    if (above, below) == ("1", "2"):
        return "½"
    above = f"({above})" if re.search(r" [+−±·×/=≤≥] |^−|/", outside(above)) else above
    return f"{above}/{below}" if is_single(below) else f"{above}/({below})"


def is_single(text: str) -> bool:
    """Return True if the text needs no brackets, such as a number, a letter with an index or exponent, or f(x)."""
    return SINGLE.fullmatch(outside(text)) is not None


def outside(text: str) -> str:
    """Return the text without the contents of brackets: "2p(x|z)" -> "2p()"."""
    kept, depth = [], 0
    for letter in text:
        depth -= letter in ")]}⟩"
        if depth == 0:
            kept.append({"[": "(", "{": "(", "]": ")", "}": ")"}.get(letter, letter))
        depth += letter in "([{⟨"
    return "".join(kept)


def script(kind: str, text: str) -> str:
    """Write a subscript or superscript in Unicode's small letters.

    If a letter has no small form, or if a superscript has brackets, write _ or ^ before the text.
    """
    table, compact = (LOWERED if kind == "_" else RAISED), text.replace(" ", "")
    if compact and all(letter in table for letter in compact) and not (kind == "^" and "(" in compact):
        return "".join(table[letter] for letter in compact)
    if re.fullmatch(r"\w+|\(.*\)", compact):
        return kind + compact
    return f"{kind}{{{text}}}"


def spaced(made: Sequence[Piece]) -> str:
    """Join pieces into one line, with spaces that make it readable."""
    line, before = "", "start"
    for i, (text, part) in enumerate(made):
        after = next((piece.part for piece in made[i + 1 :] if piece.part != "space"), "end")
        if part == "bin" and before not in OPERANDS:
            part = "sign"                                   # a minus before its only operand
        if part == "frac" and text != "½" and (before in OPERANDS or before == "word" or after in FACTORS):
            text = f"({text})"                              # the fraction is a factor, or the argument of a function
        if part in ("space", "text"):
            line = f"{line.rstrip()} {text.strip()} "
        elif part in ("bin", "link", "rel"):
            line = f"{line.rstrip()} {text} " if before != "start" else text if part == "rel" else f"{text} "
        elif part == "comma":
            line = f"{line.rstrip()}{text} "
        else:
            line += " " + text if needs_gap(line, before, text, part) else text
        before = before if part == "space" else part
    return re.sub(r" +", " ", line).strip()


OPERANDS = ("ord", "frac", "close", "bar", "text")
FACTORS = ("ord", "frac", "word", "large", "open")


def needs_gap(line: str, before: str, text: str, part: str) -> bool:
    """Return True if `line` needs a space before the next piece, `text`.

    `part` is the kind of the next piece, and `before` is the kind of the last piece of `line`.
    """
    if before == "large" or (before == "frac" and part in FACTORS) or (part == "frac" and before in OPERANDS):
        return before != "bar"
    if part in ("word", "large") or text == "½":
        return before in ("ord", "close", "word")
    if before == "close" and part == "open":                # a product of two brackets
        return True
    letter = text[0].isalnum() or text[0] in "√ℒ"
    return part == "ord" and letter and (before in ("word", "close") or line.endswith((")", "}")))
