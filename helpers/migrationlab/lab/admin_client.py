"""Own the lab's admin client: a third machine that reaches the hosts only by the network.

It stands for the laptop of an administrator of two real servers. It runs this machine's programs
with this machine's files, but on the lab's LAN, with its own host name, home, ssh key and
/etc/hosts. It does not see the lab's sockets, which the owner uses to reach the hosts. So it
connects by ``qemu+ssh://root@host-a/system`` as to any real host.

Theory of operation. Its namespaces are made inside the rack's, so they end with the lab. Its first
process also ends with its standard input, which this process holds. The rack prepares nothing for
the client.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from migrationlab.errors import LabError
from migrationlab.hosts.poll import wait_until
from migrationlab.lab import directories, namespaces, registry
from migrationlab.lab.host_config import NAMES
from migrationlab.lab.layout import HOST_NAMES, LAN_ADDRESSES, LAN_PREFIX, LabFiles
from migrationlab.lab.rack import Rack, only_child

NAME = "client"
ADDRESS = "10.22.0.2"
SCRIPT = Path(__file__).parent / "payload" / "client.sh"
START_TIMEOUT_S = 30
#: Variables of this process's environment that make sense on this machine only.
FOREIGN = ("XDG_", "SSH_", "LIBVIRT", "VIRSH")


class AdminClient:
    """An admin client. It runs from its construction to :meth:`close` or to the lab's end.

    Raises:
        LabError: It did not come up, or the lab has one already.
    """

    def __init__(self, files: LabFiles, rack: Rack) -> None:
        self._directory = files.directory / NAME
        self._labs = files.directory.parent
        self._directory.mkdir(exist_ok=True, mode=0o700)
        self._process: subprocess.Popen[str] | None = None
        self._lock = registry.try_lock(files.directory / f"{NAME}.lock", create=True)
        if self._lock is None:
            raise LabError(
                f"the lab {files.directory.name} has an admin client already",
                hint="Use that one, or close it first.",
            )
        try:
            self._write(files)
            self._start(rack)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"AdminClient({ADDRESS}, {'down' if self._process is None else 'up'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def home(self) -> Path:
        """Return the path of the client's home on this machine."""
        return self._directory / "home"

    @property
    def home_inside(self) -> Path:
        """Return the path of the client's home on the client."""
        return self._labs / "home"

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs a program of this machine on the client."""
        assert self._process is not None, "the client is closed"
        passed = [
            f"{name}={value}"
            for name, value in namespaces.child_environment().items()
            if not name.startswith(FOREIGN)
        ]
        identity = [f"HOME={self.home_inside}", "USER=root", "LOGNAME=root"]
        enter = namespaces.nsenter(
            self._pid, "--mount", "--net", "--uts", "--ipc", "--pid", f"--wdns={Path.cwd()}"
        )
        return [*enter, "env", "-i", *passed, *identity, *argv]

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine on the client; raise :class:`LabError` at the timeout."""
        process = self.start(argv)
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{argv[0]} took more than {timeout_s:g} s on the client") from error
        finally:
            self.end(process)
        return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)

    def start(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a program on the client, its output in pipes; end it with :meth:`end`."""
        return subprocess.Popen(
            self.command(*argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def signal(process: subprocess.Popen[str], number: int) -> None:
        """Send a signal to a program that :meth:`start` started."""
        # Its parent, nsenter, is outside and passes no signal on.
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                child.send_signal(number)

    @classmethod
    def end(cls, process: subprocess.Popen[str]) -> None:
        """End a program that :meth:`start` started, and wait for it."""
        if process.poll() is None:
            cls.signal(process, signal.SIGKILL)
            process.kill()
        process.communicate()

    def close(self) -> None:
        """End the client, and every program on it."""
        if self._process is not None:
            # Its first process ends with its standard input, and all others end with that.
            self._process.communicate()
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, files: LabFiles) -> None:
        names = zip(LAN_ADDRESSES, HOST_NAMES, strict=True)
        texts = {
            "hosts": f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n"
            + "".join(f"{address} {name}\n" for address, name in names),
            "nsswitch.conf": NAMES,
            "passwd": f"root:x:0:0:root:{self.home_inside}:/bin/sh\n",
            "home/.ssh/id_ed25519": files.ssh_key.read_text(),
            "home/.ssh/known_hosts": files.known_hosts.read_text(),
        }
        (self.home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, text in texts.items():
            with open(self._directory / path, "w", opener=directories.private) as file:
                file.write(text)

    def _start(self, rack: Rack) -> None:
        script = ["sh", str(SCRIPT), NAME, str(self._directory), str(self._labs)]
        self._process = subprocess.Popen(
            [
                # In the rack's pid namespace, so that it ends with the rack.
                *namespaces.nsenter(rack.observer, "--net", "--pid"),
                *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"),
                *("--kill-child", "--mount-proc", "--", *script, f"{ADDRESS}/{LAN_PREFIX}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C in the terminal must reach this process only.
            start_new_session=True,
        )
        self._expect("ready")
        # The last of a chain of only children is the client's first process.
        self._pid = self._process.pid
        while psutil.Process(self._pid).children():
            self._pid = only_child(self._pid)
        lines = [
            f"link add client{self._pid} type veth peer name uplink netns {self._pid}",
            f"link set client{self._pid} master lan",
            f"link set client{self._pid} up",
        ]
        namespaces.run([*rack.in_rack_network(), "ip", "-batch", "-"], text="\n".join(lines))
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._expect("running")
        # The rack does the same for the hosts' ports.
        show = [*rack.in_rack_network(), "ip", "link", "show", "dev", f"client{self._pid}"]
        if not wait_until(lambda: " state UP " in namespaces.run(show), START_TIMEOUT_S):
            raise LabError("the admin client's port on the lab's LAN did not come up")

    def _expect(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stdout.readline().strip() != word:
            raise LabError(
                f"start of the admin client failed: {self._process.stderr.read().strip()}",
                hint="Run `migrationlab doctor`: it checks whether this machine allows what the "
                "lab needs.",
            )
