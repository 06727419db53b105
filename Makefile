# All targets install their requirements: `make demo` and `make test` work on a fresh clone.

VENV := .venv
READY := $(VENV)/.ready

# If the environment disables Python's bytecode cache, each process of the tests, the demo and the
# benchmarks compiles all of Cinder again, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

# Packages that `make test` installs on the host (Debian, Ubuntu) if it has the privileges: servers
# that the tests start, and tools with which they inspect storage.
SERVERS := postgresql mariadb-server-core mariadb-client-core etcd-server etcd-client ceph-mon ceph-mgr ceph-osd ceph-common
# Also for the tests of `make test-slow`: monitoring, the storage type for Proxmox VE, and the image of the service.
SLOW_TOOLS := rbd-mirror prometheus perl libjson-perl buildah mmdebstrap
TOOLS := python3-rados python3-rbd qemu-utils lvm2 e2fsprogs xfsprogs btrfs-progs util-linux

# One process more than the number of processors, because tests wait for servers. All tests of a file
# run in the same process, so that most servers are started only once.
PARALLEL := -n $(shell echo $$(($$(nproc) < 4 ? $$(nproc) + 1 : 4))) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: ready
ready: $(READY) ## Install this project and the packages for the tests into .venv

.PHONY: demo
demo: $(READY) ## Demonstrate real block storage on this host
	@$(VENV)/bin/python -m cinderlib.demo

.PHONY: test
test: $(READY) ## Run the tests, with real servers (ARGS='-k name' selects some)
	@scripts/host-packages $(SERVERS) $(TOOLS)
	@scripts/ceph-modules $(VENV)
	$(VENV)/bin/pytest $(PARALLEL) -m 'not slow' $(ARGS)

.PHONY: test-slow
test-slow: $(READY) ## Run the code of all pages in docs/, the Ansible modules and other slow tests
	@scripts/host-packages $(SERVERS) $(TOOLS) $(SLOW_TOOLS)
	@scripts/ceph-modules $(VENV)
	$(VENV)/bin/pytest $(PARALLEL) --dist loadgroup -m slow \
		$(addprefix --ignore ,tests/drivers tests/fuzz $(CRASH)) $(ARGS)

# Not in the environment: other tests load drivers whose packages are absent.
VENDORS := .cache/vendor-packages

$(VENDORS)/.ready: $(READY) tests/drivers/vendor-packages.txt
	rm -rf $(VENDORS)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
		$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
		--prefix $(CURDIR)/$(VENDORS) --requirement tests/drivers/vendor-packages.txt
	@touch $@

# A separate process loads each driver class of Cinder.
.PHONY: drivers
drivers: $(VENDORS)/.ready ## Test every driver of Cinder (ARGS=--document writes docs/drivers.md)
	@scripts/host-packages python3-rados python3-rbd iproute2
	@scripts/ceph-modules $(VENV)
	$(VENV)/bin/pytest $(PARALLEL) --dist load tests/drivers $(ARGS)

CRASH := $(addprefix tests/crash/test_,crash.py driver_hosts.py failures.py model.py service.py)

# One test tries some hundred steps, which can take minutes on a busy machine.
.PHONY: crash
crash: $(READY) ## Interrupt every operation at every step (make test: a sample)
	@scripts/host-packages $(SERVERS) $(TOOLS)
	CINDERLIB_EXAMPLES=40 $(VENV)/bin/pytest $(PARALLEL) --timeout 1800 --crash=all $(CRASH) $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## Test every loader with 10,000 damaged documents (make test: 300)
	CINDERLIB_MUTATIONS=10000 $(VENV)/bin/pytest --timeout 1800 tests/fuzz $(ARGS)

# In each run, rarely more than one machine is busy. Therefore two runs share the scenarios if there
# are enough processors and memory.
RUNS := $(shell awk -v cpus=$$(nproc) \
	'/MemTotal/ && $$2 > 12e6 && cpus > 1 { print "-n 2 --dist loadscope" }' /proc/meminfo)

# Packages that build and run the virtual machines of the lab.
LAB := qemu-system-x86 qemu-utils mmdebstrap busybox-static cpio kmod e2fsprogs socat

.PHONY: lab
lab: $(READY) ## Attach volumes between virtual machines (SCENARIO=name selects one)
	@scripts/host-packages --require $(LAB)
	@$(VENV)/bin/python -m lab.images
	$(VENV)/bin/python -m pytest lab/scenarios -v $(RUNS) --timeout 900 --durations=12 $(if $(SCENARIO),-k $(SCENARIO)) $(ARGS)

.PHONY: lab-full
lab-full: ## Like lab, with the full length of the slow scenarios
	@$(MAKE) --no-print-directory lab ARGS='--full $(ARGS)'

.PHONY: lab-shell
lab-shell: $(READY) ## Open a shell in a virtual machine (MACHINE=controller, node1, node2, ceph)
	@scripts/host-packages --require $(LAB)
	@$(VENV)/bin/python -m lab.shell $(or $(MACHINE),controller)

.PHONY: bench
bench: $(READY) ## Compare the performance with cinderlib 5.2.0 (ARGS='--quick', ARGS='start attach')
	@$(VENV)/bin/python -c 'import matplotlib' 2>/dev/null || \
		CINDERLIB_RELEASE=1 $(VENV)/bin/python -m pip install -qq --constraint constraints.txt \
		--editable packages/node --editable '.[bench]'
	@$(VENV)/bin/python -m benchmarks $(ARGS)

.PHONY: docs
docs: $(READY) ## Build the site from docs/: build/docs/index.html
	$(VENV)/bin/python -m sphinx -q -W --keep-going docs build/docs
	@echo 'Built build/docs/index.html'

.PHONY: check
check: $(READY) ## Check formatting, lint, types, spelling and English
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell
	$(VENV)/bin/python scripts/prose

.PHONY: everything
everything: ## Run all tests, including those of which CI runs a part; takes hours
	@.ci/run --everything

.PHONY: matrix
matrix: ## Test Python 3.11, 3.12, 3.13 and Cinder 28, 29 with the newest packages
	@"$$(scripts/find-python)" scripts/matrix $(ARGS)

.PHONY: deb
deb: ## Build the Debian package of the storage type for Proxmox VE in dist/
	@scripts/host-packages --require debhelper lintian
	scripts/deb

.PHONY: clean
clean: ## Remove all build results, including .venv
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml packages/node/pyproject.toml constraints.txt scripts/venv
	@scripts/venv $(VENV)
	@touch $@
