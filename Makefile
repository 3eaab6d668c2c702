# What people do with this repository; CONTRIBUTING.md says more.
#
#   make serve   build and run the server with its page; ARGS="--listen 127.0.0.1:3000" passes flags on;
#                pairings survive a restart in target/state, unless PEERSOX_STATE or --state names another file
#   make test    install what the tests need, then run all of them
#   make check   what can be judged without running the program
#   make fmt     format the code
#   make web     build the browser client, target/web/npm, and the page that the server shows, target/web/site
#   make deb     build a package for Debian and Ubuntu, target/debian/peersox_*.deb; make tarball for other Linuxes
#   make bench   measure what the relay costs beside others, fill docs/performance.md, and fail if it misses what it must
#                reach; three quarters of an hour, ARGS=--quick takes less, ARGS="--only quic,wss" measures these rows

SHELL := /bin/bash

.PHONY: serve web deb tarball bench test check check-rust check-proto check-licences check-wasm check-web fmt land-proto

serve:
	@scripts/page || echo "hint: the page could not be built; the server shows what was built last, or a plain status page" >&2
	@mkdir -p -m 700 target/state
	PEERSOX_STATE=$${PEERSOX_STATE:-target/state/peersox} cargo run --release --locked --package peersox -- serve $(ARGS)

web:
	scripts/page

deb:
	scripts/deb

tarball:
	scripts/tarball

bench:
	bench/measure $(ARGS)

test:
	scripts/test

check: check-rust check-proto check-licences check-wasm check-web

check-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked

check-proto:
	scripts/buf lint proto

check-licences:
	scripts/deny

check-wasm:
	scripts/wasm-check

# After the other one: both build in the same folder.
check-web: check-wasm
	scripts/web --check

fmt:
	cargo fmt --all

# Records the present protobuf language as landed: nothing in it may break from then on.
land-proto:
	scripts/proto-breaking --land
