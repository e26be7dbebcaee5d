# Everything runs in .venv, which the first command makes from constraints.txt.
# Needed beforehand: python3 (3.11 or later), make, git.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help book claims contract accept bench gpu times test serve lint picture clean clean-book browser pdf archive

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PORT ?= 8000
# Processes that run notebooks or tests at once; while this notebook measures, none beside it.
WORKERS ?= 2
TAKES_TIMES := execute:06-trade-off
comma := ,

# $(call debian,PROBE,PACKAGES): where PROBE fails, apt installs PACKAGES if we are root;
# otherwise one line says what is missing.
define debian
{ $(1); } >/dev/null 2>&1 || { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "installing $(2)"; apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $(2) >/dev/null; \
  else echo "error: please install the Debian packages: $(2)" >&2; exit 1; fi; }
endef

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: $(PYTHON) must be Python 3.11 or later" >&2; exit 1; }
	@$(call debian,$(PYTHON) -c 'import ensurepip$(comma) venv',python3-venv)
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing the pinned packages into .venv (minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt $$(grep '^torch==' constraints.txt) --editable '.[all]'
	@touch $@

book: $(READY) ## execute changed notebooks, build the book, print where it lies
	@$(BIN)/doit $(TAKES_TIMES)
	@$(BIN)/doit --process $(WORKERS)
	@echo "the book: $(CURDIR)/_build/html/index.html"

claims: $(READY) ## check every claim in all ways that apply, print the ledger
	@$(BIN)/doit claims
	@$(BIN)/python -m collapse claims --record _build/claims.json

contract: book ## compare the data of every figure with the committed expectation
	@$(BIN)/python -m collapse contract

accept: book ## take the run's figures as expected, after saying what changes (FIGURES="name ...")
	@$(BIN)/python -m collapse contract --accept $(FIGURES)

bench: $(READY) ## measure how fast the package is, into benchmarks/results.json (idle machine)
	@$(BIN)/python -m benchmarks

gpu: $(READY) ## tests and benchmarks on the GPU at hand, kept in benchmarks/gpu.json
	@$(BIN)/python -m benchmarks.gpu

times: ## keep the times of the last .ci/run for the status page
	@cp _build/times.json benchmarks/times.json

browser:
	@$(call debian,command -v $${CHROMIUM:-chromium},chromium fonts-liberation)

test: $(READY) browser book ## build the book if need be, run all tests, those in the browser included
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

pdf: $(READY) browser ## print the whole book to _build/book.pdf
	@$(BIN)/doit pdf
	@echo "the book on paper: $(CURDIR)/_build/book.pdf"

archive: $(READY) ## pack the book for reading offline into _build/collapse-book.zip
	@$(BIN)/doit archive
	@echo "the book to take along: $(CURDIR)/_build/collapse-book.zip"

serve: book ## show the book on http://127.0.0.1:8000 (PORT=... for another port)
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

lint: $(READY) ## ruff, the type checker, the import floors, notebooks without outputs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

picture: book ## redraw the ladder of the preface and the README from the run
	@$(BIN)/python -m collapse.figures.picture \
	  _build/figures/04-orders/orders-ladder.json book/_static/ladder.svg

clean-book: ## remove the built book and the executed notebooks
	@rm -rf _build notebooks/_build

clean: clean-book ## remove everything that these commands made, .venv included
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
