"""inferry.yaml: what it may say, and that each mistake is told with its line and a suggestion."""

from __future__ import annotations

import pytest

from inferry.bundles.project import declared_project, read_project
from inferry.errors import InvalidSettings
from inferry.policy.project import brings, config_of, model_of, settled
from inferry.types.project import Freeze, Shadow, Stage
from inferry.types.rollout import Step

GOOD = """\
models:
  fraud: {path: model.onnx, sample: rows.csv, labels: {team: risk}}
strategies:
  careful:
    steps:
      - {weight: 10, bake_s: 60}
      - {weight: 50, bake_s: 60}
endpoints:
  fraud: {replicas: 2, timeout: 5s, memory: 1GB}
  fraud-staging: {extends: fraud, model: fraud, replicas: 1}
  prices:
    traffic: {3: 90, challenger: 10%}
pipelines:
  fraud:
    stages:
      - endpoint: fraud-staging
      - endpoint: fraud
        approve: true
        strategy: careful
        shadow: {time: 10m, differing: 2%}
    alias: champion
    freeze:
      - {start: fri 16:00, end: mon 08:00, zone: Europe/Berlin, only: [fraud]}
gates:
  - gate: robustness
"""


def test_a_whole_project_is_read():
    project = read_project(GOOD)
    assert project.strategies["careful"].steps == (Step(weight=10, bake_s=60), Step(weight=50, bake_s=60))
    assert project.pipelines["fraud"].stages[1] == Stage(
        endpoint="fraud", approve=True, strategy="careful", shadow=Shadow(time=600.0, differing=2.0)
    )
    assert project.pipelines["fraud"].freeze == (
        Freeze(start="fri 16:00", end="mon 08:00", zone="Europe/Berlin", only=("fraud",)),
    )
    assert project.endpoints["prices"].traffic == {"3": 90.0, "challenger": 10.0}
    staging = settled(project, "fraud-staging")
    assert (staging.replicas, staging.timeout, staging.memory) == (1, 5.0, 1000.0)
    assert model_of(project, "fraud-staging") == "fraud"
    assert (brings(project, "fraud"), brings(project, "prices")) == ("fraud", "")


def test_an_idle_timeout_is_a_time_or_auto():
    for text, seconds in (("90s", 90.0), ("auto", 0.0)):
        project = read_project(f"endpoints: {{a: {{idle_timeout: {text}}}}}")
        assert config_of(project, "a") == {"idle_timeout_s": seconds}


def test_of_two_targets_the_one_of_the_endpoint_holds_and_not_the_one_that_it_extends():
    text = "endpoints: {a: {target_concurrency: 4}, b: {extends: a, target_latency: 50ms}}"
    assert config_of(read_project(text), "b") == {"target_latency_s": 0.05}


