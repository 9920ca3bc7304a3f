"""Rows <-> the house's nouns: the only place that knows which columns hold JSON text."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import RowMapping

from inferry.types.bundle import Manifest
from inferry.types.lineage import Lineage
from inferry.types.registry import Endpoint, Key, Revision, RevisionConfig, Version
from inferry.types.traffic import Split

_MANIFEST = msgspec.json.Decoder(Manifest)
_LINEAGE = msgspec.json.Decoder(Lineage)
_CONFIG = msgspec.json.Decoder(RevisionConfig)
_TRAFFIC = msgspec.json.Decoder(dict[int, int])
_SPLIT = msgspec.json.Decoder(Split)
_ENDPOINTS = msgspec.json.Decoder(tuple[str, ...])


def to_text(value: Any) -> str:
    """A structured value as JSON text."""
    return msgspec.json.encode(value).decode()


def version_row(version: Version) -> dict[str, Any]:
    """A version as a row's values."""
    return {**plain(version), "manifest": to_text(version.manifest), "lineage": to_text(version.lineage)}


def revision_row(revision: Revision) -> dict[str, Any]:
    """A revision as a row's values."""
    return {**plain(revision), "config": to_text(revision.config)}


def endpoint_row(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as a row's values."""
    return {**plain(endpoint), "traffic": to_text(endpoint.traffic), "split": to_text(endpoint.split)}


def key_row(key: Key) -> dict[str, Any]:
    """A key as a row's values."""
    return {**plain(key), "endpoints": to_text(key.endpoints)}


def to_version(row: RowMapping) -> Version:
    """A row of `versions`."""
    manifest = _MANIFEST.decode(row["manifest"])
    return Version(**{**row, "manifest": manifest, "lineage": _LINEAGE.decode(row["lineage"])})


def to_revision(row: RowMapping) -> Revision:
    """A row of `revisions`."""
    return Revision(**{**row, "config": _CONFIG.decode(row["config"])})


def to_endpoint(row: RowMapping) -> Endpoint:
    """A row of `endpoints`."""
    traffic = _TRAFFIC.decode(row["traffic"])
    return Endpoint(**{**row, "traffic": traffic, "split": _SPLIT.decode(row["split"])})


def to_key(row: RowMapping) -> Key:
    """A row of `keys`."""
    return Key(**{**row, "endpoints": _ENDPOINTS.decode(row["endpoints"])})


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """The fields of a noun."""
    return {field: getattr(value, field) for field in value.__struct_fields__}
