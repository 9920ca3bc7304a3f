"""Rows <-> the house's nouns: the only place that knows which columns hold JSON text."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import RowMapping

from inferry.types.bundle import Manifest
from inferry.types.registry import Endpoint, Key, Revision, RevisionConfig, Version


def to_text(value: Any) -> str:
    """A structured value as JSON text."""
    return msgspec.json.encode(value).decode()


def version_row(version: Version) -> dict[str, Any]:
    """A version as a row's values."""
    return {**_plain(version), "manifest": to_text(version.manifest)}


def revision_row(revision: Revision) -> dict[str, Any]:
    """A revision as a row's values."""
    return {**_plain(revision), "config": to_text(revision.config)}


def endpoint_row(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as a row's values."""
    return {**_plain(endpoint), "traffic": to_text(endpoint.traffic)}


def key_row(key: Key) -> dict[str, Any]:
    """A key as a row's values."""
    return {**_plain(key), "endpoints": to_text(key.endpoints)}


def to_version(row: RowMapping) -> Version:
    """A row of `versions`."""
    return Version(**{**row, "manifest": msgspec.json.decode(row["manifest"], type=Manifest)})


def to_revision(row: RowMapping) -> Revision:
    """A row of `revisions`."""
    return Revision(**{**row, "config": msgspec.json.decode(row["config"], type=RevisionConfig)})


def to_endpoint(row: RowMapping) -> Endpoint:
    """A row of `endpoints`."""
    return Endpoint(**{**row, "traffic": msgspec.json.decode(row["traffic"], type=dict[int, int])})


def to_key(row: RowMapping) -> Key:
    """A row of `keys`."""
    return Key(**{**row, "endpoints": msgspec.json.decode(row["endpoints"], type=tuple[str, ...])})


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    return {field: getattr(value, field) for field in value.__struct_fields__}
