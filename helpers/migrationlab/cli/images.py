"""``migrationlab lab images``: list, build and remove the images of the lab's hosts."""

from __future__ import annotations

import time
from typing import Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.options import Columns, Format, Row, answer, columns_table, format_option

#: The packages that the list shows.
_SHOWN = {"libvirt-daemon": "libvirt", "qemu-system-x86": "QEMU", "linux-image": "guest's kernel"}

expired_option = click.option(
    "--expired-mirror",
    is_flag=True,
    help="Accept lists of packages that the mirror should have renewed, if an image is built.",
)


@click.group(invoke_without_command=True)
@format_option
@click.pass_context
def images(context: click.Context, output_format: Format) -> None:
    """List the images of the lab's hosts; build or remove them."""
    if context.invoked_subcommand is None:
        _show(output_format)


@images.command("list")
@format_option
def list_(output_format: Format) -> None:
    """List the known images, and what is cached of them: size, age and packages."""
    _show(output_format)


@images.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("--modular", is_flag=True, help="Build libvirt's modular daemons for them, too.")
@expired_option
@format_option
def build(
    names: tuple[str, ...], modular: bool, expired_mirror: bool, output_format: Format
) -> None:
    """Build the images NAME… that are not cached. Each takes about a minute."""
    from migrationlab.lab import image
    from migrationlab.lab import modular as daemons

    for name in names:
        image.path_of(name)  # a wrong name is refused before a minute has passed
    with StepDisplay() as display:
        for name in names:
            (daemons if modular else image).ensure(name, display, expired=expired_mirror)
    rows = [row for row in _rows() if row["name"] in names and row["current"]]
    answer(output_format, {"images": rows}, _table(rows))


@images.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@format_option
def remove(names: tuple[str, ...], output_format: Format) -> None:
    """Remove the images NAME…, also those of older recipes, if no lab is running."""
    from migrationlab.lab import image

    for name in names:
        image.path_of(name)
    refuse_while_used()
    removed = [name for name in names if image.remove(name)]
    text = f"removed the host images of {', '.join(removed)}" if removed else "no such image"
    answer(output_format, {"removed": removed}, text)


def refuse_while_used() -> None:
    """Refuse to delete images while a lab of this user runs."""
    from migrationlab.lab import registry

    if names := registry.names():
        raise click.ClickException(
            f"the labs {', '.join(names)} use the images; stop them: migrationlab lab down --all"
        )


def _show(output_format: Format) -> None:
    rows = _rows()
    answer(output_format, {"images": rows}, _table(rows))


def _rows() -> list[dict[str, Any]]:
    """Return what is cached, and then the known images that are not."""
    from migrationlab.lab import image, recipes

    rows = [
        {
            "name": each.name,
            "about": recipes.RECIPES[each.name].about,
            "cached": True,
            "current": each.current,
            "path": str(each.path),
            "size_mib": each.size_mib,
            "built_at": each.built_at,
            "age_days": (time.time() - each.built_at) / 86_400,
            "expired_mirror": each.expired_mirror,
            "packages": each.packages,
        }
        for each in image.cached_images()
    ]
    here = {row["name"] for row in rows if row["current"]}
    absent = dict.fromkeys(rows[0], None) if rows else {}
    rows += [
        {**absent, "name": name, "about": recipe.about, "cached": False}
        for name, recipe in recipes.RECIPES.items()
        if name not in here
    ]
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    return columns_table(_COLUMNS, rows, left=3)


def _state(row: Row) -> str:
    if not row["cached"]:
        return "not built"
    if not row["current"]:
        return "of an older recipe"
    return "from an expired list" if row["expired_mirror"] else "cached"


def _known(name: str, form: str) -> Any:
    return lambda row: form.format(row[name]) if row["cached"] else "-"


def _version(package: str) -> Any:
    return lambda row: (row["cached"] and row["packages"].get(package)) or "-"


_COLUMNS: Columns = {
    "image": "{name}",
    "state": _state,
    "what it is": "{about}",
    "MiB": _known("size_mib", "{}"),
    "age, days": _known("age_days", "{:.1f}"),
    **{header: _version(package) for package, header in _SHOWN.items()},
}
