"""Specs: their fields are the one source of arguments, options and factors."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Literal

import pytest

from migrationlab.errors import UsageError
from migrationlab.lab.lab import Lab
from migrationlab.lab.network import Wire
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.spec import (
    arguments_of,
    factors,
    of_factors,
    of_record,
    option,
    options,
    require_valid,
)
from migrationlab.plan.wire_spec import WireSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cup:
    """A spec of three fields."""

    size_ml: int = option(200, "How much it holds.", unit="ml", minimum=1, maximum=500)
    lid: Literal["flat", "high"] | None = option(None, "Its lid.", absent="open")
    fill: float | Literal["full"] = option("full", "How full.", minimum=0, factor="cup_fill")
    handle: bool = option(
        default=True, help="Whether it has one.", allowed_text="True or False", before=False
    )


class Shelf:
    """What takes a spec's fields as arguments."""

    @arguments_of(Cup)
    def put(self, cup: Cup) -> Cup:
        """Put a cup.

        Raises:
            UsageError: Never.
        """
        return cup


def test_method_takes_the_fields_of_a_spec() -> None:
    """The signature and the docstring of the method follow from the spec."""
    assert Shelf().put(size_ml=100) == Cup(size_ml=100)
    signature = inspect.signature(Shelf.put)
    assert list(signature.parameters) == ["self", "size_ml", "lid", "fill", "handle"]
    assert signature.parameters["size_ml"].default == 200
    doc = inspect.getdoc(Shelf.put)
    assert doc is not None
    assert "Args:\n    size_ml: How much it holds. A whole number from 1 to 500 ml.\n" in doc
    assert doc.endswith("Raises:\n    UsageError: Never.")
    with pytest.raises(TypeError, match="saucer"):
        Shelf().put(saucer=True)


def test_options_follow_from_annotations() -> None:
    """Types, words and None come from a field's annotation, its name and default from the class."""
    size, lid, fill, _ = options(Cup)
    assert (size.name, size.kind, size.default, size.factor) == ("size_ml", int, 200, "size_ml")
    assert (lid.kind, lid.choices, lid.optional) == (None, ("flat", "high"), True)
    assert (fill.kind, fill.choices, fill.factor) == (float, ("full",), "cup_fill")
    assert fill.allowed == "a number from 0 or 'full'"


@pytest.mark.parametrize("value", [0, 501, 1.0, "200", True, None])
def test_values_out_of_range_are_refused(value: object) -> None:
    """A value that is not allowed is refused by its name, and the hint has the default."""
    with pytest.raises(UsageError, match="size_ml must be a whole number from 1 to 500 ml") as it:
        require_valid(dataclasses.replace(Cup(), size_ml=value), UsageError)
    assert it.value.hint.endswith("or leave size_ml out for 200.")


def test_factors_have_their_own_names() -> None:
    """An experiment's values are read and given by the factors' names."""
    cup = of_factors(Cup, {"cup_fill": 0.5})
    assert cup == Cup(fill=0.5)
    assert factors(cup) == {"size_ml": 200, "lid": None, "cup_fill": 0.5, "handle": True}


def test_old_records_have_the_old_meaning() -> None:
    """A field that a record lacks has its value from before it existed, else its default."""
    assert of_record(Cup, {"size_ml": 100, "uuid": "x"}) == Cup(size_ml=100, handle=False)
    assert of_record(Cup, {"handle": True}) == Cup()


def test_lab_takes_the_specs() -> None:
    """``Lab.boot`` has a parameter for each field of a guest, ``Wire.set`` for each of a wire."""
    for method, spec in ((Lab.boot, GuestSpec), (Wire.set, WireSpec)):
        parameters = inspect.signature(method).parameters
        for each in options(spec):
            assert parameters[each.name].default == each.default
            assert f"{each.name}: {each.help}" in (method.__doc__ or "")
