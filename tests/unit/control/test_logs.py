import os

from inferry.control.logs import cut


def test_a_long_log_is_emptied_under_its_writer_and_its_end_is_kept(tmp_path):
    path = tmp_path / "iris.log"
    writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(writer, b"a" * 90 + b"b" * 20)
    (tmp_path / "short.log").write_bytes(b"short")
    assert cut(tmp_path, 100) == ["iris.log"]
    os.write(writer, b"more")
    os.close(writer)
    assert path.read_bytes() == b"more"
    assert (tmp_path / "iris.log.1").read_bytes() == b"a" * 80 + b"b" * 20
    assert cut(tmp_path, 100) == []
