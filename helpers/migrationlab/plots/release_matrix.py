"""Draw the release matrix: for each pair of hosts a field with the result in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from migrationlab.plots import palette, picture
from migrationlab.runs.release_matrix import FAILS, LOST, MIXED, WORKS, Cell, ReleaseMatrix

COLOURS = {
    WORKS: palette.SKY,
    MIXED: palette.YELLOW,
    LOST: palette.VERMILION,
    FAILS: palette.ORANGE,
}
#: The worst first: a field has the colour of its worst cell.
_WORST_FIRST = (LOST, FAILS, MIXED, WORKS)


def release_matrix(matrix: ReleaseMatrix) -> picture.Picture:
    """Draw a matrix: a row for each source, a column for each destination, two fields in each.

    The fields are those of guests with a virtio network card, booted on the source's release and
    on the destination's.
    """
    cells = [cell for cell in matrix.cells() if cell.key.plain]
    images = matrix.images()
    counts = Counter(cell.word for cell in cells)
    title = f"{counts[WORKS]} of {len(cells)} kinds of migration between releases work"
    tries = [len(cell.tries) for cell in cells]
    many = f"{min(tries)} to {max(tries)}" if min(tries) < max(tries) else f"{min(tries)}"
    subtitle = f"Both modes together; each was tried {many} times; virtio network card"
    with picture.drawing(1.6 + 1.3 * len(images), title, subtitle, _alt(cells)) as drawn:
        axes = drawn.figure.subplots()
        _frame(axes, matrix, images)
        for row, source in enumerate(images):
            for column, destination in enumerate(images):
                _pair(axes, (column, row), (source, destination), matrix.cells())
    return drawn


def _frame(axes: Axes, matrix: ReleaseMatrix, images: tuple[str, ...]) -> None:
    names = {name: _versions(matrix, name) for name in images}
    places = range(len(images))
    axes.set_xlim(-0.5, len(images) - 0.5)
    axes.set_ylim(len(images) - 0.5, -0.5)
    axes.set_xticks(places, [f"{name}\n{names[name]}" for name in images])
    axes.set_yticks(places, [f"{name}\n{names[name]}" for name in images])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("to")
    axes.set_ylabel("from")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _versions(matrix: ReleaseMatrix, name: str) -> str:
    for each in matrix.tries:
        for side, image in (("source", each.source), ("destination", each.destination)):
            if image == name:
                return f"QEMU {each.versions[f'{side}_qemu']}"
    return ""


def _pair(axes: Axes, place: tuple[int, int], pair: tuple[str, str], cells: Sequence[Cell]) -> None:
    column, row = place
    ons = list(dict.fromkeys(pair))
    height = 0.9 / len(ons)
    for index, booted_on in enumerate(ons):
        words = _of_both_modes(_found(cells, pair, booted_on))
        worst = next((word for word in _WORST_FIRST if word in words), None)
        colour = COLOURS[worst] if worst else palette.PALE
        top = row - 0.45 + index * height
        corner, size = (column - 0.45, top), (0.9, height - 0.03)
        axes.add_patch(Rectangle(corner, *size, facecolor=colour, alpha=0.55, linewidth=0))
        text = f"booted on {booted_on}:\n{_words(cells, pair, booted_on)}"
        middle = top + height / 2 - 0.015
        axes.text(column, middle, text, ha="center", va="center", fontsize=9, color=palette.INK)


def _found(
    cells: Sequence[Cell], pair: tuple[str, str], booted_on: str, model: str = "virtio"
) -> list[Cell]:
    wanted = (*pair, booted_on, model, None)
    keys = ((cell, cell.key) for cell in cells)
    return [
        cell for cell, key in keys
        if (key.source, key.destination, key.booted_on, key.network_model, key.disk) == wanted
    ]  # fmt: skip


def _words(cells: Sequence[Cell], pair: tuple[str, str], booted_on: str) -> str:
    found = _found(cells, pair, booted_on)
    if not found:
        there = _found(cells, pair[::-1], booted_on)
        return "cannot be there" if there and booted_on != pair[0] else "not tried"
    words = _of_both_modes(found)
    downtimes = [cell.downtime_ms for cell in found if cell.downtime_ms is not None]
    if words == [WORKS] and downtimes:
        return f"works, {min(downtimes):.0f}–{max(downtimes):.0f} ms"
    others = _found(cells, pair, booted_on, "vmxnet3")
    helped = bool(others) and all(cell.word == WORKS for cell in others)
    return f"{', '.join(words)}{'; works with vmxnet3' if helped else ''}"


def _of_both_modes(cells: Sequence[Cell]) -> list[str]:
    """Return the words of the cells, each once; chance decides where one mode was luckier."""
    words = list(dict.fromkeys(cell.word for cell in cells))
    return [MIXED] if len(words) > 1 and FAILS not in words else words


def _alt(cells: Sequence[Cell]) -> str:
    lines = [
        f"{cell.key.source} to {cell.key.destination}, {cell.key.mode}, booted on "
        f"{cell.key.booted_on}: {cell.word}"
        for cell in cells
    ]
    return "; ".join(lines)
