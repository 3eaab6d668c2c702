//! What sealing and opening cost: `cargo bench -p peersox-core --bench seal`.
//!
//! Medians, so that what else the machine does weighs little.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use peersox_core::frame::Lane;
use peersox_core::id::PairingId;
use peersox_core::secure::{
    HEADROOM, Handshake, MAX_PLAINTEXT, OVERHEAD, PairingSecret, Transport,
};
use rand_core::{CryptoRng, RngCore};

fn main() {
    let (mut a, mut b) = secured();
    println!("{:>8}  {:>22}  {:>22}", "bytes", "seal", "open");
    for len in [16, 1024, 16 * 1024, MAX_PLAINTEXT] {
        let mut buffer = BytesMut::with_capacity(len + OVERHEAD);
        let mut spent = [Vec::new(), Vec::new()];
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            buffer.clear();
            buffer.put_bytes(0, HEADROOM + len);
            let start = Instant::now();
            a.seal(Lane::Reliable, &mut buffer).expect("it fits");
            let sealed = Instant::now();
            b.open(&mut buffer).expect("it is genuine");
            spent[1].push(sealed.elapsed());
            spent[0].push(sealed - start);
            // Opening cuts the headroom off; the rest of the allocation is taken back.
            buffer.reserve(len + OVERHEAD);
        }
        let [seal, open] = spent.map(|mut spent| {
            let middle = spent.len() / 2;
            let (_, each, _) = spent.select_nth_unstable(middle);
            let gib = len as f64 / f64::from(1 << 30);
            format!("{each:>8.2?} {:>5.2} GiB/s", gib / each.as_secs_f64())
        });
        println!("{len:>8}  {seal:>22}  {open:>22}");
    }

    let start = Instant::now();
    for _ in 0..200 {
        secured();
    }
    println!("handshake, both sides: {:.2?}", start.elapsed() / 200);
}

fn secured() -> (Transport, Transport) {
    let pairing = PairingId::from_bytes([1; 16]);
    let secret = PairingSecret::from_bytes([2; 32]);
    let mut rng = Counting(1);
    let mut first = Handshake::initiate(&pairing, &secret, b"", &mut rng);
    let (b, _, second) = Handshake::respond(&first.first(), &pairing, &secret, b"", &mut rng)
        .expect("the secret is the same");
    let (a, _) = first.finish(&second).expect("the answer is genuine");
    (a, b)
}

/// Anything but random.
struct Counting(u64);

impl RngCore for Counting {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Counting {}
