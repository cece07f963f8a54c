"""The URI explorer: its facts for any text, and the widget pressed without a browser."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Endpoint, Mode, Plan
from migrationlab.widgets import UriExplorer
from migrationlab.widgets.views import uri_meaning
from migrationlab.widgets.views.uri_meaning import EXAMPLES, Meaning, Place, meanings

NORMAL, PEER2PEER = Mode.NORMAL, Mode.PEER2PEER
SSH = "qemu+ssh://root@host-b/system"
URI_LIKE = st.one_of(
    st.text(),
    st.from_regex(r"[a-z]{2,5}(\+[a-z]{2,4})?:(//)?[a-z@.:\[\]%0-9-]{0,12}(/[a-z?=]{0,8})?"),
)


def by_place(text: str) -> dict[tuple[Mode, Place], Meaning]:
    """Return what a text means, by mode and place."""
    return {(one.mode, one.place): one for one in meanings(text)}


@given(text=URI_LIKE)
def test_any_text_has_a_meaning_in_each_place(text: str) -> None:
    """No text raises; a usable text gives a valid plan, another a reason and a hint."""
    found = meanings(text)
    assert [(one.mode, one.place) for one in found] == [(m, p) for m in Mode for p in Place]
    for one in found:
        assert one.plan.problems(source="host-a", destination="host-b") == ()
        assert one.works == (not one.problems)
        assert all(problem.reason and problem.hint for problem in one.problems)
        assert uri_meaning.drawn(one)
    assert uri_meaning.verdict(found).isprintable()
    assert uri_meaning.table(found).count("connects to") >= len(found)


@given(text=URI_LIKE)
def test_suggested_uri_works(text: str) -> None:
    """A suggested URI works in the place for which it was suggested."""
    for one in meanings(text):
        if one.instead is not None:
            taken = by_place(one.instead)[one.mode, one.place]
            assert taken.works
            assert taken.plan == one.plan


def test_uri_of_2011_is_a_connection_uri_in_both_modes() -> None:
    """It works where a libvirtd is asked for, and each mode has another program that connects."""
    found = by_place(SSH)
    assert {key for key, one in found.items() if one.works} == {
        (NORMAL, Place.CONNECTION),
        (PEER2PEER, Place.CONNECTION),
    }
    assert found[NORMAL, Place.CONNECTION].connection.opened_by is Endpoint.CLIENT
    assert found[PEER2PEER, Place.CONNECTION].connection.opened_by is Endpoint.SOURCE_LIBVIRTD
    assert found[NORMAL, Place.MIGRATION].instead == "tcp://host-b"
    assert "both modes" in uri_meaning.verdict(meanings(SSH))


def test_who_connects_is_taken_from_the_plan() -> None:
    """Both ends of each connection are those of the plan's own connections."""
    for text in ("", SSH, "tcp://host-b:49200"):
        for one in meanings(text):
            assert one.connection in one.plan.connections()
            assert one.connection.uri == getattr(one.plan, one.place)


@pytest.mark.parametrize("text", ["tcp://node-1", "qemu+ssh://root@node-1/system"])
def test_source_is_no_destination(text: str) -> None:
    """A URI that leads back to the source works in no place, for any names of hosts."""
    found = meanings(text, source="node-1", destination="node-2")
    assert not any(one.works for one in found)
    assert "tcp://node-2" in uri_meaning.suggestions(found)


def test_empty_text_is_a_missing_uri() -> None:
    """An empty text works in each place, like a plan without URIs."""
    assert all(one.works for one in meanings("  "))
    assert {one.plan for one in meanings("")} == {
        Plan(mode=mode).filled(destination="host-b") for mode in Mode
    }
    assert "left out" in uri_meaning.verdict(meanings(""))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_have_different_answers(example: str) -> None:
    """No two examples have the same answer."""
    answers = [uri_meaning.table(meanings(one)) for one in EXAMPLES if one != example]
    assert uri_meaning.table(meanings(example)) not in answers


