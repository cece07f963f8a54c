"""The panel with fakes, which let a test hold a migration at any moment.

``tests/notebooks/test_panel.py`` tests the same panel on real hosts.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator

import pytest

from migrationlab.errors import HostError, LabError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode
from migrationlab.runs.run import Run
from migrationlab.widgets import MigrationPanel, panel
from migrationlab.widgets.panel import POLLS_PER_REDRAW
from panel_fakes import TIMEOUT_S, FakeGuest, FakeHost, FakeLab, FakeMigration, Stage


@pytest.fixture
def stage(make_run: Callable[..., Run]) -> Iterator[Stage]:
    """Return a stage; close its panel afterwards."""
    made = Stage(make_run)
    yield made
    made.connected.set()
    made.panel.close()


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (FakeHost, Host),
        (FakeLab, Lab),
        (FakeGuest, Guest),
        (FakeMigration, Migration),
    ],
)
def test_fakes_have_the_methods_of_the_real_classes(fake: type, real: type) -> None:
    """Each method of a fake exists in the real class and takes the same arguments."""
    for name, function in inspect.getmembers(fake, inspect.isfunction):
        if not name.startswith("_"):
            taken = inspect.signature(getattr(real, name)).parameters
            assert list(inspect.signature(function).parameters) == list(taken)
    assert set(inspect.signature(Stage.start).parameters) - {"self"} < set(
        inspect.signature(start).parameters
    )


def test_mode_changes_command_drawing_and_order_of_fields(stage: Stage) -> None:
    """Peer2peer adds --p2p, moves an arrow, and asks for the connection URI first."""
    panel = stage.panel
    normal = panel.drawing.value
    assert "--p2p" not in panel.virsh.value
    first = panel.form._uri_box.children[0]
    panel.form.mode.value = Mode.PEER2PEER
    assert "--p2p" in panel.virsh.value
    assert panel.drawing.value != normal
    assert panel.form._uri_box.children[0] is not first
    assert panel.form._uri_box.children[0].children[0] is panel.form.connection_uri


def test_wrong_input_is_explained_and_never_started(stage: Stage) -> None:
    """Start is off while a field is wrong; a button applies the suggested value."""
    panel = stage.panel
    panel.form.migration_uri.value = "qemu+ssh://root@host-b/system"
    assert "is a libvirt connection URI" in panel.form.problems["migration_uri"].value
    assert "No command" in panel.virsh.value
    assert panel.start_button.disabled
    panel.start()
    assert stage.plans == []
    remedy = panel.form.fixes["migration_uri"]
    assert remedy.description == "Use tcp://host-b"
    remedy.click()
    assert panel.form.migration_uri.value == "tcp://host-b"
    assert panel.form.problems["migration_uri"].value == ""
    assert not panel.start_button.disabled


def test_next_migration_goes_the_other_way(stage: Stage) -> None:
    """A completed migration shows text, table and figures, and the next one goes back."""
    panel = stage.panel
    panel.form.connection_uri.value = "qemu+ssh://root@host-b/system"
    stage.begin()
    assert panel.start_button.disabled
    assert panel.form.connection_uri.disabled
    stage.tell("running", left_mib=44)
    assert "iteration 2, 44 MiB to go, 112 MiB/s, 1.5 s" in panel.progress.value
    assert 'value="0.800"' in panel.progress.value
    assert "44 MiB are left to send, 112 MiB/s" in panel.curves.value
    stage.end()
    assert "completed" in panel.message.value
    assert panel.results.value.count("<img ") == 2
    assert panel.progress.value == panel.curves.value == ""
    assert "host-b → host-a" in panel.heading.value
    # It named host-b, where the guest is now.
    assert panel.form.connection_uri.value == ""
    assert not panel.start_button.disabled
    stage.begin()
    stage.end()
    assert [plan.migration_uri for plan in stage.plans] == ["tcp://host-b", "tcp://host-a"]
    assert len(panel.runs) == 2
    assert panel.results.value.count("<img ") == 3


def test_second_press_starts_nothing(stage: Stage) -> None:
    """During a migration a second press starts no other migration."""
    stage.begin()
    stage.panel.start()
    stage.end()
    assert len(stage.plans) == 1


def test_cancel_ends_the_migration(stage: Stage) -> None:
    """The guest stays at the source, the form keeps its values, and Start is on again."""
    panel = stage.panel
    assert panel.cancel_button.disabled
    panel.form.bandwidth.value = "20"
    stage.begin()
    assert not panel.cancel_button.disabled
    panel.cancel_button.click()
    assert panel.wait(TIMEOUT_S)
    assert "cancelled" in panel.message.value
    assert "host-a → host-b" in panel.heading.value
    assert panel.form.bandwidth.value == "20"
    assert not panel.start_button.disabled


def test_cancel_while_connecting_is_not_lost(stage: Stage) -> None:
    """A cancel during the connecting cancels the migration as soon as it has started."""
    stage.connected.clear()
    stage.begin()
    stage.panel.cancel_button.click()
    assert stage.panel.cancel_button.disabled
    stage.connected.set()
    assert stage.panel.wait(TIMEOUT_S)
    assert "cancelled" in stage.panel.message.value


def test_refusal_is_shown_with_its_hint(stage: Stage) -> None:
    """The panel shows the error and its hint."""
    stage.refusal = HostError("Cannot recv data", hint="mend <sshd>")
    stage.begin()
    assert stage.panel.wait(TIMEOUT_S)
    assert "Cannot recv data" in stage.panel.message.value
    assert "mend &lt;sshd&gt;" in stage.panel.message.value
    assert not stage.panel.start_button.disabled


def test_dead_lab_is_reported_with_the_cell_to_run(stage: Stage) -> None:
    """The panel names the cell to run if the lab died before or during a migration."""
    stage.begin()
    stage.migration.failure = HostError("internal error: client socket is closed")
    stage.guest.lab.alive = False
    stage.end()
    assert "Run the cell with mig.Lab(…) again" in stage.panel.message.value
    stage.panel.message.value = ""
    stage.panel.start()
    assert stage.panel.wait(TIMEOUT_S)
    assert "Run the cell with mig.Lab(…) again" in stage.panel.message.value
    assert len(stage.plans) == 1
    assert repr(stage.panel) == "MigrationPanel('guest-1', 0 runs)"


def test_verdict_is_shown_without_a_guest(stage: Stage) -> None:
    """The panel shows the migration's outcome even if the guest is gone."""
    stage.begin()
    stage.guest.gone = True
    stage.end()
    assert "completed" in stage.panel.message.value
    assert "the guest is gone" in stage.panel.message.value
    assert stage.panel.results.value.count("<img ") == 2
    assert not stage.panel.start_button.disabled
    stage.panel.start()
    assert stage.panel.wait(TIMEOUT_S)
    assert "the guest is gone" in stage.panel.message.value


