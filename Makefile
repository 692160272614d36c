# make help lists the targets. Everything runs from .venv, which `setup` makes from requirements.lock.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: test-replicas setup headers demo test chaos check style lint types bench clean help tools redis browser

# Tests start hundreds of Python processes; each would compile our modules anew (0.1 to 0.2 s of processor time).
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
PYTEST := $(BIN)/python -m pytest
PACKAGES := helix_ray actors serve_app launcher
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
NATIVE := helix_ray/journal/_hashing.c
compiles = gcc -fsyntax-only -I "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" $(NATIVE) 2>/dev/null
# The first interpreter on PATH that is new enough.
FIND_PYTHON = for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done
# Debian's packages $(3) where $(2) fails because $(1) is missing, we are root, and apt is there; else says so.
packaged = $(2) || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	&& { [ -n "$${updated:-}" ] || apt-get update -qq; } && updated=1 \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(3) >/dev/null; } \
	|| echo "$(1) is missing and could not be installed (Debian: $(3))" >&2
debian = $(call packaged,$(1),command -v $(1) >/dev/null,$(2))

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

setup: $(STAMP) ## make .venv and install what requirements.lock pins

$(VENV)/bin/python:
	@python=$$($(FIND_PYTHON)); [ -n "$$python" ] || { echo "Python 3.11 or later is needed" >&2; exit 1; }; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); echo "$$python -m venv failed (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(STAMP): pyproject.toml requirements.lock setup.py $(NATIVE) | $(VENV)/bin/python headers
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(PIP) -r requirements.lock
	@HELIX_NATIVE=1 $(PIP) --no-deps -e .
	@touch $@

# What _hashing.c is built with. Everything works without it; large batches take longer (ADR 107).
headers: | $(VENV)/bin/python
	@$(call packaged,what compiles $(NATIVE),$(compiles),gcc python3-dev libssl-dev)

demo: setup ## run the main job end to end on a cluster of three nodes
	@$(BIN)/python examples/demo.py

check: style types ## format, lint, types, imports, unit tests: under three minutes
	$(PYTEST) tests/unit

style: lint
	$(BIN)/lint-imports

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy examples tools/draw_state_machine.py tools/list_files.py

# What mostly waits (for servers, leases, restarts) runs side by side: LANES processes at a time, each with a tier or with a
# file that starts servers of its own, so that a Ray cluster of one never meets the next. The longest come first.
LANES ?= 3
CHAOS_ONLY := tests/e2e/test_clock_steps.py
LONGEST := $(patsubst %,tests/e2e/test_%.py,ray_up up lives retention_live fuzz_live journal_crash)
E2E := $(LONGEST) $(filter-out $(LONGEST) $(CHAOS_ONLY),$(wildcard tests/e2e/test_*.py))
SIDE_BY_SIDE := $(firstword $(E2E)) tests/ray tests/unit tests/unit/inference tests/docs tests/http tests/properties tests/contract \
	$(wordlist 2,99,$(E2E)) tests/golden

# How long lane $(1) took, and the processor time of its processes; Ray's own are in the sum of the machine only.
LANE_TIMES := $(VENV)/.lane_times
timed = TIMEFORMAT="%0R s, of processors %0U s user and %0S s system: $(1)"; \
	{ code=0; time { $(2); } 2>&3 3>&- || code=$$?; } 3>&2 2>>$(LANE_TIMES); exit $$code
# For how long the processors of this machine have been busy, in seconds.
BUSY_S = awk -v hz=$$(getconf CLK_TCK) '/^cpu /{print int(($$2 + $$3 + $$4 + $$7 + $$8) / hz)}' /proc/stat 2>/dev/null || echo 0

test-replicas: ## the tiers with servers, with three API replicas each
	HELIX_TEST_REPLICAS=3 $(PYTEST) tests/ray tests/e2e tests/docs

test: ## everything that CI runs; LANES=1 for one after the other
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target setup tools
	@$(MAKE) --no-print-directory lint
	@: >$(LANE_TIMES); before=$$($(BUSY_S)); failed=0; \
	$(MAKE) --no-print-directory --jobs=$(LANES) --output-sync=target --keep-going \
		lane-types $(addprefix lane/,$(SIDE_BY_SIDE)) || failed=1; \
	sort -rn $(LANE_TIMES); \
	echo "$$SECONDS s in all; the processors of this machine were busy for $$(($$($(BUSY_S)) - before)) s"; \
	exit $$failed

