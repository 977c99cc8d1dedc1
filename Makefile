# tarry: two commands do everything on a fresh machine.
#   make serve   build .venv and run the front door on 127.0.0.1:2525 (mail goes to ./mail)
#   make test    build .venv, fetch what the end-to-end tests need, run the whole suite
# The first of PYTHON's candidates that is 3.11 or newer is used; `make PYTHON=/path build` chooses another.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
# One more than there are cores: half of the time of an end-to-end test is waiting.
JOBS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))
ARGS ?=

.PHONY: build dev serve test unit e2e servers lint types docs bench wheel deb man completions clean

build: $(VENV)/.built

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "tarry needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; \
		else echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.built: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

dev: $(VENV)/.dev
$(VENV)/.dev: $(VENV)/.built
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

serve: build
	$(VENV)/bin/tarry serve $(ARGS)

servers: dev
	$(VENV)/bin/python -m tests.e2e.servers.install

test: servers
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

unit: dev
	$(VENV)/bin/python -m pytest -n $(JOBS) -m "not e2e" $(ARGS)

lint: dev
	$(VENV)/bin/ruff check src tests bench
	$(VENV)/bin/ruff format --check src tests bench

types: dev
	$(VENV)/bin/mypy

docs: build
	$(VENV)/bin/tarry config reference > docs/config.md
	$(VENV)/bin/tarry config schema > docs/tarry.schema.json
	$(VENV)/bin/tarry config reference --checks docs/checks
	$(VENV)/bin/tarry probe --presets --markdown > docs/presets/table.md

bench: servers
	@echo "bench/hold.py, bench/early.py and bench/mail.py: see docs/performance.md"
	$(VENV)/bin/python -m bench $(ARGS)

# What goes to other machines: see docs/install.md.
wheel: dev
	$(VENV)/bin/python -m hatchling build -t wheel -d dist

deb: wheel
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)} \
		$(VENV)/bin/python packaging/build_deb.py "$$(ls -t dist/tarry-*.whl | head -n 1)" dist

man: build
	$(VENV)/bin/python packaging/manpages.py dist/man

completions: build
	@mkdir -p dist/completions
	_TARRY_COMPLETE=bash_source $(VENV)/bin/tarry > dist/completions/tarry
	_TARRY_COMPLETE=zsh_source $(VENV)/bin/tarry > dist/completions/_tarry
	_TARRY_COMPLETE=fish_source $(VENV)/bin/tarry > dist/completions/tarry.fish

clean:
	rm -rf $(VENV) build dist src/*.egg-info
