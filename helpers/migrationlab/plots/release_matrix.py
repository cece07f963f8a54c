"""Draw the release matrix: for each pair of hosts a field with the result in words."""

from __future__ import annotations

from collections import Counter

from matplotlib.axes import Axes

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
    cells = [cell for cell in matrix.cells() if cell.key.network_model == "virtio"]
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
                _pair(axes, (column, row), (source, destination), cells)
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


def _pair(axes: Axes, place: tuple[int, int], pair: tuple[str, str], cells: list[Cell]) -> None:
    column, row = place
    ons = list(dict.fromkeys(pair))
    height = 0.9 / len(ons)
    for index, booted_on in enumerate(ons):
        found = [
            cell for cell in cells
            if (cell.key.source, cell.key.destination, cell.key.booted_on) == (*pair, booted_on)
        ]  # fmt: skip
        words = [cell.word for cell in found]
        worst = next((word for word in _WORST_FIRST if word in words), None)
        colour = COLOURS[worst] if worst else palette.PALE
        top = row - 0.45 + index * height
        axes.add_patch(_box(column - 0.45, top, 0.9, height - 0.03, colour))
        axes.text(
            column, top + height / 2 - 0.015, _words(found, booted_on), ha="center", va="center",
            fontsize=10, color=palette.INK,
        )  # fmt: skip


def _box(left: float, top: float, width: float, height: float, colour: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    return Rectangle((left, top), width, height, facecolor=colour, alpha=0.55, linewidth=0)


def _words(found: list[Cell], booted_on: str) -> str:
    first = f"booted on {booted_on}:"
    if not found:
        return f"{first}\nnobody can be here"
    words = list(dict.fromkeys(cell.word for cell in found))
    downtimes = [cell.downtime_ms for cell in found if cell.downtime_ms is not None]
    if words == [WORKS] and downtimes:
        return f"{first}\nworks, {min(downtimes):.0f}–{max(downtimes):.0f} ms"
    return f"{first}\n{', '.join(words)}"


def _alt(cells: list[Cell]) -> str:
    lines = [
        f"{cell.key.source} to {cell.key.destination}, {cell.key.mode}, booted on "
        f"{cell.key.booted_on}: {cell.word}"
        for cell in cells
    ]
    return "; ".join(lines)
