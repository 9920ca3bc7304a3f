"""Gates files: what is read, and that mistakes are told with line and suggestion."""

import pytest

from inferry.errors import InvalidSettings
from inferry.gates.declare import limits_of, read_gates
from inferry.types.gates import Command, Golden, Latency, Memory, Metrics


@pytest.fixture
def read(tmp_path):
    (tmp_path / "holdout.csv").write_text("x,y\n1,2\n")

    def run(text):
        file = tmp_path / "inferry.yaml"
        file.write_text(text)
        return read_gates(file)

    return run


@pytest.fixture
def refused(read):
    def run(text):
        with pytest.raises(InvalidSettings) as raised:
            read(text)
        return raised.value.message

    return run


def gate(text):
    return "gates:\n  - " + text.replace("\n", "\n    ")


def test_gates_are_read_beside_the_business_of_others(read, tmp_path):
    found = read("""
models: {fraud: {path: m.onnx}}
gates:
  - gate: metrics
    name: quality
    data: holdout.csv
    target: y
    at_least: {accuracy: 0.9}
    against: fraud
    not_worse_by: {accuracy: 0.01}
  - {gate: latency, at_most: {p99: 20ms}, requests: 50}
  - {gate: memory, at_most: 2GB}
  - {gate: command, run: [python, check.py], timeout: 2m}
endpoints: [1]
""")
    assert [type(one) for one in found] == [Metrics, Latency, Memory, Command]
    assert (found[0].title, found[1].title) == ("quality", "latency")
    assert found[0].data == str(tmp_path / "holdout.csv")
    assert limits_of(found[1].at_most) == {"p99": 0.02}
    assert (found[2].at_most, found[3].timeout) == (2000.0, 120.0)


def test_a_file_without_gates_declares_none(read):
    assert read("models: {}") is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("gate:\n  - gate: security", 1, "gate: it is not a setting. Did you mean 'gates'?"),
        ("gates:\n  - gate: secrity", 2, "gates[0].gate: 'secrity' is not known. Did you mean 'security'?"),
        ("gates:\n  - golden: a.jsonl", 2, "gates[0]: 'gate' is missing. Known: golden, metrics"),
        ("gates: 3", 1, "gates: '3' stands where a list belongs."),
        (gate("gate: golden"), 2, "'file' is missing."),
        (gate("gate: golden\nfile: holdut.csv"), 3, "there is no file 'holdut.csv' in"),
        (gate("gate: golden\nfile: holdut.csv"), 3, "Did you mean 'holdout.csv'?"),
        (gate("gate: golden\nfile: holdout.csv\ntolerance: 2"), 4, "2 is outside of what it can be."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nat_lest: {auc: 1}"), 5, "Did you mean 'at_least'?"),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nat_least: {acuracy: 1}"), 5, "Did you mean 'accuracy'?"),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nat_least: {log_loss: 1}"), 5, "Put it under at_most."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nat_most: {f1: 1}"), 5, "Put it under at_least."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y"), 2, "nothing is asked of the metrics."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nbetter_by: {auc: 0}"), 5, "but none is named."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nagainst: a\nbetter_by: {auc: -1}"), 6, "Use 0 or more."),
        (gate("gate: metrics\ndata: holdout.csv\ntarget: y\nat_least: {auc: 1}\nconfidence: 95"), 6, "Use 0.5 up to 1"),
        (gate("gate: slices\ndata: holdout.csv\ntarget: y\nat_least: {auc: 1}"), 2, "'by' is missing."),
        (
            gate("gate: slices\ndata: holdout.csv\ntarget: y\nby: x\nat_least: {auc: 1}\nmin_rows: 0"),
            7,
            "Use 1 or more.",
        ),
        (gate("gate: latency"), 2, "nothing is asked of the latency."),
        (gate("gate: latency\nat_most: {p99: 20}"), 3, "20 has no unit."),
        (gate("gate: latency\nat_most: {p99: 20MB}"), 3, "'MB' is not a unit of seconds."),
        (gate("gate: latency\nat_most: {p98: 20ms}"), 3, "Did you mean 'p99'?"),
        (gate("gate: latency\nat_most: {p99: 1s}\nrequests: 1"), 4, "Use 10 to 100000."),
        (gate("gate: latency\nratio: {p99: 1.5}"), 3, "but none is named."),
        (gate("gate: latency\nat_most: {p99: 1s}\nagainst: fraud"), 4, "nothing is compared with it."),
        (gate("gate: memory\nat_most: 5s"), 3, "'s' is not a unit of megabytes."),
        (gate("gate: size"), 2, "nothing is asked of the size."),
        (gate("gate: size\nratio: 0\nagainst: fraud"), 3, "Use over 0, such as 1.2."),
        (gate("gate: robustness\nchecks: [mising]"), 3, "'mising' is not known. Did you mean 'missing'?"),
        (gate("gate: command\nrun: ''"), 3, "the command is empty."),
        (gate("gate: command\nrun: ls\ntimeout: 5 minuts"), 4, "'minuts' is not a unit of seconds."),
        (gate("gate: pytest\nfile: test_it.py"), 3, "there is no file 'test_it.py'"),
        (gate("gate: security\nallow: builtins.getattr"), 3, "stands where a list belongs."),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_suggestion(refused, text, line, said):
    message = refused(text)
    assert f"inferry.yaml:{line}: " in message
    assert said in message


def test_a_file_that_is_not_there_is_told_with_the_one_that_was_meant(tmp_path):
    (tmp_path / "gates.yaml").write_text("gates: []")
    with pytest.raises(InvalidSettings, match="cannot be read") as raised:
        read_gates(tmp_path / "gate.yaml")
    assert raised.value.help == "Did you mean 'gates.yaml'?"


def test_golden_files_are_told_by_their_own_line(tmp_path):
    from inferry.errors import InvalidInput
    from inferry.gates.judged import golden

    file = tmp_path / "golden.jsonl"
    for text, said in [
        ('{"input": 1, "expected": 2}\n{"inputs": 1}', "golden.jsonl:2: the key 'expected' is missing."),
        ('{"input": 1, "expected": 2, "extra": 1}', "golden.jsonl:1: the key 'extra' is not known."),
        ("{nope", "golden.jsonl:1: the line is not JSON"),
        ("", "golden.jsonl has no line."),
    ]:
        file.write_text(text)
        with pytest.raises(InvalidInput) as raised:
            golden(Golden(file=str(file)), Deaf())
        assert said in raised.value.message


class Deaf:
    """Answers nothing of use."""

    def post(self, body):
        return 400, {}
