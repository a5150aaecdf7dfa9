# Everything runs in .venv; each target makes it first if it is missing or if the lock or pyproject.toml changed.
#
#   make .venv                                          install, and no more
#   make run [RECIPE=digits] [SET="train.epochs=3 …"]   train, cut, export, prove, publish
#   make test-fast                                      at every save: what needs no TensorFlow, in under two minutes
#   make test | test-long | check | bench               `.ci/run` is `make check test`, and a part of `test-long`
#   make wheel                                          build/wheel/piecehub-….whl, for other environments
#   make engines                                        build other people's stores and cosign for `make test-long`
#   make docs                                           build the site of docs/ into site/
#   make docs-pictures                                  take its pictures again, of .piecehub/, with Debian's chromium
#   make lock [LOCK_FLAGS=--upgrade]                    resolve pyproject.toml into requirements.lock and requirements-gpu.lock
#   make clean                                          remove what the build made; .piecehub/ stays
#
# The package index is whatever pip and uv are configured for: nothing here names one.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: .venv run test test-fast test-long check bench docs docs-pictures wheel engines lock clean

RECIPE ?= digits
SET ?=
LOCK_FLAGS ?=
PYTEST_FLAGS ?=
# Three processes for two processors, since tests wait for others too; each takes whole files: one TensorFlow serves them.
PYTEST := .venv/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 15
GO ?= go
UV_VERSION := 0.13.9
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
FAKE_GCS_VERSION := v1.56.1
COSIGN_VERSION := v2.6.5
AZURITE_VERSION := 3.35.0

# TensorFlow's C++ side logs some twenty lines at every import otherwise.
export TF_CPP_MIN_LOG_LEVEL ?= 2

PYTHON := $(shell for p in python3 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# uv has a small environment of its own: `uv pip sync` removes what the lock does not name, uv itself too.
UV := .venv/uv/bin/uv
COMPILED := pyproject.toml --all-extras --group pipeline --python .venv/bin/python --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet
# Named by content, not by time: a fresh checkout or a touched file installs nothing again.
STAMP := .venv/.installed-$(shell cat Makefile pyproject.toml requirements.lock | cksum | cut -d' ' -f1)

.venv: $(STAMP)

run: $(STAMP)
	.venv/bin/piecehub run $(RECIPE) $(foreach setting,$(SET),--set '$(setting)')

test: $(STAMP)
	$(PYTEST) -m 'not long' $(PYTEST_FLAGS)

test-fast: $(STAMP)
	$(PYTEST) --light -m 'not long and not heavy' $(PYTEST_FLAGS)

test-long: $(STAMP)
	$(PYTEST) -m long $(PYTEST_FLAGS)

check: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	PYTHONPATH=. .venv/bin/lint-imports
	.venv/bin/pyright
	for version in 3.12 3.13; do .venv/bin/pyright --pythonversion "$$version" piecehub; done

bench: $(STAMP)
	for file in benchmarks/bench_*.py; do .venv/bin/python -m "benchmarks.$$(basename "$$file" .py)"; done
	.venv/bin/python -m benchmarks.make_results

# Strict: a link that leads nowhere ends it. It asks no other host, and neither does what it builds.
docs: $(STAMP)
	.venv/bin/mkdocs build --strict --quiet
	@echo "site/index.html; with the search: python3 -m http.server --bind 127.0.0.1 --directory site"

docs-pictures: $(STAMP)
	PYTHONPATH=. .venv/bin/python docs/making/pictures.py

wheel: $(STAMP)
	$(UV) build --quiet --no-build-isolation --python .venv/bin/python --out-dir build/wheel

# Needs Go and npm. `make test-long` runs what wants one of these where it is, and skips the rest by name.
# MinIO's releases are no versions to Go, so it is named by the time and the commit of one.
engines:
	mkdir -p build/engines
	GOBIN="$(CURDIR)/build/engines" $(GO) install github.com/minio/minio@$(MINIO_VERSION)
	GOBIN="$(CURDIR)/build/engines" $(GO) install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_VERSION)
	GOBIN="$(CURDIR)/build/engines" $(GO) install github.com/sigstore/cosign/v2/cmd/cosign@$(COSIGN_VERSION)
	npm install --prefix build/engines --no-audit --no-fund --silent azurite@$(AZURITE_VERSION)

# The second is that of the image for GPUs: the same versions, what TensorFlow brings of CUDA, and nothing for development.
lock: $(UV)
	$(UV) pip compile $(COMPILED) --group dev --output-file requirements.lock $(LOCK_FLAGS)
	sed -n 's/^tensorflow==\([^ ]*\).*/tensorflow[and-cuda]==\1/p' requirements.lock | \
		$(UV) pip compile $(COMPILED) --override - --constraint requirements.lock \
		--output-file requirements-gpu.lock $(LOCK_FLAGS)

clean:
	rm -rf .venv build site .pytest_cache .ruff_cache .import_linter_cache .hypothesis ./*.egg-info
	find . -name .piecehub -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): $(UV)
	@echo "Installing the locked packages into .venv …"
	$(UV) pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-*
	@touch $@

$(UV):
	@[ -n "$(PYTHON)" ] || { echo "Expected Python 3.11 as python3 or python3.11. Received:" \
		"$$(python3 --version 2>/dev/null || echo no python3); install it with its headers" \
		"(on Debian 12: python3.11-dev and python3.11-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import pathlib, sysconfig, sys; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' || { \
		echo "Expected the headers of Python 3.11. Received: no Python.h; install them" \
		"(on Debian 12: python3.11-dev), for some locked packages come as source only." >&2; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || { \
		echo "Expected a C++ compiler. Received: none; install one (on Debian: g++)," \
		"for some locked packages come as source only." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Expected Python's venv module. Received: none; install it (on Debian 12: python3.11-venv)." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PYTHON) -m venv .venv/uv
	.venv/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
