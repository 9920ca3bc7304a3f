# The seven verbs. The environment in .venv is made, and made again when pyproject.toml changes, by whichever comes first.
.PHONY: setup demo test test-postgres bench bench-peers bench-overload bench-soak bench-conversion bench-networks bench-rollouts bench-live-rollouts bench-captures bench-cold bench-ray lint docs bench-simulate bench-density
PYTHON := .venv/bin/python
# Speed is measured on the quickest Python of the machine: the default one may be built without optimisation.
QUICK := .bench/venv/bin/python
# One more than the two cores of CI: a test waits for the processes that it started about half of its time.
WORKERS ?= 3

setup: .venv/.ready

.venv/.ready: pyproject.toml tools/make-venv tools/pythons
	@tools/make-venv .venv

.bench/venv/.ready: pyproject.toml tools/make-venv tools/pythons
	@tools/make-venv .bench/venv --quickest

demo: setup  ## real models answer real requests
	@$(PYTHON) examples/demo.py

test: lint  ## everything that must hold; what comes after a failed part is run all the same
	@failed=0; \
	tools/run-tests -n $(WORKERS) --dist worksteal --durations=20 -m "not slow and not frameworks" || failed=1; \
	tools/run-tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20 -m "frameworks or slow" || failed=1; \
	exit $$failed

test-postgres: setup  ## what keeps state, with PostgreSQL in place of SQLite
	@INFERRY_TEST_POSTGRES=required INFERRY_TEST_DATABASE=postgres tools/run-tests -n $(WORKERS) --dist loadfile --durations=20 -m both_databases

bench: .bench/venv/.ready  ## the speed and memory figures of docs/benchmarks.md, and starts from zero beside fresh processes
	@$(QUICK) -m bench.first_look
	@$(QUICK) -m bench.cold_start --starts 5

bench-peers: .bench/venv/.ready  ## the race against other model servers in docs/benchmarks.md (about an hour)
	@command -v wrk >/dev/null || tools/install-wrk
	@$(QUICK) -m bench.peers --publish

bench-overload: .bench/venv/.ready  ## ten times more requests than a model can answer, for a minute
	@$(QUICK) -m bench.overload

bench-soak: .bench/venv/.ready  ## half an hour of mixed traffic: memory and descriptors must not grow
	@$(QUICK) -m bench.soak

bench-conversion: setup  ## what serving scikit-learn models as ONNX gains, and whether it is ever wrong
	@$(PYTHON) -W ignore -m bench.conversion --write docs/tasks/conversion.md

bench-networks: setup  ## the same for PyTorch, Keras and TensorFlow models (installs both)
	@$(PYTHON) -W ignore -m bench.networks --write docs/tasks/conversion.md

bench-rollouts: setup  ## how often rollouts and experiments decide wrongly, and how soon they find a fault
	@$(PYTHON) -m bench.rollouts --write docs/tasks/rollouts.md

bench-live-rollouts: setup  ## twenty good canaries and six bad ones on a real platform (half an hour)
	@$(PYTHON) -m bench.live_rollouts --write docs/tasks/rollouts.md

bench-simulate: setup  ## our scaling rule and the default rules of others on six traces, in virtual time
	@$(PYTHON) -m bench.simulate --write docs/tasks/simulate.md

bench-ray: setup  ## what it costs that a replica is on another machine: a Ray node in a network namespace (needs root)
	@$(PYTHON) -m bench.ray_path --write docs/tasks/ray.md

bench-captures: setup  ## what keeping answers for feedback costs the gateway
	@$(PYTHON) -m bench.captures

bench-density: setup  ## a thousand models on memory for twenty, against LRU and the optimum (ten minutes)
	@$(PYTHON) -m bench.density --write docs/tasks/density.md

bench-cold: .bench/venv/.ready  ## from zero replicas to an answer, against a fresh Python process
	@$(QUICK) -m bench.cold_start

lint: setup  ## style, types and import contracts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

docs: setup  ## run every snippet of README.md and docs/
	@$(PYTHON) -m pytest tests/docs
