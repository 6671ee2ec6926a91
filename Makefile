# What can be done here. CI runs these verbs and nothing else. Each does its own set-up.
PYTHON := .venv/bin/python
export PYTHONPATH :=

.DEFAULT_GOAL := help
.PHONY: help setup run console test conformance lint bench soak docs clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv with relevo in it; names what the machine lacks
	@scripts/setup

run: setup ## Build and test three real projects with relevo (examples/real)
	@cd examples/real && ../../.venv/bin/relevo run workflow.yml

console: ## Build the page of web/ into src/relevo/console/static (needs Node; only after a change of the page)
	@scripts/console

test: setup ## Run the tests; ARGS="tests/unit/cli -k name" narrows them
	@scripts/test_servers
	@$(PYTHON) -m pytest -m "not soak" --numprocesses auto --dist worksteal $(ARGS)

conformance: setup ## Score public test data of the workflow syntax; DIR=path names its folder (default ../shared/conformance)
	@$(PYTHON) tests/conformance/harness.py $(DIR)

lint: setup ## Check style, types and the direction of imports
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@if [ -f accel/Cargo.toml ]; then cd accel && cargo fmt --check && cargo clippy --all-targets -- -D warnings; fi

bench: setup ## Measure everything beside its baseline; ONLY=name for one, QUICK=1 for short rounds
	@$(PYTHON) -m benchmarks $(if $(QUICK),--quick) $(ONLY)

soak: setup ## Run the long tests: thousands of kills and schedules
	@$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["soak"], sep="\n")' \
		| $(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement /dev/stdin
	@$(PYTHON) -m pytest -m soak --timeout 0 $(ARGS)

docs: setup ## Write the generated pages of docs/ anew
	@$(PYTHON) -m scripts.docs

clean: ## Remove all that the other verbs made
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/results web/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