def test_panel_for_a_lab_that_is_down_is_refused() -> None:
    """The error names the cell to run."""
    guest = FakeGuest()
    guest.lab.alive = False
    with pytest.raises(LabError) as caught:
        MigrationPanel(guest)  # type: ignore[arg-type]
    assert "mig.Lab(…)" in caught.value.hint


def test_panel_turns_round_if_another_cell_moved_the_guest(stage: Stage) -> None:
    """If another cell moved the guest, the panel shows the new direction before it starts."""
    stage.guest.host = stage.guest.lab.hosts[1]
    stage.panel.start_button.click()
    assert stage.panel.wait(TIMEOUT_S)
    assert stage.plans == []
    assert "moved in the meantime" in stage.panel.message.value
    assert "host-b → host-a" in stage.panel.heading.value


def test_unexpected_error_is_shown_and_panel_still_works(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is shown on the page and logged, and Start is on again."""
    logged: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", logged.append)
    stage.refusal = ZeroDivisionError("unforeseen")
    stage.begin()
    for thread in threading.enumerate():
        if thread.name == "migration-panel":
            thread.join(TIMEOUT_S)
    assert [args.exc_value for args in logged] == [stage.refusal]
    assert "unforeseen" in stage.panel.message.value
    assert not stage.panel.start_button.disabled


def test_close_cancels_the_migration(stage: Stage) -> None:
    """Closing the panel cancels its migration."""
    stage.begin()
    stage.panel.close()
    assert stage.migration.outcome == "cancelled"
    assert stage.panel.wait(0)


def test_close_while_connecting_cancels_the_migration(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that starts after the panel was closed is cancelled at once."""
    monkeypatch.setattr(panel, "CLOSE_TIMEOUT_S", 0)
    stage.connected.clear()
    stage.begin()
    assert not stage.panel.close()
    stage.connected.set()
    assert stage.panel.wait(TIMEOUT_S)
    assert stage.migration.outcome == "cancelled"


def test_closed_panel_starts_nothing(stage: Stage) -> None:
    """A closed panel stays closed, whatever a script calls."""
    stage.panel.close()
    stage.panel.start()
    assert stage.plans == []
    assert stage.panel.wait(0)


def test_kernel_interrupt_cancels_the_awaited_migration(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupting a cell that waits for the panel cancels the migration."""
    stage.begin()
    stage.tell("running")

    def interrupted(timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.panel._worker, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage.panel.wait()
    assert stage.panel.wait(TIMEOUT_S)
    assert stage.migration.outcome == "cancelled"
    assert "cancelled" in stage.panel.message.value


def test_callbacks_return_at_once(stage: Stage) -> None:
    """Pressing Start does not block the kernel while the connections hang."""
    stage.connected.clear()
    stage.begin()  # returns although nothing is connected
    stage.panel.form.mode.value = Mode.PEER2PEER
    assert "--p2p" in stage.panel.virsh.value
    stage.connected.set()
    stage.end()


def test_saved_panel_shows_its_drawing(stage: Stage) -> None:
    """Without a kernel the notebook shows the drawing of who connects to whom."""
    bundle = stage.panel._repr_mimebundle_()
    assert bundle["text/plain"] == "MigrationPanel('guest-1', 0 runs)"
    assert "run this cell" in bundle["text/html"]
    assert "<img " in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


# The settings folded away


def test_more_settings_are_folded_at_first(stage: Stage) -> None:
    """A button, which the keyboard reaches too, unfolds and folds the settings."""
    form = stage.panel.form
    assert form._folded.layout.display == "none"
    assert form.more.description == "More settings"
    form.more.value = True
    assert form.more.description == "Fewer settings"
    assert form._folded.layout.display is None
    form.more.value = False
    assert form._folded.layout.display == "none"


def test_more_settings_reach_the_plan(stage: Stage) -> None:
    """Ticked and chosen settings are in the started plan and in virsh's command."""
    panel = stage.panel
    panel.form.postcopy.value = panel.form.auto_converge.value = True
    panel.form.compression.value = "xbzrle"
    assert "--postcopy" in panel.virsh.value
    stage.begin()
    stage.end()
    (plan,) = stage.plans
    assert (plan.postcopy, plan.auto_converge, plan.compression) == (True, True, ("xbzrle",))


def test_wrong_setting_is_unfolded(stage: Stage) -> None:
    """zlib needs parallel connections: the error is at the field, which unfolds."""
    panel = stage.panel
    panel.form.compression.value = "zlib"
    assert panel.form.more.value
    assert "only parallel connections" in panel.form.problems["compression"].value
    assert panel.start_button.disabled
    panel.form.parallel_connections.value = "4"
    assert panel.form.problems["compression"].value == ""
    assert not panel.start_button.disabled


# Steering


def buttons(panel: MigrationPanel) -> list[bool]:
    """Return which of post-copy, pause, downtime and bandwidth are on."""
    bar = panel.steering
    on = (bar.postcopy_button, bar.suspend_button, bar.downtime_button, bar.bandwidth_button)
    return [not button.disabled for button in on]


def test_buttons_are_on_while_they_have_an_effect(stage: Stage) -> None:
    """They are off before and after a migration; in post-copy only the bandwidth is on."""
    panel = stage.panel
    panel.form.postcopy.value = True
    assert not any(buttons(panel))
    stage.begin()
    stage.tell("running")
    assert all(buttons(panel))
    stage.tell("post-copy", left_mib=20)
    assert buttons(panel) == [False, False, False, True]
    assert (panel.steering.downtime.disabled, panel.steering.bandwidth.disabled) == (True, False)
    assert "post-copy, 20 MiB to go" in panel.progress.value
    stage.end()
    assert not any(buttons(panel))


def test_cancel_in_postcopy_is_refused(stage: Stage) -> None:
    """The refusal to cancel is shown, and the migration completes."""
    panel = stage.panel
    panel.form.postcopy.value = True
    stage.begin()
    stage.tell("post-copy")
    panel.cancel_button.click()
    assert "cannot be cancelled" in panel.message.value
    assert not panel.cancel_button.disabled
    stage.end()
    assert "completed" in panel.message.value


def test_page_is_redrawn_at_every_third_poll(stage: Stage) -> None:
    """The panel polls ten times a second and redraws at every third poll, to save time."""
    drawn = []
    stage.panel.curves.observe(lambda change: drawn.append(change["new"]), names="value")
    stage.begin()
    for left_mib in (40, 30, 20):
        stage.tell("running", left_mib=left_mib)
    assert 3 <= len(drawn) <= stage.migration.waits // POLLS_PER_REDRAW + 1
    stage.end()
