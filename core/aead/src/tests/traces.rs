//! A key leaves no copy behind.

use std::hint::black_box;

use zeroize::zeroize_stack;

use super::memory::Masked;
use crate::{Forged, Key};

/// `ring` has other code for each of these.
const LENGTHS: [usize; 9] = [0, 1, 64, 100, 129, 300, 1_000, 5_000, 65_536];

#[test]
fn while_a_key_lives_it_is_in_its_place_and_nowhere_else() {
    let secret = secret(151);
    let key = key_of(&secret);
    for len in LENGTHS {
        work(&key, len);
        assert_eq!(secret.halves_in_memory(), 2, "after a text of {len} bytes");
    }
    drop(black_box(key));
}

#[test]
fn a_key_that_goes_leaves_no_copy() {
    let secret = secret(101);
    let key = key_of(&secret);
    for len in LENGTHS {
        work(&key, len);
    }
    drop(key);
    assert_eq!(secret.halves_in_memory(), 0);
}

fn work(key: &Key, len: usize) {
    let mut text = vec![7; len];
    let tag = key.seal([1; 12], b"aad", &mut text);
    let mut forged = text.clone();
    assert_eq!(key.open([1; 12], b"", &mut forged, &tag), Err(Forged));
    assert_eq!(key.open([1; 12], b"aad", &mut text, &tag), Ok(()));
}

fn secret(seed: usize) -> Masked {
    without_traces(|| {
        let key = std::array::from_fn(|at| (at * seed + 89).to_le_bytes()[0]);
        Masked::new(&key)
    })
}

fn key_of(secret: &Masked) -> Box<Key> {
    without_traces(|| Box::new(Key::new(&secret.unmasked())))
}

/// What the test itself leaves on the stack is not what is tested.
fn without_traces<T>(what: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn run<T>(what: impl FnOnce() -> T) -> T {
        what()
    }
    let made = run(what);
    zeroize_stack::<4096>();
    made
}
