//! What the channel costs, by itself and under a seal: `cargo bench -p peersox-core --bench channel`.
//!
//! One message goes the whole way: handed over, cut, packed, taken by the other peer, read, and
//! acknowledged when that is due. What a transport adds is not in it.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod pair;
use pair::{FRAGMENT, Pair, SMALL};

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel, messages of 64 B");
    group.throughput(Throughput::Elements(1));
    let message = Bytes::from(vec![7; SMALL]);
    let mut pair = Pair::plain();
    group.bench_function("plain", |bencher| bencher.iter(|| pair.carry(&message)));
    let mut pair = Pair::sealed();
    group.bench_function("sealed", |bencher| bencher.iter(|| pair.carry(&message)));
    group.finish();
}

fn fragments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel, fragments of 64 KiB");
    group.throughput(Throughput::Bytes(FRAGMENT as u64));
    let message = Bytes::from(vec![7; FRAGMENT]);
    let mut pair = Pair::plain();
    group.bench_function("plain", |bencher| bencher.iter(|| pair.carry(&message)));
    let mut pair = Pair::sealed();
    group.bench_function("sealed", |bencher| bencher.iter(|| pair.carry(&message)));
    group.finish();
}

criterion_group!(benches, messages, fragments);
criterion_main!(benches);
