"""Virtual machines: QEMU processes, and the commands in them."""

from __future__ import annotations

import base64
import ctypes
import json
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping

from lab import networks
from lab.session import Session

#: For each machine, its root file system and its Python environment.
_SYSTEMS = {
    "controller": ("controller", "controller"),
    "ceph": ("controller", "controller"),
    "node1": ("node", "node"),
    "node2": ("node", "node"),
    "bare": ("bare", "node"),
    "service": ("controller", "controller"),
    "node3": ("node", "node"),
}
#: Machines whose first process is systemd. The others start only what the scenarios need.
_WITH_SYSTEMD = ("service", "node3")
#: The simplest CPU is the fastest to emulate; Ceph's programs need more features.
_CPUS = {"ceph": "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+pclmulqdq"}
#: The variables with which a machine's Python finds this project and its dependencies.
ENVIRONMENT = (
    "PYTHONPATH=/opt/project/python:/opt/project/guest:/opt/env "
    "PATH=/opt/project/guest/bin:/opt/project/python/bin:/opt/env/bin:$PATH"
)
#: The same for a node that uses the store and has the packages for that.
WITH_STORE = ENVIRONMENT.replace("=/opt/project/python:", "=/opt/whole/python:").replace(
    ":/opt/env ", ":/opt/env:/opt/store "
)
#: The same for the CSI plug-in: the machine's own distribution, and the packages for gRPC.
WITH_CSI = ENVIRONMENT.replace(":/opt/env ", ":/opt/env:/opt/csi ")
#: The same for the tests of the CSI plug-in, which the distribution for nodes does not have.
CSI_TESTS = WITH_CSI.replace("=/opt/project/python:", "=/opt/whole/python:")
#: Emulation is slow, and the host may be busy.
BOOT_TIMEOUT = 480.0
ANSWER_TIMEOUT = 300.0


class CommandFailed(Exception):
    """A command in a machine failed."""

    def __init__(self, machine: str, script: str, status: int, output: str) -> None:
        super().__init__(f"{machine}: status {status} of\n{script}\n{output}")
        self.status = status
        self.output = output


