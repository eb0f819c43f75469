"""The hub card, README.md: tells the hub's viewer and `datasets` what every member holds.

Without it, `datasets` infers the columns from the first five samples and refuses, or drops, what
comes later. Texts that a person wrote into the card are kept.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import yaml

from vrs_wds.errors import ConfigError
from vrs_wds.images.header import is_image_extension
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import CARD_NAME, manifest_name
from vrs_wds.storage.store import Store

_TEXT = """
# Dataset

Images with JSON annotations, as WebDataset shards. Each sample is an image and one JSON file a
task; `{{split}}.json` lists the shards of a split with their checksums, `{{split}}.index.parquet`
the samples.

```python
import vrs_wds as vw

dataset = vw.open_dataset("path/of/this/folder", split="{split}")
```
"""


_CARD_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError)
"""What the hub's library raises of a card that it cannot read, or write again."""


def make_card(store: Store, manifest: Manifest) -> bytes:
    """Return README.md for this split and those that are there already.

    Raises:
        ConfigError: if there is one that cannot be kept: it is not UTF-8, or its metadata are not
            keys and values.
        ManifestError: if the manifest of another split cannot be read.
    """
    return _make_card(store, manifest.vrs_wds.split, manifest)


def check_card(store: Store, split: str) -> None:
    """Refuse what would keep a split's card from being made, before anything is written.

    Raises:
        ConfigError: see `make_card`.
        ManifestError: see `make_card`.
    """
    _make_card(store, split, None)


def _make_card(store: Store, split: str, manifest: Manifest | None) -> bytes:
    with warnings.catch_warnings():
        # Where a notebook has no ipywidgets, tqdm warns of it when this package imports it.
        warnings.filterwarnings("ignore", message="IProgress not found")
        # Imported here: it takes its time, and readers do not need it.
        from huggingface_hub import DatasetCard

    manifests = _other_manifests(store, split)
    if manifest is not None:
        manifests[split] = manifest
    metadata = card_metadata([manifests[name] for name in sorted(manifests)])
    if not store.exists(CARD_NAME):
        return _card(DatasetCard, f"---\n{{}}\n---\n{_TEXT.format(split=split)}", metadata)
    try:
        return _card(DatasetCard, store.get(CARD_NAME).decode("utf-8"), metadata)
    except _CARD_ERRORS as error:
        raise ConfigError(
            f"{store.url_of(CARD_NAME)}: the hub card is there and cannot be kept: "
            f"{' '.join(str(error).split())}. Mend it, or move it away."
        ) from error


def _card(kind: Any, text: str, metadata: Mapping[str, Any]) -> bytes:  # noqa: ANN401 - a class of the hub
    """Return a card's text with these metadata in place of those of the same name."""
    card = kind(text, ignore_metadata_errors=True)
    for key, value in metadata.items():
        setattr(card.data, key, value)
    return str(card).encode("utf-8")


def card_metadata(manifests: list[Manifest]) -> dict[str, Any]:
    """Return the card's metadata: data files and features for all splits.

    >>> card_metadata([])
    {'configs': [{'config_name': 'default', 'data_files': []}], 'dataset_info': {'features': []}}
    """
    extensions = dict.fromkeys(
        extension for manifest in manifests for extension in manifest.vrs_wds.extensions
    )
    features = [{"name": extension, "dtype": _dtype(extension)} for extension in extensions]
    if features:
        features += [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    files = [
        {"split": manifest.vrs_wds.split, "path": [shard.url for shard in manifest.shardlist]}
        for manifest in manifests
    ]
    return {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": features},
    }


def _dtype(extension: str) -> str:
    if is_image_extension(extension):
        return "image"
    return "json" if extension.rpartition(".")[2] == "json" else "binary"


def _other_manifests(store: Store, but: str) -> dict[str, Manifest]:
    """Return the manifests of the splits in the store, but for one, by their names."""
    splits = {}
    for name in store.list_names():
        if name.endswith(".index.parquet") and "/" not in name:
            split = name.removesuffix(".index.parquet")
            if split != but and store.exists(manifest_name(split)):
                data = store.get(manifest_name(split))
                splits[split] = decode_manifest(data, where=store.url_of(manifest_name(split)))
    return splits