BAD = {
    "pipeline: {}": "x.yaml:1: pipeline: it is not a setting. Did you mean 'pipelines'?",
    "endpoints: {a: {replica: 2}}": "x.yaml:1: endpoints.a.replica: it is not a setting. Did you mean 'replicas'?",
    "endpoints:\n  a:\n    replicas: 0": "x.yaml:3: endpoints.a.replicas: 0 is outside of what it can be. Use 1 to 256.",
    "endpoints:\n  a: {min_replicas: 3, max_replicas: 2}": (
        "x.yaml:2: endpoints.a.min_replicas: min_replicas is 3, over max_replicas, which is 2. Raise max_replicas, "
        "or lower min_replicas."
    ),
    "endpoints:\n  a: {replicas: 1, max_replicas: 2}": (
        "x.yaml:2: endpoints.a.max_replicas: A fixed number of replicas excludes limits between which it varies. "
        "Keep one of them."
    ),
    "endpoints:\n  a: {min_replicas: 0, idle_timeout: 60}": "x.yaml:2: endpoints.a.idle_timeout: 60 has no unit.",
    "endpoints:\n  a:\n    schedule:\n      - 0 8 * * * min=2 for=1h\n      - 0 8 * * * Mars min=2 for=1h": (
        "x.yaml:5: endpoints.a.schedule[1]: 'Mars' is not a time zone. Use a name such as UTC or Europe/Berlin."
    ),
    "endpoints:\n  a:\n    schedule: [0 8 * * * min=2]": "x.yaml:3: endpoints.a.schedule: Nothing ends what",
    "endpoints:\n  a: {target_concurrency: 4, target_latency: 50ms}": "A target latency excludes a target concurrency.",
    "endpoints:\n  a: {idle_timeout: soon}": "x.yaml:2: endpoints.a.idle_timeout: 'soon' is not a quantity.",
    "endpoints:\n  a:\n    replicas: two": "x.yaml:3: endpoints.a.replicas: 'two' stands where a whole number belongs.",
    "endpoints: {A_b: {}}": "x.yaml:1: endpoints.A_b: 'A_b' is not a valid name. Use 1 to 63 lower-case",
    "endpoints: {a: {timeout: 5}}": "endpoints.a.timeout: 5 has no unit. Write a number and ms, s, m,",
    "endpoints: {a: {timeout: 5 parsecs}}": "endpoints.a.timeout: 'parsecs' is not a unit of seconds.",
    "endpoints: {a: {timeout: 2h}}": "endpoints.a.timeout: 7200 s is not a usable timeout. Use over 0 and up to 1h.",
    "endpoints: {a: {memory: 512}}": "endpoints.a.memory: 512 has no unit. Write a number and KB, MB,",
    "endpoints: {a: {memory: 5m}}": "endpoints.a.memory: 'm' is not a unit of megabytes.",
    "endpoints: {a: {device: gpu}}": "endpoints.a.device: 'gpu' is not known.",
    "endpoints: {a: {gpus: -1}}": "endpoints.a.gpus: -1 is outside of what it can be. Use 0 to 64.",
    "endpoints: {a: {keep_warm: yes}}": "endpoints.a.keep_warm: 'yes' stands where true or false belongs.",
    "endpoints: {a: {extends: b}}": "endpoints.a.extends: no endpoint 'b' is declared.",
    "endpoints: {aa: {extends: bb}, bb: {extends: aa}}": "endpoints.aa.extends: it goes in a circle: aa -> bb -> aa.",
    "endpoints: {a: {extends: a}}": "endpoints.a.extends: it goes in a circle: a -> a.",
    "endpoints: {a: {version: v1.2}}": "endpoints.a.version: 'v1.2' is no version. Use a number, an alias, or latest.",
    "endpoints: {a: {version: 0}}": "endpoints.a.version: '0' is no version.",
    "endpoints: {a: {version: 3, traffic: {3: 100}}}": "endpoints.a.traffic: it excludes 'version'.",
    "endpoints:\n  a:\n    traffic: {1: 50, 2: 49}": "x.yaml:3: endpoints.a.traffic: the shares sum to 99, not to 100.",
    "endpoints: {a: {traffic: {1: 99.5, 2: 0.5}}}": "endpoints.a.traffic.1: 99.5 is not a whole percent.",
    "endpoints: {a: {traffic: {1: 150}}}": "endpoints.a.traffic.1: 150 is more than 100 percent.",
    "endpoints: {a: {traffic: {1: -5, 2: 105}}}": "endpoints.a.traffic.1: '-5' is not a quantity.",
    "endpoints: {a: {strategy: carefull}}\nstrategies: {careful: {steps: [{weight: 5}]}}":
        "x.yaml:1: endpoints.a.strategy: no strategy 'carefull' is declared. Did you mean 'careful'?",
    "strategies: {a: {}}": "strategies.a: 'steps' is missing.",
    "strategies: {a: {steps: []}}": "strategies.a.steps: there is none.",
    "strategies: {default: {steps: [{weight: 5}]}}": "strategies.default: 'default' is the strategy that is there already.",
    "strategies:\n  a:\n    steps:\n      - weight: 50\n      - weight: 10":
        "x.yaml:5: strategies.a.steps[1].weight: 10 is not over the step before (50).",
    "strategies: {a: {steps: [{weight: 5}], checks: [{check: erors}]}}":
        "strategies.a.checks[0].check: 'erors' is not known. Did you mean 'errors'?",
    "strategies: {a: {steps: [{weight: 5, checks: [speed]}]}}": "strategies.a.steps[0].checks: there is no check speed.",
    "strategies: {a: {steps: [{weight: 5}], alpha: 2}}": "strategies.a.alpha: 2 is no chance between 0 and 0.5.",
    "pipelines: {m: {}}": "pipelines.m: 'stages' is missing.",
    "pipelines: {m: {stages: []}}": "pipelines.m.stages: there is none.",
    "endpoints: {prod: {model: m}}\npipelines: {m: {stages: [{endpoint: prd}]}}":
        "x.yaml:2: pipelines.m.stages[0].endpoint: no endpoint 'prd' is declared. Did you mean 'prod'?",
    "endpoints: {prod: {}}\npipelines: {m: {stages: [{endpoint: prod}]}}":
        "pipelines.m.stages[0].endpoint: 'prod' serves the model 'prod'. Declare `model: m` there.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}, {endpoint: m}]}}":
        "pipelines.m.stages[1].endpoint: 'm' is a stage already.",
    "endpoints: {m: {version: 3}}\npipelines: {m: {stages: [{endpoint: m}]}}":
        "endpoints.m.version: the pipeline of 'm' brings its versions. Leave 'version' out.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m, smoke: -1}]}}": "smoke: -1 is outside of what it can be.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m, shadow: {time: 0s}}]}}": "shadow.time: it takes no time.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}], alias: latest}}": "pipelines.m.alias: 'latest' cannot be",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}], freeze: [{start: friday, end: mon 08:00}]}}":
        "pipelines.m.freeze[0].start: 'friday' is not a moment. Write a day and a time (fri 16:00)",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}], freeze: [{start: fri 16:00, end: 2026-12-20 00:00}]}}":
        "freeze[0].end: one is a day of the week and the other a date.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}], freeze: [{start: fri 16:00, end: mon 08:00, zone: Mars}]}}":
        "freeze[0].zone: 'Mars' is not a time zone.",
    "endpoints: {m: {}}\npipelines: {m: {stages: [{endpoint: m}], freeze: [{start: fri 16:00, end: mon 08:00, only: [n]}]}}":
        "freeze[0].only: 'n' is no stage of this pipeline.",
    "models: {m: {}}": "models.m: 'path' is missing.",
    "models: {m: {path: a, convert: always}}": "models.m.convert: 'always' is not known.",
    "endpoints: {a: {}, a: {}}": "endpoints.a: it is there twice.",
    "endpoints: &e {a: {extends: b}, b: *e}": "x.yaml:1: endpoints.b",
    "endpoints: [a, b]": "x.yaml:1: endpoints: a list stands where settings belong.",
    "\tendpoints: {}": "x.yaml:1: it is not YAML",
    "endpoints: {a: {": "x.yaml:1: it is not YAML",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD.items())
def test_a_bad_project_is_refused_with_its_line_and_a_suggestion(text, said):
    with pytest.raises(InvalidSettings) as raised:
        read_project(text, "x.yaml")
    assert said in raised.value.message
    assert raised.value.message.startswith("x.yaml:")


def test_a_file_that_is_not_there_or_is_no_text_is_told(tmp_path):
    with pytest.raises(InvalidSettings, match="There is no"):
        declared_project(tmp_path / "inferry.yaml")
    (tmp_path / "inferry.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSettings, match="not text in UTF-8"):
        declared_project(tmp_path / "inferry.yaml")
