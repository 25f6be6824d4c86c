PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPEN_CLIP := .venv-open-clip
AUDIT := .venv-audit

.PHONY: demo test test-cluster test-open-clip first-hour audit-dependencies check docs install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/srrs demo --out demo-out

test: install
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

# Two Ray nodes on this machine. They take most of a minute to start.
test-cluster: install
	$(BIN)/python -m pytest -q -m cluster tests/bench

# open_clip needs torchvision, whose build from PyPI wants PyPI's torch beside it: an environment of its own.
$(OPEN_CLIP)/installed: pyproject.toml constraints.txt constraints-open-clip.txt
	$(PYTHON) -m venv $(OPEN_CLIP)
	grep -v '^torch==' constraints.txt > $(OPEN_CLIP)/constraints.txt
	$(OPEN_CLIP)/bin/pip install --quiet --disable-pip-version-check -c $(OPEN_CLIP)/constraints.txt \
		-c constraints-open-clip.txt -e '.[open-clip]' pytest
	touch $@

test-open-clip: $(OPEN_CLIP)/installed
	$(OPEN_CLIP)/bin/python -m pytest -q tests/models/test_openclip.py

# Builds the wheel, installs it, and does what a new user does in the first hour. Takes a minute or two.
first-hour: install
	$(BIN)/python -m pytest -q tests/first_hour.py

$(AUDIT)/installed:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check pip-audit
	touch $@

audit-dependencies: $(AUDIT)/installed
	$(AUDIT)/bin/python .ci/audit_dependencies.py $(AUDIT)/bin/pip-audit constraints.txt

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "written: site/index.html"

$(VENV)/docs: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(OPEN_CLIP) $(AUDIT) demo-out site
