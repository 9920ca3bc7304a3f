"""What only an NVIDIA GPU can use is left out of the locks of a host without its driver."""

from __future__ import annotations

import pytest

from inferry.environments.lean import lean

HASH = " \\\n    --hash=sha256:" + "a" * 64 + "\n"


def resolved(**wanted_by):
    """The lines of uv: package -> who wants it."""
    text = ""
    for name, wanters in wanted_by.items():
        who = f" {wanters[0]}\n" if len(wanters) == 1 else "\n" + "".join(f"    #   {one}\n" for one in wanters)
        text += f"{name.replace('_', '-')}==1.0{HASH}    # via{who}"
    return text


def kept(text, *, nvidia=False):
    return [line.partition("==")[0] for line in lean(text, nvidia=nvidia).splitlines() if "==" in line]


def test_xgboost_goes_without_its_library_for_several_gpus():
    text = resolved(numpy=["xgboost", "scipy"], nvidia_nccl_cu12=["xgboost"], scipy=["xgboost"], xgboost=["-r -"])
    assert kept(text) == ["numpy", "scipy", "xgboost"]
    assert lean(text, nvidia=True) == text


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("torch needs it", resolved(nvidia_nccl_cu12=["torch"], torch=["-r -"])),
        ("both want it", resolved(nvidia_nccl_cu12=["torch", "xgboost"], torch=["-r -"], xgboost=["-r -"])),
        ("a person asked for it", resolved(nvidia_nccl_cu12=["-r -", "xgboost"], xgboost=["-r -"])),
        ("nobody says who wants it", f"nvidia-nccl-cu12==1.0{HASH}xgboost==3.0{HASH}"),
    ],
)
def test_what_is_needed_or_asked_for_stays(case, text):
    assert lean(text, nvidia=False) == text


def test_what_only_a_left_out_package_wants_goes_with_it():
    text = resolved(nvidia_nccl_cu12=["xgboost"], nvidia_runtime=["nvidia-nccl-cu12"], xgboost=["-r -"])
    assert kept(text) == ["xgboost"]


def test_other_packages_never_go():
    assert kept(resolved(scipy=["xgboost"], xgboost=["-r -"])) == ["scipy", "xgboost"]
