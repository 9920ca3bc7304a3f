"""Requirement lines and locks."""

import pytest

from inferry.environments.locks import (
    Lock,
    count_packages,
    digest_of_requirements,
    lines_beside,
    make_lock,
    read_requirements,
    versions_of,
)
from inferry.errors import EnvironmentFailed

HASH = "--hash=sha256:" + "a" * 64
OTHER = "--hash=sha256:" + "b" * 64


@pytest.mark.parametrize(
    "line",
    [
        "numpy", "scikit-learn==1.5.2", "pandas[excel]>=2,<3", "x [a, b] >= 1.0 , != 1.5", "torch==2.5.1+cpu",
        "a~=1.4.2", "a===1.0", "a==1.*", "a (>=1.0)", 'a>=1; python_version < "3.12" and sys_platform == "linux"',
        f"a==1 {HASH} {OTHER}", "Zope.Interface_x", "a==1!2.0",
    ],
)  # fmt: skip
def test_requirements_we_take(line):
    assert read_requirements([line]) == (" ".join(line.split()),)


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd", "-e .", "--index-url https://evil.test", "a==1 --index-url=https://evil.test", "./here",
        "/abs/path", "../up", "a @ https://evil.test/a.whl", "git+https://evil.test/a", "file:///etc/passwd",
        "a=1", "a==${SECRET}", "$HOME", "a>=1 @ x", "http://169.254.169.254/", "a==1;$(id)", "-", "a b", "a==1 --pre",
        "a==1 --hash=md5:abc", "é", "a\x00b", "-c constraints.txt",
    ],
)  # fmt: skip
def test_requirements_we_refuse_by_name(line):
    with pytest.raises(EnvironmentFailed, match="is not a requirement we can install") as caught:
        read_requirements(["numpy", line])
    assert ascii(line)[1:5] in caught.value.message


def test_comments_order_and_repeats_do_not_matter():
    lines = ["# comment", "", "numpy  # inline", "  pandas>=2 ", "numpy", "a==1 \\", f"  {HASH}"]
    assert read_requirements(lines) == (f"a==1 {HASH}", "numpy", "pandas>=2")
    one, two = read_requirements(["b", "a"]), read_requirements(["a", "b", "# x"])
    assert digest_of_requirements(one, "3.11") == digest_of_requirements(two, "3.11")
    assert digest_of_requirements(one, "3.11") != digest_of_requirements(one, "3.12")


def test_a_lock_is_the_same_however_it_was_written():
    text = f"# made by uv in /home/x\nb==2 \\\n    {HASH}\n    # via a\na==1 \\\n    {HASH} \\\n    {OTHER}\n"
    lock = make_lock(text, ("a",), "3.11")
    assert lock.text == f"a==1 \\\n    {HASH} \\\n    {OTHER}\nb==2 \\\n    {HASH}\n"
    assert count_packages(lock) == 2
    assert make_lock(lock.text, (), "3.11").digest == lock.digest
    assert make_lock(text.replace("\n", "\r\n"), ("a",), "3.11") == lock
    assert make_lock(lock.text, ("a",), "3.12").digest != lock.digest
    assert isinstance(lock, Lock)


@pytest.mark.parametrize(
    "line",
    ["a==1", "a>=1 " + HASH, "--index-url https://evil.test", f"a @ file:///x {HASH}", f"a==1 {HASH[:-1]}", "-e ."],
)
def test_a_lock_that_does_not_pin_by_hash_is_refused(line):
    with pytest.raises(EnvironmentFailed, match="does not pin"):
        make_lock(line + "\n", (), "3.11")


def test_a_converters_packages_are_what_it_needs_beyond_the_models_own():
    own = make_lock(f"scikit_learn==1.5.2 {HASH}\nnumpy==2.0.0 {HASH} {OTHER}\n", (), "3.11")
    assert sorted(versions_of(own)) == ["numpy==2.0.0", "scikit_learn==1.5.2"]
    whole = make_lock(f"onnx==1.17.0 {OTHER}\nnumpy==2.0.0 {HASH}\nscikit-learn==1.5.2 {HASH}\n", (), "3.11")
    assert lines_beside(whole, own) == f"onnx==1.17.0 {OTHER}"
    assert lines_beside(own, own) == ""
