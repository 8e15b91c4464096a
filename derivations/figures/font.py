"""The math font of the ledger's HTML page: a part of matplotlib's STIX fonts, taller brackets and a MATH table.

Without a MATH table, browsers do not stretch brackets and roots. The name of this font is not STIX, because the STIX
licence requires a new name for a changed font. If the font cannot be made, the book uses the math fonts of the reader's
computer.
"""

import base64
import io
from pathlib import Path

import matplotlib

NAME = "Ledger Math"
SIZES = ("STIXSizOneSymReg", "STIXSizTwoSymReg", "STIXSizThreeSymReg", "STIXSizFourSymReg")
GROWING = "()[]{}⟨⟩√|"                                      # signs that browsers stretch; the double bar is not stretched
CONSTANTS = {                                               # values of the MATH table, in 1/1000 em, or (Percent) in %
    "ScriptPercentScaleDown": 72, "ScriptScriptPercentScaleDown": 58, "AxisHeight": 250, "DisplayOperatorMinHeight": 1300,
    "DelimitedSubFormulaMinHeight": 1300, "SubscriptShiftDown": 180, "SubscriptTopMax": 400, "SuperscriptShiftUp": 380,
    "SuperscriptShiftUpCramped": 300, "SuperscriptBottomMin": 125, "SubSuperscriptGapMin": 150, "SpaceAfterScript": 40,
    "SuperscriptBottomMaxWithSubscript": 400, "SubscriptBaselineDropMin": 160, "SuperscriptBaselineDropMax": 230,
    "UpperLimitGapMin": 130, "UpperLimitBaselineRiseMin": 300, "LowerLimitGapMin": 130, "LowerLimitBaselineDropMin": 600,
    "FractionNumeratorShiftUp": 480, "FractionNumeratorDisplayStyleShiftUp": 640, "FractionDenominatorShiftDown": 480,
    "FractionDenominatorDisplayStyleShiftDown": 640, "FractionNumeratorGapMin": 66, "FractionRuleThickness": 52,
    "FractionNumDisplayStyleGapMin": 120, "FractionDenominatorGapMin": 66, "FractionDenomDisplayStyleGapMin": 120,
    "RadicalVerticalGap": 80, "RadicalDisplayStyleVerticalGap": 160, "RadicalRuleThickness": 60, "RadicalExtraAscender": 60,
    "AccentBaseHeight": 450, "StretchStackGapAboveMin": 100, "StretchStackGapBelowMin": 100,
}  # fmt: skip


def math_font(letters: str) -> str:
    """Return a font with these letters, as a WOFF file in base64; return "" if the font cannot be made."""
    try:
        return base64.b64encode(made(letters)).decode()
    except Exception:                                       # fontTools is missing or too old, or the fonts have changed
        return ""


def made(letters: str) -> bytes:
    """Return the font with these letters, as the bytes of a WOFF file."""
    from fontTools import subset
    from fontTools.otlLib.builder import buildMathTable
    from fontTools.ttLib import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = TTFont(folder / "STIXGeneral.ttf", recalcTimestamp=False)
    options = subset.Options(layout_features=[], name_IDs=[], notdef_outline=True, hinting=False, drop_tables=["FFTM"])
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join({*letters, *GROWING, *"∑∏∫ "}))
    cutter.subset(font)
    variants: dict[str, list[str]] = {}
    for size in SIZES:
        add_taller(font, TTFont(folder / f"{size}.ttf"), size, variants)
    names = font.getBestCmap()
    variants[names[ord("∫")]].append(scaled(font, names[ord("∫")], 1.9))
    heights = {name: [(one, height(font, one)) for one in (name, *more)] for name, more in variants.items()}
    # A browser stretches a glyph only if the MATH table has an entry for this glyph. So every variant of every glyph gets an
    # entry: an italics correction, which is 0.
    corrections = {one: 0 for name, more in variants.items() for one in (name, *more)}
    buildMathTable(font, CONSTANTS, corrections, minConnectorOverlap=20, vertGlyphVariants=heights)
    for number, text in ((1, NAME), (2, "Regular"), (4, NAME), (6, NAME.replace(" ", ""))):
        font["name"].setName(text, number, 3, 1, 0x409)
    font.flavor = "woff"
    file = io.BytesIO()
    font.save(file)
    return file.getvalue()


def add_taller(font, taller, size: str, variants: dict[str, list[str]]) -> None:
    """Copy the taller brackets, sum and product signs of one size into the font, and add their names to `variants`."""
    names, theirs = font.getBestCmap(), taller.getBestCmap()
    for letter in (*GROWING, *"∑∏∫"):
        old = names[ord(letter)]
        variants.setdefault(old, [])
        if ord(letter) in theirs and letter != "∫":
            copy(font, f"{old}.{size}", *drawn(taller, theirs[ord(letter)]))
            variants[old].append(f"{old}.{size}")
        elif letter == "|":                                 # the taller STIX fonts have no bar: stretch the small bar
            variants[old].append(scaled(font, old, 1.6 + 0.9 * len(variants[old]), wide=1.0))


def scaled(font, name: str, tall: float, wide: float | None = None) -> str:
    """Add a scaled copy of a glyph, centred at the height of a minus sign; return the copy's name."""
    glyph, width = drawn(font, name)
    wide, middle = tall if wide is None else wide, (glyph.yMin + glyph.yMax) / 2
    glyph.coordinates.translate((0, -middle))
    glyph.coordinates.scale((wide, tall))
    glyph.coordinates.translate((0, CONSTANTS["AxisHeight"]))
    glyph.coordinates.toInt()
    copy(font, f"{name}.{tall:.1f}", glyph, round(width * wide))
    return f"{name}.{tall:.1f}"


def drawn(font, name: str) -> tuple:
    """Return the outlines of a glyph, without hinting instructions; also return the width of the glyph."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    font.getGlyphSet()[name].draw(pen)
    glyph = pen.glyph()
    glyph.recalcBounds(font["glyf"])
    return glyph, font["hmtx"][name][0]


def copy(font, name: str, glyph, width: int) -> None:
    """Add a glyph to the font."""
    font.setGlyphOrder([*font.getGlyphOrder(), name])
    font["glyf"][name] = glyph
    glyph.recalcBounds(font["glyf"])
    font["hmtx"][name] = width, glyph.xMin


def height(font, name: str) -> int:
    """Return the height of a glyph."""
    glyph = font["glyf"][name]
    glyph.recalcBounds(font["glyf"])
    return glyph.yMax - glyph.yMin
