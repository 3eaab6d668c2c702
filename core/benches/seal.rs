//! What sealing and opening cost: `cargo bench -p peersox-core --bench seal`.

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peersox_core::frame::Lane;
use peersox_core::id::PairingId;
use peersox_core::secure::{
    HEADROOM, Handshake, MAX_PLAINTEXT, OVERHEAD, PairingSecret, Transport,
};

mod pair;
use pair::Counting;

const LENGTHS: [usize; 4] = [64, 1024, 16 * 1024, MAX_PLAINTEXT];

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len as u64));
        let (mut a, _) = secured();
        let mut buffer = Vec::with_capacity(len + OVERHEAD);
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter(|| {
                // Writing the plaintext is not sealing: the bytes of the last turn are sealed again.
                buffer.resize(HEADROOM + len, 0);
                a.seal(Lane::Reliable, &mut buffer).expect("it fits");
            });
        });
        let (mut a, mut b) = secured();
        group.bench_function(BenchmarkId::new("open", len), |bencher| {
            bencher.iter_batched_ref(
                || sealed(&mut a, len),
                |frame| b.open(frame).expect("it is genuine"),
                // 4 MiB at most: each record is opened once, so a batch of them is made beforehand.
                BatchSize::NumIterations(64),
            );
        });
    }
    group.finish();
}

fn handshake(criterion: &mut Criterion) {
    criterion.bench_function("handshake, both sides", |bencher| bencher.iter(secured));
}

fn sealed(transport: &mut Transport, len: usize) -> BytesMut {
    let mut buffer = vec![0; HEADROOM + len];
    transport
        .seal(Lane::Reliable, &mut buffer)
        .expect("it fits");
    BytesMut::from(&buffer[..])
}

fn secured() -> (Transport, Transport) {
    let pairing = PairingId::from_bytes([1; 16]);
    let secret = PairingSecret::from_bytes([2; 32]);
    let mut rng = Counting(1);
    let first = Handshake::initiate(&pairing, &secret, b"", &mut rng);
    let (b, _, second) = Handshake::respond(&first.first(), &pairing, &secret, b"", &mut rng)
        .expect("the secret is the same");
    let (a, _) = first.finish(&second).expect("the answer is genuine");
    (a, b)
}

criterion_group!(benches, records, handshake);
criterion_main!(benches);
