"""What every MetadataStore promises, as tests: subclass `StoreContract` and give it a `store` fixture.

class TestMyStore(StoreContract):
    @pytest.fixture
    def store(self): ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from inferry.errors import Conflict, InvalidInput, NotFound
from inferry.interfaces.store import MetadataStore
from inferry.policy import traffic
from inferry.types.bundle import FileEntry, Manifest
from inferry.types.registry import Commit, Endpoint, Key, RevisionConfig
from inferry.types.signature import Inspection, Signature, TensorSpec, as_example
from inferry.types.traffic import Mirror, TrafficPlan


def digest_of(text: str) -> str:
    """A digest to pose as a bundle's or a source's."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_commit(
    source: str = "a",
    *,
    model: str = "fraud",
    endpoint: str = "",
    percent: int = 100,
    keep_warm: bool = False,
    **config: Any,
) -> Commit:
    """A deploy of some bytes named `source` to an endpoint named like the model, or as given."""
    signature = Signature(
        kind="tensors",
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),),
        outputs=(TensorSpec(name="probabilities", datatype="FP64", shape=(-1, 2), labels=("no", "yes")),),
        batchable=True,
    )
    manifest = Manifest(
        runtime="onnx",
        entry="model.onnx",
        source=digest_of("source " + source),
        options={"threads": 2},
        files=(FileEntry(path="artifact/model.onnx", sha256=digest_of(source), size=7),),
        inspection=Inspection(signature=signature, example=as_example([[1.0, 2.0, 3.0, 4.0]]), notes=("A note.",)),
    )
    return Commit(
        model=model,
        endpoint=endpoint or model,
        bundle=digest_of("bundle " + source),
        manifest=manifest,
        size=123,
        config=RevisionConfig(**config),
        created_by="ada",
        percent=percent,
        keep_warm=keep_warm,
    )


def to(weights: dict[int, int]) -> Callable[[Endpoint], Endpoint]:
    """The change that gives each revision a percent."""
    return partial(traffic.point, weights=weights)


def make_key(name: str, **values: Any) -> Key:
    """A key as it would be stored."""
    return Key(**{"id": f"id-{name}", "name": name, "role": "invoker", "digest": digest_of(name), **values})


