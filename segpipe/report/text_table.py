"""Tables for a terminal."""

from collections.abc import Sequence


def text_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns side by side: the first flush left, numbers flush right, a column of two flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    if len(widths) == 2:
        return "\n".join(f"{name:<{widths[0]}}  {value}" for name, value in rows)
    lines = []
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)
