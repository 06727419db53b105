# Everything here sets itself up: `make demo` and `make test` work on a fresh clone.

VENV := .venv
READY := $(VENV)/.ready

# A machine may forbid Python to keep what it compiled; each process that the tests, the demo and the
# benchmarks start would then compile all of Cinder anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

# What `make test` installs on the host (Debian, Ubuntu) when it may: the servers that the tests start
# for themselves, and the tools that they look at storage with.
SERVERS := postgresql mariadb-server-core mariadb-client-core ceph-mon ceph-mgr ceph-osd ceph-common
TOOLS := python3-rados python3-rbd lvm2 e2fsprogs xfsprogs btrfs-progs util-linux

# One process more than there are processors, since tests wait for servers. Tests of a file stay in one,
# so that a server is started once, or seldom more often.
PARALLEL := -n $(shell echo $$(($$(nproc) < 4 ? $$(nproc) + 1 : 4))) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: ready
ready: $(READY) ## Install this project and what its tests need into .venv

.PHONY: demo
demo: $(READY) ## Watch real block storage work on this machine
	@$(VENV)/bin/python -m cinderlib.demo

.PHONY: test
test: $(READY) ## Run the tests, with real servers (ARGS='-k name' for some)
	@scripts/host-packages $(SERVERS) $(TOOLS)
	@scripts/ceph-modules $(VENV)
	$(VENV)/bin/pytest $(PARALLEL) -m 'not slow' $(ARGS)

.PHONY: test-slow
test-slow: $(READY) ## Run the code of every page in docs/, Ansible's modules, what takes long
	@scripts/host-packages $(SERVERS) $(TOOLS)
	@scripts/ceph-modules $(VENV)
	$(VENV)/bin/pytest $(PARALLEL) --dist loadgroup -m slow --ignore tests/drivers $(ARGS)

# Each class of Cinder's drivers is loaded in a process of its own.
.PHONY: drivers
drivers: $(READY) ## Try every driver of Cinder, and arrays that Cinder's tests simulate
	$(VENV)/bin/pytest $(PARALLEL) --dist load tests/drivers $(ARGS)

CRASH := $(addprefix tests/crash/test_,crash.py failures.py model.py)

# One test tries some hundred points, which can take a machine that is busy minutes.
.PHONY: crash
crash: $(READY) ## Kill and fail every operation at every step (make test tries a sample)
	@scripts/host-packages $(SERVERS) $(TOOLS)
	CINDERLIB_EXAMPLES=40 $(VENV)/bin/pytest $(PARALLEL) --timeout 1800 --crash=all $(CRASH) $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## Give every loader 10,000 documents that are damaged (make test: 300)
	CINDERLIB_MUTATIONS=10000 $(VENV)/bin/pytest --timeout 1800 tests/fuzz $(ARGS)

# Of a run's machines hardly more than one works at a time, so that two runs share the scenarios where
# there are processors and memory for both.
RUNS := $(shell awk -v cpus=$$(nproc) \
	'/MemTotal/ && $$2 > 12e6 && cpus > 1 { print "-n 2 --dist loadscope" }' /proc/meminfo)

# What the lab's virtual machines are made with and run on.
LAB := qemu-system-x86 qemu-utils mmdebstrap busybox-static cpio kmod e2fsprogs socat

.PHONY: lab
lab: $(READY) ## Attach volumes between virtual machines (SCENARIO=name for one)
	@scripts/host-packages --require $(LAB)
	@$(VENV)/bin/python -m lab.images
	$(VENV)/bin/python -m pytest lab/scenarios -v $(RUNS) --timeout 900 --durations=12 $(if $(SCENARIO),-k $(SCENARIO)) $(ARGS)

.PHONY: lab-full
lab-full: ## The same, with the scenarios that take long in full length
	@$(MAKE) --no-print-directory lab ARGS='--full $(ARGS)'

.PHONY: lab-shell
lab-shell: $(READY) ## A shell in a virtual machine (MACHINE=controller, node1, node2, ceph)
	@scripts/host-packages --require $(LAB)
	@$(VENV)/bin/python -m lab.shell $(or $(MACHINE),controller)

.PHONY: bench
bench: $(READY) ## Measure it beside cinderlib 5.2.0 (ARGS='--quick', ARGS='start attach')
	@$(VENV)/bin/python -c 'import matplotlib' 2>/dev/null || \
		CINDERLIB_RELEASE=1 $(VENV)/bin/python -m pip install -qq --constraint constraints.txt \
		--editable packages/node --editable '.[bench]'
	@$(VENV)/bin/python -m benchmarks $(ARGS)

.PHONY: docs
docs: $(READY) ## Make a site of docs/: build/docs/index.html
	$(VENV)/bin/python -m sphinx -q -W --keep-going docs build/docs
	@echo 'Made build/docs/index.html'

.PHONY: check
check: $(READY) ## Formatting, lint, types, spelling and English
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell
	$(VENV)/bin/python scripts/prose

.PHONY: everything
everything: ## All that CI runs, and all of what CI runs a part of; takes hours
	@.ci/run --everything

.PHONY: matrix
matrix: ## Python 3.11, 3.12, 3.13 and Cinder 28, 29 with today's packages
	@"$$(scripts/find-python)" scripts/matrix $(ARGS)

.PHONY: clean
clean: ## Remove what was made, the environment too
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml packages/node/pyproject.toml constraints.txt scripts/venv
	@scripts/venv $(VENV)
	@touch $@
