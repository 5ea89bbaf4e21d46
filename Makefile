# Two commands matter: `make quickstart` (a first sweep, real output) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

PEERS := benchmarks/.venv
PEERS_INSTALLED := $(PEERS)/.installed

.PHONY: install browser postgres quickstart test test-long audit advisories bench bench-quick gpu-check clean

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

# The tests of a team's store start a PostgreSQL of their own.
postgres:
	@test -x "$$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -1)" || command -v initdb >/dev/null || { \
		if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; \
		else echo "install PostgreSQL's server: apt-get install postgresql" >&2; exit 1; fi; }

quickstart: install
	@$(BIN)/raykd quickstart

# Two workers, a file at a time, the longest files first (tests/conftest.py), so that both end
# together. Ray's workers would step back behind everything else on the machine.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive RAY_worker_niceness=0 \
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test: install browser postgres
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python deploy/audit.py
	$(PYTEST) -m "not long"

# What a push need not wait for, as long as what is tested has not changed: tests/long.json says.
test-long: install
	$(BIN)/python tests/long.py

# The pins against a copy of the advisory database, without a network; and that copy, which needs one.
audit: install
	@$(BIN)/python deploy/audit.py

advisories: install
	@work=$$(mktemp -d) && trap "rm -rf $$work" EXIT && \
		git clone --quiet --depth 1 https://github.com/pypa/advisory-database $$work && \
		$(BIN)/python deploy/audit.py --from $$work

# raykd beside what people use today, in one run: about 25 minutes on 2 cores, which it wants for
# itself. Writes benchmarks/results.{json,md,svg}.
bench: install $(PEERS_INSTALLED)
	@$(BIN)/python -m benchmarks.run

# A part of it in under 5 minutes; the same JSON to a path of yours: make bench-quick OUT=x.json
OUT ?= benchmarks/quick.json
bench-quick: install $(PEERS_INSTALLED)
	@$(BIN)/python -m benchmarks.run --quick --out $(OUT)

# Whether raykd works on this machine's GPU, and how fast: at most eight minutes on one GPU. Writes
# benchmarks/gpu.{json,md}. On a bare machine with torch and transformers (2.11 and 5.17 will do),
# without make and without a network, from the root of this tree: `python3 -m benchmarks.gpu_check`.
# Wheels that have to come along there, where they are not: scipy==1.17.1 psutil==7.2.2
# scikit-learn==1.9.1. Nothing of Ray, MLflow, Optuna or pydantic.
gpu-check: install
	@$(BIN)/python -m benchmarks.gpu_check

# The peers have an environment of their own. torchdistill is installed without what it requires:
# torchvision, whose usual wheel does not load beside a torch without CUDA (arms/torchdistill.py).
$(PEERS_INSTALLED): benchmarks/peers-constraints.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "Installing the peers into $(PEERS) (a few minutes the first time)"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c benchmarks/peers-constraints.txt torch transformers accelerate textbrewer \
		numpy pillow psutil pyyaml safetensors scipy
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		-c benchmarks/peers-constraints.txt torchdistill
	@touch $@

# Sweeps' results (mlflow.db, mlruns) are not rubbish and stay.
clean:
	rm -rf .venv $(PEERS) benchmarks/.work .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find raykd tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
