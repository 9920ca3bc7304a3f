# The seven verbs. The environment in .venv is made, and made again when pyproject.toml changes, by whichever comes first.
.PHONY: setup demo test bench bench-peers bench-overload bench-soak lint docs
PYTHON := .venv/bin/python

setup: .venv/.ready

.venv/.ready: pyproject.toml tools/make-venv tools/pythons
	@tools/make-venv .venv

demo: setup  ## real models answer real requests
	@$(PYTHON) examples/demo.py

test: lint  ## everything that must hold
	@$(PYTHON) -m pytest -n 2 -m "not slow"
	@$(PYTHON) -m pytest -m slow

bench: setup  ## the speed and memory figures of docs/benchmarks.md
	@$(PYTHON) -m bench.first_look

bench-peers: setup  ## the race against other model servers in docs/benchmarks.md (about an hour)
	@command -v wrk >/dev/null || tools/install-wrk
	@$(PYTHON) -m bench.peers --publish

bench-overload: setup  ## ten times more requests than a model can answer, for a minute
	@$(PYTHON) -m bench.overload

bench-soak: setup  ## half an hour of mixed traffic: memory and descriptors must not grow
	@$(PYTHON) -m bench.soak

lint: setup  ## style, types and import contracts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

docs: setup  ## run every snippet of README.md and docs/
	@$(PYTHON) -m pytest tests/docs
