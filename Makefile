# `make report` and `make test` need only python3 (3.11 or newer), pip and make; they set up .venv themselves.
# `make setup TORCH_BACKEND=cpu` asks uv for CPU-only torch wheels where their index can be reached.
PYTHON ?= python3
TORCH_BACKEND ?=
BIN := .venv/bin

.PHONY: setup report sample-report style format test test-notebooks lab lock
.DEFAULT_GOAL := setup

setup: .venv/ready

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/ready: requirements.lock pyproject.toml | .uv/bin/uv
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	.uv/bin/uv pip sync --quiet --python $(BIN)/python --compile-bytecode $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) requirements.lock
	.uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# The whole suite on generated faces, in minutes; what is finished is kept if it is called again.
report: setup
	$(BIN)/fedet report --profile quick --out reports/quick

# The sample that the repository holds; to be committed.
sample-report: setup
	$(BIN)/fedet report --profile quick --out reports/sample --fresh

# Notebooks that train for minutes: `make test` runs them on few people, `make test-notebooks` as they are.
LONG := 02 03 06 08 10
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

style: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The one form of the code. Notebooks keep the lines they were written in.
format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: style
	$(PYTEST) --nbval-lax $(LONG:%=--ignore-glob='notebooks/%_*')

# All notebooks as they are, their marked cells compared with the stored outputs: about an hour.
test-notebooks: setup
	$(PYTEST) --nbval-lax notebooks

lab: setup
	$(BIN)/jupyter lab --ip 127.0.0.1 notebooks

lock: | .uv/bin/uv
	.uv/bin/uv pip compile --quiet --upgrade pyproject.toml --extra test -o requirements.lock --python-version 3.11 --no-header
