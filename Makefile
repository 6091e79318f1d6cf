# Every command of this project. PY names another Python that has the packages already:
#   make test PY=/path/to/python
PYTHON ?= python3
PY ?= .venv/bin/python
# Test processes; each uses one thread, so that two fill two cores. One file stays in one process,
# so that what its tests share is made once.
JOBS ?= 2
PYTEST_ARGS ?=

ifeq ($(PY),.venv/bin/python)
READY := .venv/.ready
else
READY :=
endif

.PHONY: help venv demo test peers soak lint types floors fresh docs format shapes wheel clean

help:
	@echo "make demo    install, then train and score one word on the built-in base"
	@echo "make test    every check: format, lint, types, floors, generated files, tests"
	@echo "make soak    the long forms of the tests"
	@echo "make lint types floors fresh    single checks; make format mends what can be mended"
	@echo "make docs    write docs/commands.md and schemas/ anew, and the site in build/site"
	@echo "make shapes  build the built-in base anew (hours)"
	@echo "make peers   install what tests compare with: npm packages, Chromium"
	@echo "make venv wheel clean"

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -qq -c constraints.txt --upgrade pip
	.venv/bin/python -m pip install -qq -c constraints.txt --build-constraint constraints.txt -e '.[dev]'
	touch $@

venv: .venv/.ready

demo: $(READY)
	@$(PY) -m tireg demo

# What tests compare with or look through: an independent Hub client and an accessibility checker
# from npm, and Debian's Chromium. What cannot be had here, its tests skip with the reason.
peers:
	@if command -v npm >/dev/null 2>&1; then \
	  npm install --silent --no-save --no-package-lock --no-fund --no-audit \
	    --prefix tests/hubserver @huggingface/hub@2.17.5 axe-core@4.14.1 \
	    || echo "npm could not install its packages"; \
	else echo "npm is not here: the tests with its packages are skipped"; fi
	@if command -v chromium >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 \
	    || echo "apt-get could not install chromium"; \
	else echo "chromium is not here: the tests in a browser are skipped"; fi

test: lint types floors fresh peers
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

soak: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m soak --timeout 7200 $(PYTEST_ARGS)

lint: $(READY)
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .

format: $(READY)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

types: $(READY)
	$(PY) -m mypy

floors: $(READY)
	$(dir $(PY))lint-imports

fresh: $(READY)
	$(PY) -m docs.generate --check

docs: $(READY)
	$(PY) -m docs.generate
	$(PY) -m mkdocs build --strict --site-dir build/site
	@echo "open build/site/index.html"

shapes: $(READY)
	$(PY) -m tireg.shapes.builder

wheel: $(READY)
	$(PY) -m build --wheel --no-isolation

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
