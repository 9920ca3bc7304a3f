"""Soak, shortened: mixed traffic of all kinds leaves memory and descriptors where they were.

`make bench-soak` is the same for half an hour.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import soak
from tests.support import models


@pytest.mark.slow
def test_mixed_traffic_leaves_nothing_behind(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    platform.deploy(models.iris_onnx(tmp_path), "iris")
    grown, traffic = soak(platform, "iris", 30.0, print)
    print(grown, traffic.statuses, traffic.others)
    assert set(traffic.statuses) == {200}
    assert all(traffic.others[kind] > 10 for kind in ("large", "grpc", "refused", "cut_off"))
    for one in grown:
        assert one.mb_late < one.mb_early + 6, one
        assert one.files_late <= one.files_early + 4, one
