# What people do with this repository; CONTRIBUTING.md says more.
#
#   make serve   build and run the server; ARGS="--listen 127.0.0.1:3000" passes flags on
#   make test    install what the tests need, then run all of them
#   make check   what can be judged without running the program
#   make fmt     format the code

SHELL := /bin/bash

.PHONY: serve test check fmt land-proto

serve:
	cargo run --release --locked --package peersox -- serve $(ARGS)

test:
	scripts/test

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked
	scripts/buf lint proto
	scripts/wasm-check

fmt:
	cargo fmt --all

# Records the present protobuf language as landed: nothing in it may break from then on.
land-proto:
	scripts/proto-breaking --land