class Machine:
    """One virtual machine.

    :param name: a key of :data:`lab.networks.NUMBERS`.
    :param images: from :func:`lab.images.prepare`.
    :param folder: for its logs.
    :param sockets: the folder of the run's sockets.
    :param memory: in MiB.
    :param disks: sizes in GiB of additional empty disks, which are deleted at the end.
    :param joined: the machines that are cabled to this one, which is their switch and must start
        first.
    """

    def __init__(
        self,
        name: str,
        images: Mapping[str, pathlib.Path],
        folder: pathlib.Path,
        sockets: pathlib.Path,
        *,
        memory: int,
        disks: tuple[int, ...] = (),
        joined: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.folder = folder
        self.folder.mkdir()
        self._sockets = sockets
        self._images = images
        self._memory = memory
        self._disks = disks
        self._joined = joined
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[socket.socket] = []

    # --- power and cables ----------------------------------------------------------------------

    def start(self) -> None:
        """Switch it on, without waiting for it (see :meth:`wait`)."""
        self._ports = [_reserved_port(), _reserved_port()]
        (self.folder / "shell-port").write_text(str(self.shell_port))
        with (self.folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dies_with_us,
            )
        cables = networks.cables(self._joined)
        while len(list(self._sockets.glob("cable*"))) < len(cables):
            if self._process.poll() is not None:
                raise RuntimeError((self.folder / "qemu.log").read_text())
            time.sleep(0.02)

    def wait(self) -> None:
        """Wait until it answers."""
        assert self._process
        end = time.monotonic() + BOOT_TIMEOUT
        while True:
            try:
                self.run("true", timeout=20)
                # The process has the disks open. Without names, they are deleted when it ends.
                for data in self._sockets.glob(f"{self.name}-data*"):
                    data.unlink()
                return
            except OSError:
                pass
            if self._panicked() or self._process.poll() is not None or time.monotonic() > end:
                tail = "".join(
                    f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}\n"
                    for path in sorted(self.folder.glob("*.log"))
                )
                raise RuntimeError(f"{self.name} does not answer.\n{tail}")
            time.sleep(0.2)

    def _panicked(self) -> bool:
        log = self.folder / "kernel.log"
        return log.exists() and b"Kernel panic" in log.read_bytes()

    def stop(self) -> None:
        """Switch it off and delete its disks."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for port in self._ports:
            port.close()

    def reset(self) -> None:
        """Cut its power and restart it. Unwritten data is lost."""
        self.monitor("system_reset")
        self.wait()

    def plug(self, network: int, connected: bool) -> None:
        """Plug in its cable to a network, or pull it."""
        self.monitor(f"set_link net{network} {'on' if connected else 'off'}")

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's monitor, and return the answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self._sockets / f"{self.name}.monitor"))
            answers = [_until_prompt(sock)]
            sock.sendall(command.encode() + b"\n")
            answers.append(_until_prompt(sock))
        return answers[1].partition("\n")[2]

    @property
    def shell_port(self) -> int:
        """The local port for shells in the machine."""
        return _number(self._ports[1])

    # --- commands ------------------------------------------------------------------------------

    def run(self, script: str, *, timeout: float = ANSWER_TIMEOUT) -> str:
        """Run a Bash script as root.

        :returns: its output.
        :raises CommandFailed: if it fails.
        :raises OSError: if the machine does not answer.
        """
        with self._call(script, timeout) as sock:
            output = b"".join(iter(lambda: sock.recv(65536), b"")).decode(errors="replace")
        output, mark, status = output.rpartition("@@exit=")
        if not mark:
            raise ConnectionError(f"{self.name} did not finish {script!r}")
        if int(status):
            raise CommandFailed(self.name, script, int(status), output)
        return output

    def program(self, command: str, stdin: str = "") -> str:
        """Run a program that this project installs.

        :param stdin: its standard input.
        :returns: its standard output.
        :raises CommandFailed: if it fails, with its standard error.
        """
        return self.run(
            f"{ENVIRONMENT} {command} 2>/run/error <<'STDIN'\n{stdin}\nSTDIN\n"
            "status=$?; cat /run/error >/dev/hvc0; ((status == 0)) || cat /run/error; exit $status"
        )

    def inventory(self) -> dict[str, list[str]]:
        """Its sessions, maps, mounts, exports and volumes, by kind."""
        found: dict[str, list[str]] = json.loads(
            self.run("python3 -I -S /opt/project/guest/inventory.py")
        )
        return found

    def digest(self, device: str) -> str:
        """The SHA-256 of the first 4 MiB of a device or file, read with direct I/O."""
        read = f"dd if={device} bs=1M count=4 iflag=direct status=none"
        return self.run(f"{read} | sha256sum").split()[0]

    def python(self, environment: str = ENVIRONMENT) -> Session:
        """Start a Python process in it, with this project and the packages for its role."""
        script = f"{environment} exec python3 -u /opt/project/guest/session.py"
        return Session(self.name, lambda: self._call(script, ANSWER_TIMEOUT))

    def _call(self, script: str, timeout: float) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", _number(self._ports[0])), timeout)
        sock.sendall(base64.b64encode(script.encode()) + b"\n")
        return sock

    def _command(self) -> list[str]:
        roots = self._images["roots"]
        root, python = _SYSTEMS[self.name]
        kernel = "quiet console=ttyS0 mitigations=off clocksource=hpet tsc=unstable net.ifnames=0"
        # On a busy host, the interrupts of the timer come late, and the kernel would panic.
        kernel += " no_timer_check"
        kernel += f" lab.name={self.name} lab.number={networks.NUMBERS[self.name]}"
        if self.name in _WITH_SYSTEMD:
            kernel += " lab.init=systemd"
        command = [
            *("qemu-system-x86_64", "-name", self.name, "-M", "q35,usb=off,sata=off,smbus=off"),
            # Always emulate: /dev/kvm may exist and not work.
            *("-accel", "tcg,thread=multi,tb-size=256", "-cpu", _CPUS.get(self.name, "qemu64")),
            *("-smp", "1", "-m", str(self._memory), "-nodefaults", "-no-user-config"),
            *("-display", "none", "-kernel", f"{roots}/vmlinuz", "-initrd", f"{roots}/initrd.gz"),
            *("-append", kernel),
            *("-serial", f"file:{self.folder}/kernel.log"),
            *("-chardev", f"file,id=log,path={self.folder}/machine.log"),
            *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=log"),
            *("-monitor", f"unix:{self._sockets}/{self.name}.monitor,server=on,wait=off"),
            *("-device", "virtio-rng-pci"),
            *_disk("root", f"file={roots}/{root}.img,format=raw,snapshot=on"),
            *_image("store", self._images["python-store"]),
            *_image("csi", self._images["python-csi"]),
            *_image("env", self._images[f"python-{python}"]),
            *_image("project", self._images[f"project-{python}"]),
            *_image("whole", self._images["project-controller"]),
        ]
        for index, size in enumerate(self._disks):
            data = self._sockets / f"{self.name}-data{index}"
            subprocess.run(["truncate", f"--size={size}G", data], check=True)
            command += _disk(f"data{index}", f"file={data},format=raw,discard=unmap")
        agent, shell = (
            f"hostfwd=tcp:127.0.0.1:{_number(port)}-:777{7 + i}"
            for i, port in enumerate(self._ports)
        )
        command += ["-netdev", f"user,id=agent,restrict=on,ipv6=off,{agent},{shell}"]
        command += ["-device", networks.card("agent", self.name, 0)]
        return [*command, *networks.arguments(self.name, self._joined, self._sockets)]


def _disk(name: str, options: str) -> Iterator[str]:
    yield from ("-drive", f"{options},if=none,id={name},cache=unsafe")
    yield from ("-device", f"virtio-blk-pci,drive={name},serial={name}")


def _image(name: str, folder: pathlib.Path) -> Iterator[str]:
    yield from _disk(f"image-{name}", f"file={folder}/image,format=raw,readonly=on")


def _until_prompt(sock: socket.socket) -> str:
    answer = b""
    while not answer.endswith(b"(qemu) "):
        received = sock.recv(65536)
        if not received:
            raise ConnectionError("QEMU has ended")
        answer += received
    return answer.decode(errors="replace").removesuffix("(qemu) ")


def _reserved_port() -> socket.socket:
    """Reserve a local port for QEMU. No other socket receives this port, but QEMU can listen on it:
    with SO_REUSEADDR sockets can share a port if only one of them listens."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("127.0.0.1", 0))
    return port


def _number(port: socket.socket) -> int:
    number: int = port.getsockname()[1]
    return number


def _dies_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
