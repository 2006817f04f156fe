# `make report`, `make test` and `make test-all` need only python3 (3.11 or newer), pip and make; they set up .venv themselves.
# `make setup TORCH_BACKEND=cpu` asks uv for CPU-only torch wheels where their index can be reached.
PYTHON ?= python3
TORCH_BACKEND ?=
BIN := .venv/bin

.PHONY: setup report sample-report docs style format test test-all test-rest test-drawn test-notebooks lab lock
.DEFAULT_GOAL := setup

setup: .venv/ready

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/ready: requirements.lock pyproject.toml | .uv/bin/uv
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	.uv/bin/uv pip sync --quiet --python $(BIN)/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) requirements.lock
	.uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# All notebooks on generated faces within ten minutes, the page to look at within two; a second call keeps
# what is finished. `fedet report --profile standard` is the whole: hours.
report: setup
	$(BIN)/fedet report --profile quick --out reports/quick

# The sample that the repository holds; to be committed.
sample-report: setup
	$(BIN)/fedet report --profile quick --out reports/sample --fresh

# The site of pages, notebooks and API: docs/build/html/index.html; it needs no network.
docs: setup
	$(BIN)/python -m sphinx --quiet --color -b html -c docs . docs/build/html

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

style: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell

# The one form of the code. Notebooks keep the lines they were written in.
format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Style, types and the fast tests, with a smoke of everything.
test: style
	$(PYTEST) --dist worksteal -m "not slow" tests

# Notebooks that train for minutes: `test-all` runs them on few people, `test-notebooks` as they are.
LONG := 02 03 06 08 10

# Everything: the fast tests, then what they leave out.
test-all: test test-rest

# Slow tests, more examples of what is drawn at random, notebooks. A notebook's cells stay in one process.
test-rest: style
	$(PYTEST) --dist worksteal --hypothesis-profile thorough --durations 15 -m "slow or hypothesis" tests
	$(PYTEST) --dist loadfile --nbval-lax --durations 5 $(LONG:%=--ignore-glob='notebooks/%_*') notebooks

# New examples of all that is drawn at random, for as long as one likes to wait: about ten minutes.
test-drawn: setup
	$(PYTEST) --dist worksteal --hypothesis-profile drawn -m "hypothesis and not slow" tests

# All notebooks as they are, their marked cells compared with the stored outputs: about an hour.
test-notebooks: setup
	$(PYTEST) --dist loadfile --nbval-lax notebooks

# `notebooks/jupyter_lab_config.py` has the settings.
lab: setup
	cd notebooks && ../$(BIN)/jupyter lab --config=jupyter_lab_config.py

lock: | .uv/bin/uv
	.uv/bin/uv pip compile --quiet --upgrade pyproject.toml --extra test -o requirements.lock --python-version 3.11 --no-header
