"""A link of 100 MB/s to a web server that is 50 ms away, in processes of its own.

    python -m benchmarks.link FOLDER        # prints the address of FOLDER; ends with its input

The server is nginx where it is installed, else one in Python. The link is `SlowLink`, by which
requests arrive late and all connections share the bandwidth.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.slow_link import SlowLink
from tests.servers.process import running
from tests.servers.ranges import serving

BYTES_PER_SECOND = 100e6
LATENCY_SECONDS = 0.05
ROOT = Path(__file__).parents[1]

_CONFIGURATION = """
daemon off;
master_process off;
user root;
pid {home}/pid;
error_log {home}/error.log;
events {{ }}
http {{
    access_log off;
    sendfile on;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@contextmanager
def link_to(folder: Path) -> Iterator[str]:
    """Serve a folder over the link; gives its address."""
    process = subprocess.Popen(  # noqa: S603 - this module
        [sys.executable, "-m", "benchmarks.link", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield json.loads(process.stdout.readline())["url"]  # type: ignore[union-attr]
        finally:
            process.stdin.close()  # type: ignore[union-attr]


@contextmanager
def server_of(folder: Path) -> Iterator[int]:
    """Serve a folder without a link; gives the port."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        with serving() as server:
            server.files = {f"/{p.name}": p.read_bytes() for p in folder.iterdir()}
            yield server.server_address[1]
        return
    with tempfile.TemporaryDirectory() as home:

        def command(port: int) -> list[str]:
            text = _CONFIGURATION.format(home=home, port=port, folder=folder)
            (Path(home) / "nginx.conf").write_text(text)
            return [nginx, "-c", f"{home}/nginx.conf", "-e", f"{home}/error.log"]

        with running(command, Path(home) / "log") as port:
            yield port


def main() -> None:
    """Serve until the input ends."""
    with ExitStack() as stack:
        port = stack.enter_context(server_of(Path(sys.argv[1]).resolve()))
        link = stack.enter_context(
            SlowLink(
                ("127.0.0.1", port),
                latency_seconds=LATENCY_SECONDS,
                bytes_per_second=BYTES_PER_SECOND,
            )
        )
        sys.stdout.write(json.dumps({"url": link.url}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
