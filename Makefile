# `make report` and `make test` need only python3 (3.11 or newer), pip and make; they set up .venv themselves.
# `make setup TORCH_BACKEND=cpu` asks uv for CPU-only torch wheels where their index can be reached.
PYTHON ?= python3
TORCH_BACKEND ?=
BIN := .venv/bin

.PHONY: setup report test lab lock
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

report: setup
	$(BIN)/papermill --cwd notebooks notebooks/00_quickstart.ipynb reports/00_quickstart.ipynb
	$(BIN)/jupyter nbconvert --log-level WARN --to html reports/00_quickstart.ipynb
	@echo "Look at reports/00_quickstart.html"

test: setup
	$(BIN)/ruff check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --numprocesses 2 --dist loadfile

lab: setup
	$(BIN)/jupyter lab --ip 127.0.0.1 notebooks

lock: | .uv/bin/uv
	.uv/bin/uv pip compile --quiet --upgrade pyproject.toml --extra test -o requirements.lock --python-version 3.11 --no-header
