# Kubevigil: `make run` shows this machine; `make test` is what CI runs. `make help` lists the rest.

CARGO ?= cargo
NPM   ?= npm

# What a release says of itself; development builds leave it out, so that a commit rebuilds nothing.
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null)

# The UI is rebuilt when anything that it is made of is newer than its index page.
UI_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/e2e/*' -not -path 'web/test-results/*' 2>/dev/null)

.PHONY: help run ui build test test-cold lint fmt unit whole e2e bench bench-core bench-store soak fuzz install clean need-cargo need-npm
.PHONY: cluster cluster-down cluster-exec

help: ## list what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: need-cargo web/dist/index.html ## build everything and show this machine (ARGS='--listen …')
	KUBEVIGIL_REVISION=$(REVISION) $(CARGO) run --release --locked -p kubevigil -- $(ARGS)

ui: web/dist/index.html ## build the pages into web/dist

web/dist/index.html: $(UI_SOURCES) | need-npm
	cd web && $(NPM) ci --no-audit --no-fund && $(NPM) run build
	@touch $@

build: need-cargo web/dist/index.html ## build all programs for development
	$(CARGO) build --locked --workspace

install: need-cargo web/dist/index.html ## install kubevigil and kubevigil-agent for this user
	KUBEVIGIL_REVISION=$(REVISION) $(CARGO) install --locked --path crates/kubevigil
	KUBEVIGIL_REVISION=$(REVISION) $(CARGO) install --locked --path crates/kubevigil-agent

test: ## everything that must hold, with the seconds of each stage
	@tests/run

test-cold: ## the same with empty caches in a folder of its own
	@tests/run --cold

lint: need-cargo ## formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: need-cargo ## format the Rust code
	$(CARGO) fmt --all

unit: need-cargo ## the fast tests: each crate by itself
	$(CARGO) test --locked --workspace --exclude kubevigil-tests

whole: build ## the whole-program tests (needs root, and what tests/packages lists)
	$(CARGO) test --locked -p kubevigil-tests -- --skip cluster:: --test-threads=1 --nocapture
	$(CARGO) test --locked -p kubevigil-tests -- cluster:: --test-threads=4 --nocapture

cluster: need-cargo ## start a real Kubernetes on this machine, our image in it (root)
	@tests/cluster/cluster up
	@tests/cluster/cluster load "$$(tests/cluster/image kubevigil)"
	@echo "kubectl apply -f deploy/kubevigil.yaml: make cluster-exec CMD='kubectl apply -f deploy/kubevigil.yaml'"

cluster-down: ## stop it, and remove all that it made
	@tests/cluster/cluster down

cluster-exec: export COMMAND = $(value CMD)
cluster-exec: ## run a command in it (CMD='kubectl top pods -A')
	@tests/cluster/cluster exec sh -c "$$COMMAND"

e2e: build ## the pages in a real browser
	cd web && $(NPM) run e2e -- --binary ../target/debug/kubevigil

bench: need-cargo ## figures of docs/benchmarks.md (root, runc, Go)
	$(CARGO) run --release --locked -p kubevigil-benches

bench-core: need-cargo ## kubevigil server beside metrics-server over hollow nodes (Go; NODES=1,100,1000,5000)
	$(CARGO) run --release --locked -p kubevigil-benches -- core $(if $(NODES),--nodes $(NODES))

bench-store: need-cargo ## the store beside Prometheus and VictoriaMetrics (Go; ARGS=--quick)
	$(CARGO) run --release --locked -p kubevigil-benches -- store $(ARGS)

soak: need-cargo ## the store's crash simulator over 10,000 seeds
	KUBEVIGIL_SEEDS=10000 $(CARGO) test --release --locked -p kubevigil-tsdb -p kubevigil-disk --lib -- --nocapture over_seeds

fuzz: need-cargo ## run each fuzz target for a minute (nightly Rust, cargo-fuzz)
	@for target in $$(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | grep -v -e "^kubevigil-fuzz$$" -e "^canary$$"); do \
		$(CARGO) +nightly fuzz run "$$target" -- -max_total_time=60 || exit 1; done

clean: ## remove what was built
	$(CARGO) clean
	rm -rf web/dist web/node_modules

need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with rustup (https://rustup.rs), then run make again" >&2; exit 1; }

need-npm:
	@command -v $(NPM) >/dev/null || { echo "Node.js 20 or newer with npm is missing: install it (Debian: apt install nodejs npm), then run make again; without pages: cargo run --release -p kubevigil" >&2; exit 1; }
