"""Removes parts of files that killed writers left in a bucket of S3."""

import importlib.util
import logging
from typing import Any

from vrs_wds.errors import StorageError
from vrs_wds.storage.address import Address, is_loopback_http
from vrs_wds.storage.clients import ClientOptions
from vrs_wds.storage.credentials import boto3_session, endpoint_in_environment, find_profile

_LOG = logging.getLogger(__name__)
_PAGE_SIZE = 1000


class UploadSweeper:
    """Finds and removes a bucket's unfinished uploads; makes its client when first asked."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self._address = address
        self._options = options
        self._client: Any = None
        self._has_warned = False

    def sweep(self, prefix: str) -> int:
        """Abort the uploads in parts of files that start with `prefix`; return how many there were.

        Raises:
            StorageError: if the server refuses.
        """
        address = self._address
        if address.kind == "az":
            return 0  # Azure removes parts by itself, after a week; there is nothing to be told
        if address.kind != "s3" or importlib.util.find_spec("boto3") is None:
            self._warn(prefix)
            return 0
        from botocore.exceptions import BotoCoreError, ClientError

        start = address.path_of(prefix) if prefix else address.prefix and f"{address.prefix}/"
        try:
            self._client = self._client or _boto3_client(address, self._options)
            return _abort_all(self._client, address.bucket, start)
        except ClientError as error:
            code = (error.response or {}).get("Error", {}).get("Code", "?")
            raise StorageError(
                f"{address.url_of(prefix)}: unfinished uploads cannot be removed: {code}. Keys "
                "need s3:ListBucketMultipartUploads and s3:AbortMultipartUpload."
            ) from None
        except BotoCoreError as error:
            raise StorageError(
                f"{address.url_of(prefix)}: unfinished uploads cannot be listed: "
                f"{type(error).__name__}."
            ) from None

    def _warn(self, prefix: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        _LOG.warning(
            "%s: unfinished uploads cannot be listed here%s. They are not visible and do no harm, "
            "but are paid for: give the bucket a lifecycle rule that removes them after some days "
            "(S3: AbortIncompleteMultipartUpload; Google: abort multipart uploads).",
            self._address.url_of(prefix),
            " without boto3 (`pip install 'vrs_wds[s3]'`)" if self._address.kind == "s3" else "",
        )


def _abort_all(client: Any, bucket: str, start: str) -> int:  # noqa: ANN401 - no types
    count = 0
    # The names of one page are the places to go on from: no page lists what was aborted.
    for page in client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, Prefix=start, PaginationConfig={"PageSize": _PAGE_SIZE}
    ):
        for upload in page.get("Uploads", ()):
            if upload["Key"].startswith(start):
                client.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                count += 1
    return count


def _boto3_client(address: Address, options: ClientOptions) -> Any:  # noqa: ANN401 - no types
    from botocore import UNSIGNED
    from botocore.config import Config

    given = dict(options.public) | options.private.reveal(address.url)
    # obstore takes its names with and without `aws_`, in any case.
    config = {name.lower().removeprefix("aws_"): value for name, value in given.items()}
    found = find_profile(options.profile, has_keys="access_key_id" in config)
    config = found.config | config
    endpoint = config.get("endpoint") or config.get("endpoint_url") or endpoint_in_environment("s3")
    client = dict(options.client)
    return boto3_session(options.profile).client(
        "s3",
        endpoint_url=endpoint,
        region_name=config.get("region") or config.get("default_region"),
        aws_access_key_id=config.get("access_key_id"),
        aws_secret_access_key=config.get("secret_access_key"),
        aws_session_token=config.get("session_token") or config.get("token"),
        verify=not client.get("allow_invalid_certificates", False),
        config=Config(
            signature_version=UNSIGNED if config.get("skip_signature") else None,
            connect_timeout=10,
            read_timeout=options.transfer.stall_seconds,
            retries={"max_attempts": options.transfer.retries + 1, "mode": "standard"},
            proxies={} if endpoint and is_loopback_http(endpoint) else None,
        ),
    )
