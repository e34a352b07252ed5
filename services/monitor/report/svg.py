"""Elements of SVG, with everything that is put into them escaped. Pure."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

Attribute = str | float | None
Point = tuple[float, float]

_FONT_ASPECT: Final = 0.56  # width of a letter in sizes of the font, on average


def tag(name: str, *children: Markup | str, **attributes: Attribute) -> Markup:
    """Return an element. In names of attributes _ stands for -; one at the end is left out, as in `class_`."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inner)


def picture(width: float, height: float, title: str, *children: Markup) -> Markup:
    """Return a whole picture, as wide as there is room.

    Args:
        title: what it shows, for those who do not see it.
    """
    return tag("svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title)


def text(x: float, y: float, said: str, *, class_: str = "label", anchor: str = "start") -> Markup:
    return tag("text", said, x=x, y=y, class_=class_, text_anchor=anchor)


def rect(corner: Point, width: float, height: float, class_: str, title: str = "") -> Markup:
    hint = (tag("title", title),) if title else ()
    return tag("rect", *hint, x=corner[0], y=corner[1], width=max(width, 0.0), height=max(height, 0.0), class_=class_)


def line(start: Point, end: Point, class_: str) -> Markup:
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(points: Sequence[Point], class_: str) -> Markup:
    return tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def fitting(said: str, width: float, size: float = 11.0) -> str:
    """Cut a text to a width."""
    most = max(int(width / (size * _FONT_ASPECT)), 2)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def _value(value: Attribute) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
