"""Elements of an HTML page. Every text is escaped, except objects of the class `Html`."""

import html
import re
from collections import Counter
from collections.abc import Iterable


class Html(str):
    """Markup: text that is already escaped."""


class BrokenPage(Exception):
    """Raised for a bad formula, a dead link, a duplicate id, a picture without an alt text, or a link to another site.

    Also raised if the museum's table of bugs and checks is incomplete.
    """


def tag(name: str, *inside: str | Iterable, **attributes: str) -> Html:
    """Return an element. `class_` becomes class, `data_words` becomes data-words. An attribute set to False is omitted."""
    shown = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not False)
    head = "".join(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"' for key, value in shown)
    end = "" if name in ("img", "input", "meta", "br") else f"</{name}>"
    return Html(f"<{name}{head}>{markup(*inside)}{end}")


def markup(*parts: str | Iterable) -> Html:
    """Join parts, or lists of parts, into markup. Parts that are not yet markup are escaped."""
    return Html("".join(markup(*part) if not isinstance(part, str) else escaped(part) for part in parts))


def escaped(text: str) -> str:
    """Return markup unchanged, and other text escaped."""
    return text if isinstance(text, Html) else html.escape(text)


def link(anchor: str, text: str | None = None, **attributes: str) -> Html:
    """Return a link to an anchor of this page."""
    return tag("a", anchor if text is None else text, href=f"#{anchor}", **attributes)


def note(*inside: str | Iterable) -> Html:
    """Return a paragraph in a small font."""
    return tag("p", *inside, class_="small")


def article(anchor: str, head: Html, left: Iterable, right: Iterable, words: str) -> Html:
    """Return an article of two columns under a heading. The search looks in `words`."""
    columns = tag("div", *left, class_="left"), tag("div", *right, class_="right")
    return tag("article", tag("h4", head), *columns, id=anchor, data_words=words.replace("\n", " "))


def grouped(pairs: Iterable[tuple]) -> dict:
    """Return {key: list of its different values, in order} for pairs (key, value)."""
    found: dict = {}
    for key, value in pairs:
        found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def listed(parts: Iterable[str], between: str = ", ") -> Html:
    """Join parts with a separator."""
    return Html(html.escape(between).join(markup(part) for part in parts))


def scrolling(table: Html, label: str) -> Html:
    """Return a table in a box that scrolls if the table is too wide."""
    return tag("div", table, class_="scroll", tabindex="0", role="group", aria_label=label)


def faults(page: str) -> list[str]:
    """Return the faults of a page, such as dead links.

    The patterns find attributes by their quotes. This is safe, because quotes in texts are escaped.
    """
    ids = Counter(re.findall(r'<[^>]* id="([^"]*)"', page))
    found = [f"the id {id} is used {count} times" for id, count in ids.items() if count > 1]
    links = {html.unescape(target) for target in re.findall(r'<a [^>]*?href="#([^"]*)"', page)}
    found += [f"the link #{target} leads nowhere" for target in sorted(links - {html.unescape(id) for id in ids})]
    pictures = (picture for picture in re.findall(r"<img[^>]*>", page) if not re.search(r' alt="[^"]', picture))
    found += [f"a picture without an alt text: {picture[:60]}" for picture in pictures]
    away = re.findall(r'<(?!a class="cite")[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page)
    return found + [f"a link to another site: {one[:80]}" for one in away]


def checked(page: str) -> str:
    """Return the page; raise BrokenPage if it has a fault."""
    if found := faults(page):
        raise BrokenPage("; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else ""))
    return page
