# Each target sets up .venv by itself, from the exact versions in requirements.lock.
#   make report   the report from synthetic mammograms, in minutes, with nothing to download
#   make test     checks, all tests but the slow ones, and all notebooks with small budgets
#   make test-all the slow tests, which make test leaves out
#   make test-fast  tests of the inner loop, under a minute: the rooms that compute, few examples
#   make reference SET=cbis_mass  publish the finished run outputs/cbis_mass in outputs/reference
#   make lab      JupyterLab on the notebooks
#   make docs     the documentation site: docs/_build/html/index.html
#   make fuzz     20,000 damaged files (CASES=100000 SEED=1): nothing lost, made up or hanging
#   make bench    speed, side by side with peers
#   make check    lint, format, spelling, types, import contracts
#   make sync     bring notebooks and their .py in step, without outputs
#   make lock     write requirements.lock anew from pyproject.toml (LOCK_OPTIONS=--upgrade)
#   make clean    remove .venv and caches; outputs and data stay
PYTHON ?= python3
PARAMS ?= params/smoke.yaml
JOBS ?= 2

VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
LAB := $(VENV)/python -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
	--FileContentsManager.preferred_dir=notebooks

.PHONY: report reference test test-all test-fast fuzz lab docs bench check sync lock clean check-python

report: .venv/.ready
	$(VENV)/python run_all.py --params $(PARAMS)

reference: .venv/.ready
	@test -n "$(SET)" || { echo "Name the set: make reference SET=cbis_mass" >&2; exit 1; }
	$(VENV)/python -m second_look publish outputs/$(SET)

test: check
	$(PYTEST) -m "not slow" --cov --cov-report=term
	$(VENV)/python run_all.py --params params/ci.yaml

test-all: .venv/.ready
	$(PYTEST) -m slow

# Without what trains, prepares, downloads or starts other processes.
FAST := batches decoding evaluation inference \
	test_bad_input.py test_catalogue.py test_errors.py test_files.py test_geometry.py test_paper.py

test-fast: .venv/.ready
	HYPOTHESIS_PROFILE=few $(PYTEST) \
		-m "not slow and not notebook and not browser and not real_data and not prepared" \
		$(addprefix tests/,$(FAST))

lab: .venv/.ready
	$(LAB) $(LAB_OPTIONS)

docs: .venv/.ready
	$(VENV)/python -m sphinx -W --keep-going -q -j $(JOBS) -b html docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

CASES ?= 20000
SEED ?= 0
FIRST ?= 0
FORM ?=

fuzz: .venv/.ready
	$(VENV)/python tests/helpers/campaign.py --cases $(CASES) --seed $(SEED) --first $(FIRST) \
		--form "$(FORM)"

bench: .venv/.ready
	@set -e; for script in $(wildcard benchmarks/*.py); do \
		echo "$$script"; $(VENV)/python "$$script"; \
	done

check: .venv/.ready
	$(VENV)/python -m ruff check .
	$(VENV)/python -m ruff format --check .
	$(VENV)/codespell
	$(VENV)/python -m mypy
	$(VENV)/lint-imports

sync: .venv/.ready
	$(VENV)/python -m jupytext --sync notebooks/*.py
	$(VENV)/python -m nbconvert --clear-output --inplace notebooks/*.ipynb

# The mark is made last: an interrupted installation is repeated.
.venv/.ready: requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory check-python
	rm -f $@
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install -r requirements.lock
	$(VENV)/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

check-python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 to 3.14, or name one:" \
			"make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 15) else \
	"Second Look needs Python 3.11 to 3.14, the versions that its torch is published for; " \
	"this is %d.%d. Name another: make PYTHON=python3.12" % v[:2])'

lock: check-python
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	"$(PYTHON)" -m venv "$$tools"; \
	"$$tools/bin/python" -m pip install --quiet uv; \
	"$$tools/bin/uv" pip compile --universal --python-version 3.11 --extra dev \
		--no-emit-index-url --no-header --no-annotate --quiet $(LOCK_OPTIONS) \
		pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
		.coverage coverage.xml build lib/*.egg-info
	find lib tests notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +
