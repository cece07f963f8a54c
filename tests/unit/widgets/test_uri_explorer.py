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
    """Give what a text means, by mode and place."""
    return {(one.mode, one.place): one for one in meanings(text)}


@given(text=URI_LIKE)
def test_any_text_has_a_meaning_in_each_place(text: str) -> None:
    """Nothing raises; what works is a good plan, and what does not has a reason and a hint."""
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
def test_what_would_do_instead_does(text: str) -> None:
    """A suggestion, taken, works in the very place that it was given for."""
    for one in meanings(text):
        if one.instead is not None:
            taken = by_place(one.instead)[one.mode, one.place]
            assert taken.works
            assert taken.plan == one.plan


def test_the_uri_of_2011_is_a_connection_uri_in_both_modes() -> None:
    """It works where a libvirtd is asked for, and each mode has another who connects it."""
    found = by_place(SSH)
    assert {key for key, one in found.items() if one.works} == {
        (NORMAL, Place.CONNECTION),
        (PEER2PEER, Place.CONNECTION),
    }
    assert found[NORMAL, Place.CONNECTION].connection.opened_by is Endpoint.CLIENT
    assert found[PEER2PEER, Place.CONNECTION].connection.opened_by is Endpoint.SOURCE_LIBVIRTD
    assert found[NORMAL, Place.MIGRATION].instead == "tcp://host-b"
    assert "both modes" in uri_meaning.verdict(meanings(SSH))


def test_who_connects_is_what_the_plan_says() -> None:
    """The one who connects, and what is connected to, are those of the plan's own talks."""
    for text in ("", SSH, "tcp://host-b:49200"):
        for one in meanings(text):
            assert one.connection in one.plan.connections()
            assert one.connection.uri == getattr(one.plan, one.place)


@pytest.mark.parametrize("text", ["tcp://node-1", "qemu+ssh://root@node-1/system"])
def test_the_source_itself_is_no_destination(text: str) -> None:
    """Whatever the hosts are called, a URI that leads back to the source works nowhere."""
    found = meanings(text, source="node-1", destination="node-2")
    assert not any(one.works for one in found)
    assert "tcp://node-2" in uri_meaning.suggestions(found)


def test_an_empty_text_is_a_uri_left_out() -> None:
    """Nothing typed works everywhere, as a plan without URIs does."""
    assert all(one.works for one in meanings("  "))
    assert {one.plan for one in meanings("")} == {
        Plan(mode=mode).filled(destination="host-b") for mode in Mode
    }
    assert "left out" in uri_meaning.verdict(meanings(""))


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_shows_something_new(example: str) -> None:
    """No two examples get the same answer, so each is worth a look."""
    answers = [uri_meaning.table(meanings(one)) for one in EXAMPLES if one != example]
    assert uri_meaning.table(meanings(example)) not in answers


def test_markup_in_a_text_is_shown_and_not_obeyed() -> None:
    """What is typed ends up on the page as text."""
    assert "<script>" not in uri_meaning.table(meanings("tcp://<script>alert(1)</script>"))


# The widget


def test_typing_changes_verdict_table_and_drawing_at_once() -> None:
    """Each keystroke is answered, in words that a screen reader reads out."""
    explorer = UriExplorer()
    before = explorer.table.value
    explorer.uri.value = "tcp://host-b:49200"
    assert 'role="status"' in explorer.verdict.value
    assert "works as a migration URI, in both modes" in explorer.verdict.value
    assert explorer.table.value != before
    assert "tcp://host-b:49200" in explorer.drawing.value
    assert repr(explorer) == "UriExplorer('tcp://host-b:49200')"


def test_an_example_is_put_into_the_field() -> None:
    """Choosing one types it; typing something else lets go of it."""
    explorer = UriExplorer()
    assert explorer.examples.value == SSH
    explorer.examples.value = "qemu:///system"
    assert explorer.uri.value == "qemu:///system"
    explorer.uri.value = "qemu:///syste"
    assert explorer.examples.value == ""
    assert explorer.uri.value == "qemu:///syste"


def test_what_would_do_is_one_press_away() -> None:
    """A button for each URI that would do, gone when there is none to offer."""
    explorer = UriExplorer("host-b")
    shown = [one for one in explorer.fixes if one.layout.display is None]
    assert [one.description for one in shown] == ["Try tcp://host-b", f"Try {SSH}"]
    shown[1].click()
    assert explorer.uri.value == SSH
    explorer.uri.value = ""
    assert all(one.layout.display == "none" for one in explorer.fixes)


def test_the_drawing_follows_mode_and_place() -> None:
    """What does not work is said to; a text that works is drawn where it does."""
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
    """Give what is read of a piece of HTML."""
    return re.sub(r"<[^>]*>", "", markup)


def test_marks_say_without_colours_what_works() -> None:
    """A tick and the word, a cross and the word: as many as there are places."""
    shown = UriExplorer(SSH).table.value
    read = words(shown)
    assert read.count("✓ works") == read.count("✗ does not work") == 2
    assert shown.count('scope="col"') == len(Mode)
    assert shown.count('scope="row"') == len(Place)


def test_two_hosts_must_be_two() -> None:
    """An explorer between one host and itself is refused when it is made."""
    with pytest.raises(PlanError, match="same host"):
        UriExplorer(source="node-1", destination="node-1")


def test_a_saved_explorer_shows_what_it_said() -> None:
    """Without a kernel the reader still sees the table and the drawing."""
    bundle = UriExplorer()._repr_mimebundle_()
    assert bundle["text/plain"] == f"UriExplorer({SSH!r})"
    assert "✓ works" in words(bundle["text/html"])
    assert "<img " in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_it_works_where_there_is_no_libvirt() -> None:
    """Lesson 1 can be played on any machine, and nobody waits for what the explorer needs not."""
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
