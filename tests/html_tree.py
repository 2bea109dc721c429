"""HTML as a parser sees it: what a test asks of a page instead of searching its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"br", "col", "img", "input", "link", "meta", "source"})


@dataclass
class Element:
    """One element."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def __iter__(self) -> Iterator[Element]:
        """Yield this element and all inside, in the order of the document."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    def find(self, tag: str = "", **attributes: str) -> list[Element]:
        """Return the elements of that tag whose attributes hold these words; ``class_`` stands for ``class``."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            element
            for element in self
            if tag in ("", element.tag)
            and all(value in element.attributes.get(name, "").split() for name, value in wanted.items())
        ]

    def outline(self, depth: int = 0) -> str:
        """Return tags with ids and classes, indented; alike neighbours are one line with their number."""
        names = [f"#{self.attributes['id']}"] if "id" in self.attributes else []
        names += [f".{name}" for name in self.attributes.get("class", "").split()]
        inner = [child.outline(depth + 1) for child in self.children if isinstance(child, Element)]
        lines = ["  " * depth + self.tag + "".join(names)]
        while inner:
            alike = next((count for count, other in enumerate(inner) if other != inner[0]), len(inner))
            head, *rest = inner[0].split("\n")
            lines += [head + (f" × {alike}" if alike > 1 else ""), *rest]
            inner = inner[alike:]
        return "\n".join(lines)


def parse_html(text: str) -> Element:
    """Return the document as a tree.

    Raises:
        AssertionError: an element is not closed, or closed where it was not open.
    """
    builder = _Builder()
    builder.feed(text)
    builder.close()
    assert [element.tag for element in builder.open] == ["document"], "not closed"
    return builder.open[0]


def shape_of(page: Element) -> Counter[tuple[str, tuple[str, ...]]]:
    """Return how often each tag stands in a page with each set of attributes."""
    return Counter((element.tag, tuple(element.attributes)) for element in page)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("document")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)
