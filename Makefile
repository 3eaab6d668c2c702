# What people do with this repository; CONTRIBUTING.md says more.
#
#   make serve   build and run the server; ARGS="--listen 127.0.0.1:3000" passes flags on
#   make test    install what the tests need, then run all of them
#   make check   what can be judged without running the program
#   make fmt     format the code
#   make web     build the browser client: target/web/npm is the npm package, target/web/page what a page loads

SHELL := /bin/bash

.PHONY: serve web test check fmt land-proto

serve:
	cargo run --release --locked --package peersox -- serve $(ARGS)

web:
	scripts/web

test:
	scripts/test

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked
	scripts/buf lint proto
	scripts/wasm-check
	scripts/web --check

fmt:
	cargo fmt --all

# Records the present protobuf language as landed: nothing in it may break from then on.
land-proto:
	scripts/proto-breaking --land
