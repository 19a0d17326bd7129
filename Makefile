# `make` lists the targets. They install everything into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs
ARGS ?=
SWEEP := sweep=mlp data=california trainer.max_epochs=15 hydra/launcher=joblib hydra/sweeper/pruner=median

.DEFAULT_GOAL := help
.PHONY: help install install-dev train best test test-slow soak lint format sweep tensorboard clean clean-cache

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## set up .venv with the packages that training needs

install-dev: $(VENV)/.installed-dev  ## set up .venv with the packages that tests and lint need, too

train: install  ## train; pass overrides as ARGS="data=adult trainer.max_epochs=5"
	@$(BIN)/litmlp-train $(ARGS)

best: $(VENV)/.installed-sweep  ## the best model for a table in MINUTES=60: DATA=adult, or DATA=my.csv TARGET=price
	@$(BIN)/litmlp-best minutes=$(or $(MINUTES),60) $(if $(DATA),"data=$(DATA)") $(if $(TARGET),"data.target=$(TARGET)") $(ARGS)

test: install-dev  ## run the quick tests
	$(BIN)/python -m pytest -n auto -m "not slow and not soak" $(ARGS)

test-slow: install-dev  ## run the tests that take longer
	$(BIN)/python -m pytest -n auto -m "slow or soak" $(ARGS)

soak: install-dev  ## test with random bad inputs, kills and full disks: MINUTES=10 SEED=1
	SOAK_MINUTES=$(or $(MINUTES),10) SOAK_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -n auto -m soak $(ARGS)

lint: install-dev  ## run ruff check, ruff format --check and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: install-dev  ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix --quiet --exit-zero  # lint reports the other problems
	$(BIN)/ruff format

sweep: $(VENV)/.installed-sweep  ## search for better settings for california, or for other data with ARGS="sweep=mlp data=adult"
	@$(BIN)/litmlp-train -m $(or $(ARGS),$(SWEEP))

tensorboard: install  ## show all runs in TensorBoard, or one with RUN=<folder>
	$(BIN)/tensorboard --logdir $(RUN)

# part: bench
.PHONY: bench
bench: $(VENV)/.installed-bench  ## compare speed, start-up and memory with plain PyTorch and other libraries
	$(BIN)/python showcase/bench.py $(ARGS)

$(VENV)/.installed-bench: $(VENV)/.installed
	$(call install,[bench])
# end of part: bench

# part: notebooks
.PHONY: notebooks
notebooks: $(VENV)/.installed-notebooks  ## open the lecture's notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir notebooks $(ARGS)

$(VENV)/.installed-notebooks: $(VENV)/.installed
	$(call install,[notebooks])
# end of part: notebooks

# part: lecture
.PHONY: lecture
lecture: install  ## run the lecture's experiments, and write a page with their plots and claims
	@$(BIN)/python showcase/lecture.py $(ARGS)
# end of part: lecture

# part: compare
.PHONY: compare ablate
compare: $(VENV)/.installed-compare  ## compare with scikit-learn and CatBoost; on any table with ARGS="--tables FILE:TARGET"
	$(BIN)/python showcase/compare_peers.py $(ARGS)

$(VENV)/.installed-compare: $(VENV)/.installed
	$(call install,[compare])

ablate: install  ## measure what each part of the default is worth
	$(BIN)/python showcase/ablate.py $(ARGS)
# end of part: compare

# part: rename
.PHONY: rename
rename:  ## make the template a project of your own: NAME=my_project WITHOUT=bench,compare
	@$(NEW_ENOUGH)
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) scripts/rename.py --without="$(WITHOUT)" -- "$(NAME)"
	@test ! -x $(BIN)/python || $(BIN)/python -m pip uninstall --quiet --disable-pip-version-check --yes litmlp
# end of part: rename

clean-cache:  ## remove the encoded rows of large tables
	rm -rf "$${LITMLP_CACHE:-.cache}"

clean:  ## remove .venv and caches, but no runs
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(NEW_ENOUGH)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(NO_SPACE)
	$(call install,)

$(VENV)/.installed-dev: $(VENV)/.installed
	$(call install,[dev])

$(VENV)/.installed-sweep: $(VENV)/.installed
	$(call install,[sweep])

define install
@echo "installing .$(1) into $(VENV)"
@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(1)' || $(NO_SPACE)
@touch $@
endef

NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "litmlp needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
NO_SPACE = { df -Pk . | awk 'NR == 2 && $$4 < 4e6 {printf "the disk is full: %.1f GB are free, $(VENV) takes 2 GB, or 8 with CUDA\n", $$4 / 1e6}' >&2; exit 1; }
