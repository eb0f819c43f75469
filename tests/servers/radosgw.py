"""Ceph's S3 gateway on the loopback: a real S3 server, with signatures and conditional writes.

One monitor, one storage daemon and the gateway, in a new folder, on free ports, without
authentication between them. All end with the process that started them.
"""

import fcntl
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import boto3
import pytest

from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Bucket

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
MISSING = (
    "RADOSGW IS NOT INSTALLED: what was to be tested against a real S3 server was not. "
    "On Debian: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-mgr"
)

_CONFIG = """
[global]
fsid = {fsid}
mon host = {monitors}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
# Without these the gateway does not talk to a monitor that asks for no authentication.
ms mon client mode = crc secure
ms client mode = crc secure
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail crit = 1
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
# A sparse file: what is written takes room, and nothing else. A store in memory would fill it.
osd objectstore = bluestore
bluestore block size = 12884901888
bluestore block create = true
osd memory target = 939524096
osd class load list = *
osd class default list = *
[client.rgw]
# Without tcp_nodelay small replies take 40 ms.
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
rgw dns name = localhost
rgw enable usage log = false
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw gc processor max time = 5
"""


@dataclass(frozen=True, slots=True)
class Radosgw:
    """A gateway that runs."""

    port: int

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> Bucket:
        """Make an empty bucket."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=name)
        return Bucket(name, self.url, client)


def is_installed() -> bool:
    """Tell whether the programs are there."""
    return all(shutil.which(program) for program in PROGRAMS)


@contextmanager
def run_radosgw(folder: Path) -> Iterator[Radosgw]:
    """Run a gateway with all it needs; it keeps its data in `folder`."""
    for name in ("mon", "osd", "run", "log"):
        (folder / name).mkdir()
    first, second, port = _free_ports(3)
    monitors, fsid = f"[v2:127.0.0.1:{first},v1:127.0.0.1:{second}]", str(uuid.uuid4())
    config = folder / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=fsid, monitors=monitors, folder=folder, port=port))
    options = ("-c", str(config))

    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    with ExitStack() as daemons:
        monmap = str(folder / "monmap")
        run("monmaptool", "--create", "--addv", "a", monitors, "--fsid", fsid, monmap)
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, *options)
        daemons.enter_context(_daemon(folder, "ceph-mon", "-f", "-i", "a", *options))
        run("ceph", *options, "--connect-timeout", "20", "mon", "stat")

        osd_uuid = str(uuid.uuid4())
        number = run("ceph", *options, "osd", "new", osd_uuid)
        run("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", osd_uuid, *options)
        daemons.enter_context(_daemon(folder, "ceph-osd", "-f", "-i", number, *options))
        _wait_until(lambda: "1 up" in run("ceph", *options, "osd", "stat"))

        gateway = Radosgw(port)
        rgw = ("-n", "client.rgw", *options)
        daemons.enter_context(_daemon(folder, "radosgw", "-f", *rgw))
        _wait_until(lambda: _answers(gateway.url))
        keys = (f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        run("radosgw-admin", *rgw, "user", "create", "--uid=test", "--display-name=test", *keys)
        yield gateway


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    """Run a program until the end of the block, or of this process."""
    with (folder / "log" / f"{command[0]}.out").open("wb") as log:
        # A test run that is killed must not leave daemons behind.
        until_parent_ends = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        process = subprocess.Popen((*until_parent_ends, *command), stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    stop = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > stop:
            raise RuntimeError(f"radosgw does not start within {seconds} seconds")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2):
        return True
    return False


@contextmanager
def _share_radosgw(folder: Path) -> Iterator[Radosgw]:
    """Let several processes use one gateway: the first starts it, and ends it after the last."""
    port_file = folder / "radosgw.port"
    with (
        (folder / "radosgw.start").open("w") as start,
        (folder / "radosgw.use").open("w") as use,
        ExitStack() as owner,
    ):
        with _locked(start):
            if is_owner := not port_file.exists():
                data = folder / f"radosgw-{uuid.uuid4().hex[:8]}"
                data.mkdir()
                gateway = owner.enter_context(run_radosgw(data))
                port_file.write_text(str(gateway.port))
            port = int(port_file.read_text())
            fcntl.flock(use, fcntl.LOCK_SH)
        yield Radosgw(port)
        fcntl.flock(use, fcntl.LOCK_UN)
        if is_owner:
            with _locked(start), _locked(use):  # nobody else uses it, or begins to
                port_file.unlink()
                owner.close()


@contextmanager
def _locked(file: TextIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    """A real S3 server; the tests that use it are skipped, loudly, where it is not installed."""
    if not is_installed():
        pytest.skip(MISSING)
    folder = tmp_path_factory.getbasetemp()
    is_worker = folder.name.startswith("popen-")
    with _share_radosgw(folder.parent if is_worker else folder) as gateway:
        yield gateway


@pytest.fixture
def radosgw_server(radosgw: Radosgw) -> Iterator[Bucket]:
    """An empty bucket of a real S3 server."""
    bucket = radosgw.make_bucket(f"bucket{uuid.uuid4().hex[:12]}")
    yield bucket
    bucket.client.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, at the end, that there was no S3 server."""
    reports = terminalreporter.getreports("skipped")
    if skipped := sum(MISSING in str(report.longrepr) for report in reports):
        terminalreporter.write_line(f"{skipped} TESTS SKIPPED. {MISSING}", red=True, bold=True)
