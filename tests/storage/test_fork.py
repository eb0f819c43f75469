"""A network client in a forked child: an error at once, never a hang."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.servers.fake_gcs import GoogleBucket
from tests.servers.moto import Bucket
from vrs_wds.errors import StorageError
from vrs_wds.storage.open import open_store

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def says_what_to_do_in_a_child(use: Callable[[], object]) -> bool:
    """Tell whether a forked child is refused, with the way out in the message."""
    child = os.fork()
    if child == 0:  # alarm: a child that hangs is ended, and the test fails
        signal.alarm(30)
        try:
            use()
        except StorageError as error:
            os._exit(0 if "forkserver" in str(error) else 2)
        except BaseException:  # noqa: BLE001 - a child must not run pytest's own end
            os._exit(3)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def test_a_used_store_in_a_forked_child(moto_server: Bucket) -> None:
    """Whatever it is asked; also a new store, and one of another bucket."""
    store = open_store(moto_server.url, **moto_server.storage_options)
    store.put("a", b"x")
    store.get_ranges("a", [(0, 1), (0, 1)])

    assert says_what_to_do_in_a_child(lambda: store.get("a"))
    assert says_what_to_do_in_a_child(lambda: store.get_ranges("a", [(0, 1), (0, 1)]))
    assert says_what_to_do_in_a_child(lambda: list(store.list_names()))
    assert says_what_to_do_in_a_child(lambda: store.put("b", b"x"))
    assert says_what_to_do_in_a_child(lambda: store.open_writer("b").__enter__())
    assert says_what_to_do_in_a_child(
        lambda: open_store("s3://another/x", **moto_server.storage_options).get("a")
    )
    assert store.get("a") == b"x"


def test_an_asynchronous_filesystem_in_a_forked_child(fake_gcs_server: GoogleBucket) -> None:
    """Its threads are not there either."""
    filesystem = fake_gcs_server.filesystem()
    store = open_store(f"{fake_gcs_server.name}/x", filesystem=filesystem)
    store.put("a", b"x")

    assert says_what_to_do_in_a_child(lambda: store.get("a"))
    assert store.get("a") == b"x"
