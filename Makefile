# Two commands matter: `make demo` and `make test`. Both set up all they need on a new machine.
# System packages come through apt, with sudo only if this is not root; Python's go into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# What the lab needs, and what the tests compare with besides.
LAB_TOOLS := nft ip unshare nsenter
LAB_PACKAGES := nftables iproute2 util-linux
TEST_TOOLS := $(LAB_TOOLS) nmap masscan zmap tshark tcpdump capinfos setpriv chromium chromedriver
TEST_PACKAGES := $(LAB_PACKAGES) nmap masscan zmap tshark tcpdump wireshark-common chromium \
	chromium-driver fonts-dejavu-core
BENCH_TOOLS := $(LAB_TOOLS) taskset nmap tshark masscan zmap
BENCH_PACKAGES := $(LAB_PACKAGES) nmap tshark masscan zmap

.PHONY: help venv demo test check format lint types imports lab docs captures bench bench-captures clean

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(VENV)/.installed ## Make .venv; the program is then .venv/bin/rawscan

# Debian splits venv from python3; ensurepip is the part that is missing then.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call apt,python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Installs the packages $(1), quietly, and only says so if it has to.
apt = { echo "installing $(1)"; $(SUDO) apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -qq -y --no-install-recommends $(1) >/dev/null; }
# Are all of the tools $(1) there? Debian keeps some where a user's PATH does not look.
have = PATH="$$PATH:/usr/sbin:/sbin" sh -c 'for t in $(1); do command -v $$t >/dev/null || exit 1; done'

demo: venv ## Scan port 561 over the built-in lab, then read the recording back
	@$(call have,$(LAB_TOOLS)) || $(call apt,$(LAB_PACKAGES))
	$(BIN)/rawscan lab demo

lab: venv ## Open a shell in the lab
	@$(call have,$(LAB_TOOLS)) || $(call apt,$(LAB_PACKAGES))
	$(BIN)/rawscan lab shell

test: venv ## Run all tests, those with namespaces and peers too
	@$(call have,$(TEST_TOOLS)) || $(call apt,$(TEST_PACKAGES))
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint types imports test ## Format, lint, types, imports and tests

format: venv ## Put the code into the one format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: venv ## Is the code in its one format, and free of known mistakes?
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: venv ## Check the types
	$(BIN)/mypy

imports: venv ## Check that imports go down the floors only
	$(BIN)/lint-imports

docs: venv ## Make what is made from the code: the reference of the rules
	$(BIN)/python docs/make_reference.py

captures: venv ## Make the curated captures again
	@$(call have,$(LAB_TOOLS)) || $(call apt,$(LAB_PACKAGES))
	for make in captures/*/make.py; do $(BIN)/python $$make || exit 1; done

bench: venv ## Measure rawscan beside its peers, in namespaces of its own
# A peer that cannot be installed is said to be missing; the rest is measured all the same.
	@$(call have,$(BENCH_TOOLS)) || $(call apt,$(BENCH_PACKAGES)) || true
# An installed program has its bytecode.
	$(BIN)/python -m compileall -q rawscan
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

bench-captures: venv ## Measure rawscan beside tcpdump, tshark and zcat, on captures of its own
	@$(call have,$(TEST_TOOLS)) || $(call apt,$(TEST_PACKAGES))
	$(BIN)/python -m benchmarks.captures

clean: ## Remove what these targets have made
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis
