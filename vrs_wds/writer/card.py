"""The hub card, README.md: tells the hub's viewer and `datasets` what every member holds.

Without it, `datasets` infers the columns from the first five samples and refuses, or drops, what
comes later. Texts that a person wrote into the card are kept.
"""

import warnings
from typing import Any

import yaml

from vrs_wds.errors import ConfigError
from vrs_wds.images.header import is_image_extension
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import CARD_NAME, manifest_name
from vrs_wds.storage.store import Store

_TEXT = """
# {title}

Images with JSON annotations, as WebDataset shards. Each sample is an image and one JSON file a
task; `{{split}}.json` lists the shards of a split with their checksums, `{{split}}.index.parquet`
the samples.

```python
import vrs_wds as vw

dataset = vw.open_dataset("path/of/this/folder", split="{split}")
```
"""


def make_card(store: Store, manifest: Manifest) -> bytes:
    """Return README.md for this split and those that are there already."""
    with warnings.catch_warnings():
        # Where a notebook has no ipywidgets, tqdm warns of it when this package imports it.
        warnings.filterwarnings("ignore", message="IProgress not found")
        # Imported here: it takes its time, and readers do not need it.
        from huggingface_hub import DatasetCard

    manifests = _manifests(store, manifest)
    if store.exists(CARD_NAME):
        card = DatasetCard(store.get(CARD_NAME).decode("utf-8"), ignore_metadata_errors=True)
    else:
        text = _TEXT.format(title="Dataset", split=manifest.vrs_wds.split)
        card = DatasetCard(f"---\n{{}}\n---\n{text}")
    for key, value in card_metadata(manifests).items():
        setattr(card.data, key, value)
    return str(card).encode("utf-8")


def check_card(store: Store) -> None:
    """Refuse a README.md that could not be kept, before anything is written.

    Raises:
        ConfigError: if it is not UTF-8, or its metadata are not YAML.
    """
    if not store.exists(CARD_NAME):
        return
    try:
        text = store.get(CARD_NAME).decode("utf-8")
        parts = text.split("---\n", 2)
        metadata = yaml.safe_load(parts[1]) if text.startswith("---\n") and len(parts) == 3 else {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        metadata, reason = [], str(error)
    else:
        reason = f"its metadata are a {type(metadata).__name__}, not keys and values"
    if not isinstance(metadata or {}, dict) or metadata == []:
        raise ConfigError(
            f"{store.url_of(CARD_NAME)}: the hub card is there and cannot be kept: {reason}. Mend "
            "it, or move it away."
        )


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


def _manifests(store: Store, manifest: Manifest) -> list[Manifest]:
    """Return this split's manifest and those of the other splits in the store, by name."""
    splits = {manifest.vrs_wds.split: manifest}
    for name in store.list_names():
        if name.endswith(".index.parquet") and "/" not in name:
            split = name.removesuffix(".index.parquet")
            if split not in splits and store.exists(manifest_name(split)):
                data = store.get(manifest_name(split))
                splits[split] = decode_manifest(data, where=store.url_of(manifest_name(split)))
    return [splits[split] for split in sorted(splits)]
