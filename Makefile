# Two commands matter: `make quickstart` (a first sweep, real output) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install browser quickstart test clean

install: $(INSTALLED)

# The stamp makes a second call instant; a changed pyproject or pin installs again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "raykd needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The tests open the report in a real browser. One that is there is used (tests/report/browser.py);
# else Debian's package where we may install it, else the build that Playwright fetches.
browser: install
	@$(BIN)/python -m tests.report.browser >/dev/null || { \
		if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends \
				chromium fonts-dejavu-core >/dev/null; \
		else $(BIN)/playwright install chromium; fi; \
		$(BIN)/python -m tests.report.browser; }

quickstart: install
	@$(BIN)/raykd sweep sweeps/quickstart.yaml

# Ray's tests start clusters and kill processes: they have the machine to themselves.
test: install browser
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --ignore=tests/cluster
	$(BIN)/pytest tests/cluster

# Sweeps' results (mlflow.db, mlruns) are not rubbish and stay.
clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find raykd tests -name __pycache__ -type d -prune -exec rm -rf {} +
