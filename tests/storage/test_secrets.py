"""Keys: where they are found, and that they are never seen."""

import copy
import importlib.util
import logging
import multiprocessing
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Bucket
from tests.servers.ranges import serving, status
from vrs_wds.errors import ConfigError, StorageError
from vrs_wds.storage import credentials
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Store


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without keys and profiles."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_a_pickle_holds_no_secret(moto_server: Bucket) -> None:
    """Nor does the repr; in this process the copy works all the same."""
    store = open_store(
        moto_server.url,
        client_options={"default_headers": {"X-Secret": "hush-in-a-header"}},
        **moto_server.storage_options,
    )
    store.put("a", b"x")
    pickled = pickle.dumps(store)

    for secret in (SECRET_KEY, ACCESS_KEY, "hush"):
        assert secret.encode() not in pickled
        assert secret not in repr(store) + repr(vars(store))
    assert pickle.loads(pickled).get("a") == b"x"
    assert copy.deepcopy(store).get("a") == b"x"


def test_another_process_is_told_what_is_missing(moto_server: Bucket, tmp_path: Path) -> None:
    """A pickle on a disk, or sent to another machine, opens; its use says what to do."""
    (tmp_path / "store.pickle").write_bytes(
        pickle.dumps(open_store(moto_server.url, **moto_server.storage_options))
    )
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).get('a')"
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store.pickle")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "the options access_key_id, secret_access_key were given to open_store in another" in (
        result.stderr
    )
    assert "into the environment, a profile, or the machine's role" in result.stderr


def _get(store: Store, queue: Any) -> None:
    queue.put(store.get("a"))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_is_given_the_keys(moto_server: Bucket, method: str) -> None:
    """As it is started, on the private pipe to it."""
    store = open_store(moto_server.url, **moto_server.storage_options)
    store.put("a", b"x")
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=_get, args=(store, queue))
    process.start()
    process.join(60)

    assert process.exitcode == 0
    assert queue.get() == b"x"
    queue.close()
    process.close()


def test_errors_and_logs_hold_no_secret(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when the server repeats what it was sent."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush-from-the-environment")
    with serving() as server, caplog.at_level(logging.DEBUG):
        said = f"{SECRET_KEY} hush-from-the-environment"
        body = f"<Error><Code>No</Code><Message>{said}</Message></Error>"
        store = open_store(
            "s3://bucket/x",
            endpoint=server.url,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            retries=1,
        )
        for code in (403, 500, 400):
            server.always = status(code, body.encode())
            with pytest.raises(StorageError, match="No: ") as caught:
                store.get("a")
            shown = "".join(traceback.format_exception(caught.value)) + caplog.text
            assert "hush" not in shown
            assert SECRET_KEY not in shown


def test_wrong_keys_are_told_apart(moto_server: Bucket) -> None:
    """What the server says, what was tried, what to do."""
    with serving() as server:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"
        server.always = status(403, body)
        store = open_store(
            "s3://bucket/x", endpoint=server.url, access_key_id="kkkk", secret_access_key="ssss"
        )
        for use in (lambda: store.get("a"), lambda: store.put("a", b"")):
            with pytest.raises(
                StorageError,
                match=r"403 Forbidden: InvalidAccessKeyId: No such key\.\. Tried once\. "
                r"The server refuses these credentials\. Looked at the options",
            ):
                use()


def test_keys_that_may_read_but_not_list() -> None:
    """The early look must not refuse them."""
    with serving() as server:
        server.files["/bucket/x/a"] = b"123"
        denied = status(403, b"<Error><Code>AccessDenied</Code></Error>")
        server.always = lambda handler: "list-type" in handler.path and denied(handler)
        store = open_store(
            "s3://bucket/x", endpoint=server.url, access_key_id="kkkk", secret_access_key="ssss"
        )
        assert store.get("a") == b"123"
        store.put("b", b"4")
        assert server.files["/bucket/x/b"] == b"4"