# Without make's own variables: tests start programs, make among them. A folder is run without those in it that are lanes.
lane/%:
	@$(call timed,$*,env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(PYTEST) -q -p no:cacheprovider --durations=6 $* \
	$(addprefix --ignore=,$(filter $*/%,$(SIDE_BY_SIDE))))

lane-types:
	@$(call timed,imports and types,$(BIN)/lint-imports && $(BIN)/mypy && $(BIN)/mypy examples tools/draw_state_machine.py tools/list_files.py)

chaos: setup browser ## kill every process in random order for minutes, and check what clients saw
	CHAOS_S=$${CHAOS_S:-140} $(PYTEST) -q tests/e2e/test_chaos.py
	$(PYTEST) -q -m chaos tests/e2e tests/contract
	HELIX_TEST_REVOCATIONS=10000 $(PYTEST) -q --timeout=1800 tests/e2e/test_replicas.py -k revoked
	HELIX_FUZZ_EXAMPLES=$${HELIX_FUZZ_EXAMPLES:-200} $(PYTEST) -q tests/http/test_fuzz.py
	HELIX_ABOUT_EXAMPLES=$${HELIX_ABOUT_EXAMPLES:-4000} $(PYTEST) -q tests/unit/core/test_about.py
	REMOVAL_ROUNDS=$${REMOVAL_ROUNDS:-400} $(PYTEST) -q tests/http/test_administrators.py
	HELIX_TAMPERS=$${HELIX_TAMPERS:-10000} $(PYTEST) -q tests/unit/test_audit_export.py
	HELIX_HISTORY_TAMPERS=$${HELIX_HISTORY_TAMPERS:-1000} $(PYTEST) -q tests/unit/test_audit_compare.py
	HELIX_FLIPS=$${HELIX_FLIPS:-300} $(PYTEST) -q tests/unit/journal/test_flipping.py
	HELIX_FOREIGN_ANSWERS=1 $(PYTEST) -q tests/unit/cli/test_foreign_servers.py
	HISTORY_SEEDS=$${HISTORY_SEEDS:-300} $(PYTEST) -q tests/contract/test_histories.py
	EVENT_READER_CUTS=$${EVENT_READER_CUTS:-1000} $(PYTEST) -q tests/http/test_event_reader.py
	HELIX_DEVICE_BROWSER=1 HELIX_DEVICE_SEEDS=$${HELIX_DEVICE_SEEDS:-100} $(PYTEST) -q tests/contract/test_devices.py
	HELIX_DEVICE_SCHEDULES=$${HELIX_DEVICE_SCHEDULES:-100000} $(PYTEST) -q tests/properties/test_devices_converge.py
	HELIX_FUZZ_LIVE_EXAMPLES=$${HELIX_FUZZ_LIVE_EXAMPLES:-200} $(PYTEST) -q tests/e2e/test_fuzz_live.py

# What tests run, as program=package: runtimes of examples, the hosts of tests/e2e/hosts.py (which only root can make), and
# the isolation of commands, whose tests are left out on a laptop without it and fail in CI.
TOOLS := go=golang-go node=nodejs sshd=openssh-server ssh=openssh-client rsync=rsync ip=iproute2 bwrap=bubblewrap

tools: headers
	@$(foreach tool,$(TOOLS),$(call debian,$(firstword $(subst =, ,$(tool))),$(lastword $(subst =, ,$(tool))));)

redis:
	@$(call debian,redis-server,redis-server)

browser:
	@$(call debian,chromium-headless-shell,chromium-headless-shell)

$(BENCH_STAMP): requirements-bench.lock $(STAMP)
	@$(PIP) -r requirements-bench.lock -c requirements.lock
	@touch $@

bench: $(BENCH_STAMP) redis ## measure beside raw Ray, Celery, Dask and bare Serve
	$(BIN)/python -m benchmarks

clean: ## remove .venv and every cache
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests examples tools -name __pycache__ -type d -prune -exec rm -rf {} +
