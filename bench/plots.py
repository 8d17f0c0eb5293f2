"""Draw growth as SVG. Both axes are logarithmic, so a power of the size is a straight line."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 30, 50
_COLOURS = ("#1b6ca8", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e", "#a16207", "#4b5563")
_LABEL_HEIGHT = 16


def log_log_plot(
    title: str, sized_by: str, sizes: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> str:
    """Return a plot of the costs of each line, in seconds, over *sizes*.

    Raises ValueError for a size or a cost that is not positive.
    """
    across = _Axis(min(sizes), max(sizes), _LEFT, WIDTH - _RIGHT)
    costs = [cost for line in lines.values() for cost in line]
    up = _Axis(min(costs), max(costs), HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
        f'<text x="{(WIDTH - _RIGHT + _LEFT) / 2:g}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(sized_by)}</text>",
    ]
    for decade in across.decades():
        x = across.place(decade)
        parts.append(_rule(x, _TOP, x, HEIGHT - _BOTTOM))
        parts.append(_label(x, HEIGHT - _BOTTOM + 18, f"{decade:,.0f}", "middle"))
    for decade in up.decades():
        y = up.place(decade)
        parts.append(_rule(_LEFT, y, WIDTH - _RIGHT, y))
        parts.append(_label(_LEFT - 6, y + 4, _seconds(decade), "end"))
    ends = _apart({name: up.place(line[-1]) for name, line in lines.items()})
    for colour, (name, line) in zip(_cycled(len(lines)), lines.items(), strict=True):
        points = [
            (across.place(size), up.place(cost)) for size, cost in zip(sizes, line, strict=True)
        ]
        shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_label(WIDTH - _RIGHT + 10, ends[name] + 4, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Values from *least* to *most*, widened to whole decades, to places between two ends."""

    def __init__(self, least: float, most: float, start: float, end: float) -> None:
        self._low = math.floor(math.log10(least))
        self._high = max(math.ceil(math.log10(most)), self._low + 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """The same places, from top to bottom, moved down where two labels would overlap."""
    moved: dict[str, float] = {}
    free = 0.0
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        moved[name] = max(place, free)
        free = moved[name] + _LABEL_HEIGHT
    return moved


def _cycled(count: int) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="#d4d4d4" stroke-width="1"/>'
    )


def _label(x: float, y: float, text: str, anchor: str, colour: str = "#262626") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * 0.999:
            return f"{value / size:,.0f} {unit}"
    return f"{value:g} s"