class StoreContract:
    """The contract. Times are plain numbers: the store never looks at a clock."""

    def test_a_deploy_makes_version_revision_and_traffic_at_once(self, store: MetadataStore) -> None:
        commit = make_commit(replicas=2, timeout_s=5.0, memory_mb=300)
        version, revision, made = store.commit_deploy(commit, now=10.5)
        assert made
        assert (version.reference, version.bundle, version.size, version.created) == (
            "fraud:1", commit.bundle, 123, 10.5,
        )  # fmt: skip
        assert version.manifest == commit.manifest
        assert (revision.number, revision.version, revision.replaces) == (1, 1, 0)
        assert revision.config == commit.config
        assert revision.bundle == commit.bundle
        assert store.endpoint("fraud").traffic == {1: 100}
        assert store.endpoint("fraud").model == "fraud"
        assert store.version("fraud", 1) == version
        assert store.versions("fraud") == [version]
        assert store.revisions("fraud") == [revision]
        assert store.check() == []

    def test_the_same_bytes_make_no_new_version(self, store: MetadataStore) -> None:
        first, _, _ = store.commit_deploy(make_commit("a"), now=1)
        again, revision, made = store.commit_deploy(make_commit("a", replicas=3), now=2)
        assert not made
        assert again == first
        assert (revision.number, revision.version, revision.replaces) == (2, 1, 1)
        assert store.find_version("fraud", first.source) == first
        assert store.find_version("other", first.source) is None

    def test_new_bytes_make_the_next_version_and_take_all_traffic(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        version, revision, made = store.commit_deploy(make_commit("b"), now=2)
        assert made
        assert (version.number, revision.replaces) == (2, 1)
        assert store.endpoint("fraud").traffic == {2: 100}
        assert (store.endpoint("fraud").created, store.endpoint("fraud").updated) == (1, 2)
        assert [(m.name, m.versions, m.latest) for m in store.models()] == [("fraud", 2, 2)]

    def test_two_models_may_hold_the_same_bytes(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        version, _, made = store.commit_deploy(make_commit("a", model="spam"), now=1)
        assert made
        assert version.reference == "spam:1"
        assert [m.name for m in store.models()] == ["fraud", "spam"]
        assert [e.name for e in store.endpoints()] == ["fraud", "spam"]
        assert len(store.bundles()) == 1

    def test_two_endpoints_may_serve_one_model(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        version, revision, made = store.commit_deploy(make_commit("a", endpoint="fraud-eu"), now=1)
        assert (version.number, revision.number, made) == (1, 1, False)

    def test_an_endpoint_does_not_change_its_model(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        with pytest.raises(Conflict):
            store.commit_deploy(make_commit("a", model="spam", endpoint="fraud"), now=2)
        assert [m.name for m in store.models()] == ["fraud"]

    def test_rollback_points_at_an_older_revision_and_the_next_deploy_replaces_that(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b"), now=2)
        assert store.change_traffic("fraud", lambda found: traffic.return_to(found, 1), now=3).revision == 1
        _, revision, _ = store.commit_deploy(make_commit("c"), now=4)
        assert (revision.number, revision.replaces) == (3, 1)

    def test_traffic_sums_to_a_hundred_over_known_revisions(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b"), now=2)
        made = store.change_traffic("fraud", to({1: 10, 2: 90}), now=3)
        assert made.traffic == {1: 10, 2: 90}
        assert store.endpoint("fraud") == made
        bad: list[dict[int, int]] = [{}, {1: 99}, {1: 150, 2: -50}]
        for weights in bad:
            with pytest.raises(InvalidInput):
                store.change_traffic("fraud", to(weights), now=4)
        with pytest.raises(NotFound):
            store.change_traffic("fraud", to({9: 100}), now=4)
        with pytest.raises(NotFound):
            store.change_traffic("nobody", to({1: 100}), now=4)
        assert store.endpoint("fraud").traffic == {1: 10, 2: 90}
        assert store.endpoint("fraud").updated == 3

    def test_a_deploy_may_take_a_share_or_none_and_keep_the_one_before_warm(self, store: MetadataStore) -> None:
        with pytest.raises(Conflict):
            store.commit_deploy(make_commit("a", percent=10), now=1)
        assert store.models() == []
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b", percent=10), now=2)
        assert store.endpoint("fraud").traffic == {1: 90, 2: 10}
        store.commit_deploy(make_commit("c", percent=0), now=3)
        found = store.endpoint("fraud")
        assert (found.traffic, found.split.warm, found.running) == ({1: 90, 2: 10}, (3,), {1, 2, 3})
        store.commit_deploy(make_commit("d", keep_warm=True), now=4)
        found = store.endpoint("fraud")
        assert (found.traffic, found.split.warm) == ({4: 100}, (1,))
        assert store.check() == []

    def test_what_should_run_exists(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        for plan in (TrafficPlan(pin={"k": 7}), TrafficPlan(warm=(7,)), TrafficPlan(mirror=Mirror(revision=7))):
            with pytest.raises(NotFound):
                store.change_traffic("fraud", partial(traffic.arrange, plan=plan), now=2)
        assert store.endpoint("fraud").updated == 1

    def test_another_config_takes_the_place_of_the_largest_share(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b", percent=10), now=2)
        revision = store.commit_revision("fraud", 1, RevisionConfig(replicas=4), now=3, created_by="bob")
        assert (revision.number, revision.version) == (3, 1)
        assert store.endpoint("fraud").traffic == {3: 90, 2: 10}
        assert store.check() == []

    def test_another_config_is_a_new_revision_of_the_same_version(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        revision = store.commit_revision("fraud", 1, RevisionConfig(replicas=4), now=2, created_by="bob")
        assert (revision.number, revision.version, revision.replaces, revision.created_by) == (2, 1, 1, "bob")
        assert store.endpoint("fraud").traffic == {2: 100}
        with pytest.raises(NotFound):
            store.commit_revision("fraud", 9, RevisionConfig(), now=3, created_by="bob")
        with pytest.raises(NotFound):
            store.commit_revision("nobody", 1, RevisionConfig(), now=3, created_by="bob")

    def test_a_pinned_version_stays(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b"), now=2)
        for number in (1, 2):
            with pytest.raises(Conflict):
                store.delete_version("fraud", number)
        with pytest.raises(Conflict):
            store.delete_model("fraud")
        assert len(store.versions("fraud")) == 2

    def test_numbers_are_never_used_again(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.commit_deploy(make_commit("b"), now=2)
        store.delete_endpoint("fraud")
        store.delete_version("fraud", 2)
        assert store.models()[0].latest == 1
        version, revision, made = store.commit_deploy(make_commit("b"), now=3)
        assert (version.number, revision.number, revision.replaces, made) == (3, 3, 0, True)
        store.delete_endpoint("fraud")
        store.delete_model("fraud")
        version, _, _ = store.commit_deploy(make_commit("c"), now=4)
        assert version.number == 4
        assert store.check() == []

    def test_deleting_an_endpoint_keeps_the_model(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        store.delete_endpoint("fraud")
        assert store.endpoints() == []
        assert [v.number for v in store.versions("fraud")] == [1]
        assert store.bundles() == {make_commit("a").bundle}
        store.delete_model("fraud")
        assert store.models() == []
        assert store.bundles() == set()

    def test_what_is_unknown_is_not_found(self, store: MetadataStore) -> None:
        store.commit_deploy(make_commit("a"), now=1)
        for call in (
            lambda: store.versions("nobody"),
            lambda: store.version("nobody", 1),
            lambda: store.version("fraud", 2),
            lambda: store.endpoint("nobody"),
            lambda: store.revisions("nobody"),
            lambda: store.delete_endpoint("nobody"),
            lambda: store.delete_version("fraud", 2),
            lambda: store.delete_model("nobody"),
            lambda: store.delete_key("nobody"),
        ):
            with pytest.raises(NotFound):
                call()

    def test_keys_are_kept_by_name_and_forgotten_by_either(self, store: MetadataStore) -> None:
        ci = make_key("ci", role="admin", created=1.0)
        app = make_key("app", endpoints=("fraud", "spam"), created=2.0, expires=99.0)
        store.add_key(ci)
        store.add_key(app)
        assert store.keys() == [ci, app]
        with pytest.raises(Conflict):
            store.add_key(make_key("ci", id="another"))
        assert store.delete_key("id-ci") == ci
        assert store.delete_key("app") == app
        assert store.keys() == []