def test_markup_in_a_text_is_escaped() -> None:
    """The page shows typed markup as text."""
    assert "<script>" not in uri_meaning.table(meanings("tcp://<script>alert(1)</script>"))


# The widget


def test_typing_changes_verdict_table_and_drawing_at_once() -> None:
    """Each key press changes the text, which a screen reader reads."""
    explorer = UriExplorer()
    before = explorer.table.value
    explorer.uri.value = "tcp://host-b:49200"
    assert 'role="status"' in explorer.verdict.value
    assert "works as a migration URI, in both modes" in explorer.verdict.value
    assert explorer.table.value != before
    assert "tcp://host-b:49200" in explorer.drawing.value
    assert repr(explorer) == "UriExplorer('tcp://host-b:49200')"


def test_chosen_example_fills_the_field() -> None:
    """A chosen example fills the field; typing another text deselects the example."""
    explorer = UriExplorer()
    assert explorer.examples.value == SSH
    explorer.examples.value = "qemu:///system"
    assert explorer.uri.value == "qemu:///system"
    explorer.uri.value = "qemu:///syste"
    assert explorer.examples.value == ""
    assert explorer.uri.value == "qemu:///syste"


def test_each_suggested_uri_has_a_button() -> None:
    """Each suggested URI has a button, and without suggestions there is none."""
    explorer = UriExplorer("host-b")
    shown = [one for one in explorer.fixes if one.layout.display is None]
    assert [one.description for one in shown] == ["Try tcp://host-b", f"Try {SSH}"]
    shown[1].click()
    assert explorer.uri.value == SSH
    explorer.uri.value = ""
    assert all(one.layout.display == "none" for one in explorer.fixes)


def test_drawing_follows_mode_and_place() -> None:
    """The drawing shows where a text works, or states that it does not work."""
    explorer = UriExplorer(SSH)
    assert "does not work" not in explorer.drawing.value
    explorer.place.value = Place.MIGRATION
    assert "does not work as the migration URI of a normal migration" in explorer.drawing.value
    assert "tcp://host-b" in explorer.drawing.value
    explorer.uri.value = "qemu+tcp://host-b/system"
    assert explorer.place.value is Place.CONNECTION
    explorer.mode.value = PEER2PEER
    assert "does not work" not in explorer.drawing.value
    assert "host-a&#39;s libvirtd connects to host-b" in explorer.drawing.value


def words(markup: str) -> str:
    """Return the text of a piece of HTML."""
    return re.sub(r"<[^>]*>", "", markup)


def test_marks_need_no_colours() -> None:
    """Each place has a tick or a cross, with a word."""
    shown = UriExplorer(SSH).table.value
    read = words(shown)
    assert read.count("✓ works") == read.count("✗ does not work") == 2
    assert shown.count('scope="col"') == len(Mode)
    assert shown.count('scope="row"') == len(Place)


def test_explorer_of_one_host_is_refused() -> None:
    """An explorer between a host and the same host is refused when it is made."""
    with pytest.raises(PlanError, match="same host"):
        UriExplorer(source="node-1", destination="node-1")


def test_saved_explorer_shows_its_answer() -> None:
    """Without a kernel the notebook shows the table and the drawing."""
    bundle = UriExplorer()._repr_mimebundle_()
    assert bundle["text/plain"] == f"UriExplorer({SSH!r})"
    assert "✓ works" in words(bundle["text/html"])
    assert "<img " in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_explorer_needs_no_libvirt() -> None:
    """Lesson 1 works on any machine, and loads no module that it does not need."""
    absent = ["libvirt", "libvirtmod", "libvirt_qemu"]
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from migrationlab.widgets import UriExplorer\n"
        "explorer = UriExplorer('tcp://host-b')\n"
        "assert [one.works for one in explorer.meanings()] == [True, False, True, False]\n"
        "assert not {'pandas', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
