# What a newcomer types. Everything is installed into .venv/ with the versions of constraints.txt; no other folder of
# the machine is written except the caches of pip, uv and gitdata under ~/.cache. Only package registries are asked.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n auto
# What runs on a user's machine, macOS included: mypy refuses there what only Linux has.
CLIENT = $(addprefix -p gitdata.,cli commands data backends formats)
# Thousands of short Python processes: each would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test soak test-cluster lint format bench clean

demo: $(VENV)/.installed-notify  ## the whole path on this machine: four stages, three pushes, in ./demo/
	PATH="$(abspath $(VENV))/bin:$$PATH" examples/demo

test: $(VENV)/.installed-dev,notify,stages  ## every test, with real git, real DVC, a real S3 server and real stages
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

test-cluster: $(VENV)/.installed-dev,notify,stages  ## the tests on a real Kubernetes; builds it the first time (10 to 30 minutes)
	GITDATA_TEST_CLUSTER=build $(VENV)/bin/python -m pytest -n 2 -m cluster

soak: $(VENV)/.installed-dev,notify,stages  ## days of random work by gitdata, DVC and git: 300 steps with hooks and 300 without
	SOAK_STEPS=300 $(VENV)/bin/python -m pytest -n 2 tests/e2e/test_ordinary_days.py

lint: $(VENV)/.installed-dev,notify,stages
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/mypy --strict --platform darwin --cache-dir .mypy_cache/darwin --follow-imports silent $(CLIENT)
	$(VENV)/bin/lint-imports

format: $(VENV)/.installed-dev,notify,stages
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.installed-dev,notify,stages  ## add, status and the hooks beside stock DVC
	$(VENV)/bin/python benchmarks/run.py

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A stamp for each set of extras: installed again only when what is asked for changed.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	VENV="$(VENV)" .ci/install "$*"
	@touch "$@"

$(VENV)/bin/python:
	PYTHON="$(PYTHON)" VENV="$(VENV)" .ci/venv
