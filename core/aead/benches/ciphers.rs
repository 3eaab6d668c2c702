//! What a native program seals with, beside RustCrypto's: `cargo bench -p peersox-aead`.

use std::hint::black_box;

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peersox_aead::Key;

/// A chat message, and the largest record.
const LENGTHS: [usize; 4] = [64, 1024, 16 * 1024, 65_506];

/// The head of a record: lane, type, session, counter.
const AAD: [u8; 14] = [1; 14];

fn ciphers(criterion: &mut Criterion) {
    let key = black_box([7; 32]);
    let (native, reference) = (Key::new(&key), ChaCha20Poly1305::new(&key.into()));
    for len in LENGTHS {
        let mut group = criterion.benchmark_group(format!("{len} B"));
        group.throughput(Throughput::Bytes(len as u64));
        let mut text = vec![0; len];
        // A text that is sealed again and again needs as much work as any other.
        group.bench_function(BenchmarkId::new("seal", "native"), |bencher| {
            bencher.iter(|| native.seal([1; 12], &AAD, &mut text));
        });
        group.bench_function(BenchmarkId::new("seal", "RustCrypto"), |bencher| {
            let nonce = [1; 12].into();
            bencher.iter(|| reference.encrypt_in_place_detached(&nonce, &AAD, &mut text));
        });
    }
}

criterion_group!(benches, ciphers);
criterion_main!(benches);