def test_no_keys_anywhere() -> None:
    """All places are named."""
    with serving() as server:
        store = open_store(
            "s3://bucket/x",
            endpoint=server.url,
            metadata_endpoint="http://169.254.169.254",
            retries=0,
            client_options={"connect_timeout": "1s"},
        )
        with pytest.raises(
            StorageError,
            match=r"(?s)No credentials were found\. Looked at the options, AWS_ACCESS_KEY_ID.*"
            r"\(not set\), the profile 'default'.*not there.*skip_signature=True",
        ):
            store.get("a")


def test_a_public_bucket_needs_no_keys() -> None:
    """Nothing is signed."""
    with serving() as server:
        server.files["/bucket/x/a"] = b"123"
        store = open_store("s3://bucket/x", endpoint=server.url, skip_signature=True)
        assert store.get("a") == b"123"
        assert SECRET_KEY.encode() not in pickle.dumps(store)


def test_keys_of_the_environment(moto_server: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.endpoint)
    store = open_store(moto_server.url)
    store.put("a", b"x")

    assert SECRET_KEY.encode() not in pickle.dumps(store)
    assert pickle.loads(pickle.dumps(store)).get("a") == b"x"


@pytest.mark.parametrize("has_boto3", [True, False])
@pytest.mark.parametrize("how", ["default", "AWS_PROFILE", "option"])
def test_keys_of_a_profile(
    moto_server: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str, has_boto3: bool
) -> None:
    """With boto3 and without; endpoint and region too."""
    if not has_boto3:
        monkeypatch.setattr(credentials.importlib.util, "find_spec", lambda name: None)
    name = "default" if how == "default" else "work"
    (tmp_path / "credentials").write_text(
        f"[{name}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    section = name if name == "default" else f"profile {name}"
    (tmp_path / "config").write_text(
        f"[{section}]\nregion = us-east-1\nendpoint_url = {moto_server.endpoint}\n"
    )
    if how == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", name)
    store = open_store(moto_server.url, **({"profile": name} if how == "option" else {}))
    store.put("a", b"x")

    assert store.get("a") == b"x"
    assert SECRET_KEY.encode() not in pickle.dumps(store)


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is an error where it was asked for."""
    with pytest.raises(ConfigError, match="there is no AWS profile 'work' in"):
        open_store("s3://bucket", profile="work")
    monkeypatch.setenv("AWS_PROFILE", "play")
    with pytest.raises(ConfigError, match="there is no AWS profile 'play' in"):
        open_store("s3://bucket")


def test_a_profile_that_needs_boto3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is told how to get it."""
    assert importlib.util.find_spec("boto3") is not None
    monkeypatch.setattr(credentials.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "config").write_text("[profile work]\nrole_arn = arn:aws:iam::1:role/x\n")
    with pytest.raises(ConfigError, match=r"needs boto3. Install it with .*vrs_wds\[s3\]"):
        open_store("s3://bucket", profile="work")


def test_a_filesystem_with_secrets_is_not_pickled_either() -> None:
    """Its options hold them."""
    import fsspec

    filesystem = fsspec.filesystem("memory", some_token="hush-hush")
    store = open_store("pickled/x", filesystem=filesystem)
    store.put("a", b"x")

    assert b"hush" not in pickle.dumps(store)
    assert "hush" not in repr(vars(store))
    assert pickle.loads(pickle.dumps(store)).get("a") == b"x"


@pytest.mark.parametrize(
    "url",
    [
        "webhdfs://bob:hunter2@127.0.0.1:1/x",
        "simplecache::http://bob:hunter2@127.0.0.1:1/x",
        "sftp://bob:hunter2@127.0.0.1/x",
        "ftp://bob:hunter2@127.0.0.1:1/x",
    ],
)
def test_a_url_with_a_password_is_refused(url: str) -> None:
    """Whoever opens it: the URL stands in every message."""
    with pytest.raises(ConfigError, match=r"a URL with a .*password in it") as error:
        open_store(url)
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
