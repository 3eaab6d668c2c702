//! The group of the PAKE.

use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use spake2::{Ed25519Group, Group};

/// [`Ed25519Group`], with less of it for a page to download.
pub(super) struct Ed25519;

impl Group for Ed25519 {
    type Scalar = Scalar;
    type Element = EdwardsPoint;
    type TranscriptHash = <Ed25519Group as Group>::TranscriptHash;

    fn name() -> &'static str {
        Ed25519Group::name()
    }

    fn const_m() -> EdwardsPoint {
        Ed25519Group::const_m()
    }

    fn const_n() -> EdwardsPoint {
        Ed25519Group::const_n()
    }

    fn const_s() -> EdwardsPoint {
        unreachable!("one side is A, the other is B")
    }

    fn hash_to_scalar(password: &[u8]) -> Scalar {
        Ed25519Group::hash_to_scalar(password)
    }

    fn random_scalar<T: RngCore + CryptoRng>(rng: &mut T) -> Scalar {
        Ed25519Group::random_scalar(rng)
    }

    /// The negation of `curve25519-dalek` reduces a scalar that is reduced, by a multiplication of its own.
    fn scalar_neg(scalar: &Scalar) -> Scalar {
        Scalar::ZERO - scalar
    }

    fn element_to_bytes(element: &EdwardsPoint) -> Vec<u8> {
        Ed25519Group::element_to_bytes(element)
    }

    fn bytes_to_element(bytes: &[u8]) -> Option<EdwardsPoint> {
        Ed25519Group::bytes_to_element(bytes)
    }

    fn element_length() -> usize {
        Ed25519Group::element_length()
    }

    fn basepoint_mult(scalar: &Scalar) -> EdwardsPoint {
        Ed25519Group::basepoint_mult(scalar)
    }

    fn scalarmult(element: &EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        Ed25519Group::scalarmult(element, scalar)
    }

    fn add(a: &EdwardsPoint, b: &EdwardsPoint) -> EdwardsPoint {
        Ed25519Group::add(a, b)
    }
}
