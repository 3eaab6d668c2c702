//! Sealing: records under keys of one handshake, one direction and one lane.
//!
//! ```text
//! offset 0      1      2         6           14                          len-16      len
//!        +------+------+---------+-----------+----------------------------+----------+
//!        | lane | 0x03 | session | counter   | ciphertext                 | tag      |
//!        +------+------+---------+-----------+----------------------------+----------+
//!        |<------- additional data --------->|
//!
//! nonce   = 00 00 00 00 ‖ counter           ChaCha20-Poly1305 (RFC 8439)
//! session = the first 4 bytes of the attempt
//! epoch   = counter >> 18
//! 30 <= len <= 65,536
//! ```
//!
//! Each lane counts its own records from 0. The key changes with the epoch, so every 2^18 records,
//! which are 16 GiB at most, or earlier when the sender skips to the next epoch
//! ([`Transport::rekey`]). Keys of later epochs follow from those of earlier ones, never the other
//! way round, and keys that are passed are erased:
//!
//! ```text
//! key(k)   -- "initiator" | "joiner", lane --> chain 0 -- "next" --> chain 1 -- "next" --> ...
//!                                                 | "key"               | "key"
//!                                                 v                     v
//!                                              key of epoch 0        key of epoch 1
//! ```
//!
//! An opener keeps the newest epoch that proved authentic and the one used before it. The older one
//! goes once [`GRACE`] records were opened in the newer. A forged header moves nothing.

use bytes::{Buf as _, Bytes, BytesMut};
use peersox_aead as aead;

use super::failure::{SealError, Violation};
use super::keys::{self, Key};
use super::replay::Window;
use super::wire::{Attempt, RECORD};
use crate::frame::Lane;
use crate::role::Role;

/// Bytes that [`Transport::seal`] writes before the plaintext, the lane byte included.
pub const HEADROOM: usize = 14;

/// Bytes of the tag behind the ciphertext.
pub const TAG_LEN: usize = aead::TAG_LEN;

/// How much longer a frame is than its plaintext.
pub const OVERHEAD: usize = HEADROOM + TAG_LEN;

/// The longest plaintext of a record: what fits into a frame of 65,536 bytes. A relay may allow
/// less on a lane; that is its limits' to say.
pub const MAX_PLAINTEXT: usize = 65_536 - OVERHEAD;

/// An epoch has 2^18 records.
const EPOCH_BITS: u32 = 18;

/// How many records an opener still opens of the epoch before.
const GRACE: u64 = Window::SIZE;

/// How many epochs at once an opener goes ahead: the records of all between were lost.
const MAX_AHEAD: u64 = 16;

/// The traffic keys of one handshake, both directions.
pub struct Transport {
    attempt: Attempt,
    sealers: [Sealer; 3],
    openers: [Opener; 3],
}

impl Transport {
    /// Derives the keys for a peer in `role`. `split` are the two keys of Noise's `Split()`, the
    /// initiator's direction first; `hash` is the handshake hash.
    pub(super) fn new(role: Role, attempt: Attempt, split: &[Key; 2], hash: &[u8]) -> Self {
        let chain = |sender: Role, lane: Lane| {
            let prk = keys::extract(hash, &*split[sender.index()]);
            let names = [sender.as_str().as_bytes(), lane.as_str().as_bytes()];
            keys::expand_key(&prk, &[b"records", names[0], names[1]])
        };
        let sealer = |lane| Sealer::new(&chain(role, lane));
        let opener = |lane| Opener::new(&chain(role.other(), lane));
        let [first, second, third] = LANES;
        Self {
            attempt,
            sealers: [sealer(first), sealer(second), sealer(third)],
            openers: [opener(first), opener(second), opener(third)],
        }
    }

    /// Seals a record in place. `buffer` holds [`HEADROOM`] bytes of any content, then the plaintext;
    /// afterwards it is a complete frame, lane byte first. Allocates nothing if the buffer has
    /// [`TAG_LEN`] bytes of capacity left.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is then as it was.
    pub fn seal(&mut self, lane: Lane, buffer: &mut Vec<u8>) -> Result<(), SealError> {
        let sealer = &mut self.sealers[index(lane).ok_or(SealError::NoticeLane)?];
        if buffer.len() < HEADROOM || buffer.len() > HEADROOM + MAX_PLAINTEXT {
            return Err(SealError::Length);
        }
        let session = session(self.attempt);
        let counter = sealer.next()?;
        let (header, plaintext) = buffer.split_at_mut(HEADROOM);
        header[0] = lane as u8;
        header[1] = RECORD;
        header[2..6].copy_from_slice(&session);
        header[6..].copy_from_slice(&counter.to_be_bytes());
        let tag = sealer.cipher.seal(nonce(counter), header, plaintext);
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens a frame in place: `buffer` is cut down to the plaintext. An empty plaintext is what ends
    /// a handshake and means nothing to the application.
    ///
    /// # Errors
    /// [`Violation`]; the window is then as it was. Of a [`Violation::Forged`] record only the header is
    /// left; what follows it is worthless.
    pub fn open(&mut self, buffer: &mut BytesMut) -> Result<Lane, Violation> {
        let (header, opener) = self.opener(buffer)?;
        let (head, rest) = buffer.split_at_mut(HEADROOM);
        let (ciphertext, tag) = rest.split_last_chunk_mut().ok_or(Violation::Malformed)?;
        opener.open(header.counter, head, ciphertext, tag)?;
        buffer.truncate(buffer.len() - TAG_LEN);
        buffer.advance(HEADROOM);
        Ok(header.lane)
    }

    /// Opens a frame in place if nobody else holds its memory. Of a part of a read buffer that is in
    /// use, only what becomes the plaintext is copied, and that once.
    pub(super) fn open_frame(&mut self, frame: Bytes) -> Result<(Lane, Bytes), Violation> {
        let frame = match frame.try_into_mut() {
            Ok(mut alone) => {
                let lane = self.open(&mut alone)?;
                return Ok((lane, alone.freeze()));
            }
            Err(shared) => shared,
        };
        let (header, opener) = self.opener(&frame)?;
        let (head, rest) = frame.split_at(HEADROOM);
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(Violation::Malformed)?;
        let mut copy = BytesMut::from(ciphertext);
        opener.open(header.counter, head, &mut copy, tag)?;
        Ok((header.lane, copy.freeze()))
    }

    /// Reads the header of a frame and finds who opens it.
    fn opener(&mut self, frame: &[u8]) -> Result<(Header, &mut Opener), Violation> {
        let header = Header::parse(frame)?;
        if header.session != self.session() {
            return Err(Violation::UnknownSession);
        }
        let opener = &mut self.openers[index(header.lane).ok_or(Violation::WrongLane)?];
        Ok((header, opener))
    }

    /// Moves every lane that sealed something in its epoch on to the next one. Both sides' old keys
    /// go with it. A shell calls this once an hour.
    pub fn rekey(&mut self) {
        for sealer in &mut self.sealers {
            sealer.skip();
        }
    }

    /// The session that stands in the header of its records.
    pub(super) const fn session(&self) -> [u8; 4] {
        session(self.attempt)
    }

    /// The attempt that these keys come from.
    pub(super) const fn attempt(&self) -> Attempt {
        self.attempt
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport(redacted)")
    }
}

/// The head of a record, not yet authenticated.
pub(super) struct Header {
    lane: Lane,
    pub(super) session: [u8; 4],
    counter: u64,
}

impl Header {
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Violation> {
        if frame.len() < OVERHEAD || frame.len() > MAX_PLAINTEXT + OVERHEAD {
            return Err(Violation::Malformed);
        }
        let (&[lane, RECORD, a, b, c, d], rest) =
            frame.split_first_chunk().ok_or(Violation::Malformed)?
        else {
            return Err(Violation::Malformed);
        };
        let (counter, _) = rest.split_first_chunk().ok_or(Violation::Malformed)?;
        Ok(Self {
            lane: Lane::try_from(lane).map_err(|_| Violation::Malformed)?,
            session: [a, b, c, d],
            counter: u64::from_be_bytes(*counter),
        })
    }
}

const LANES: [Lane; 3] = [Lane::Reliable, Lane::Datagram, Lane::Signal];

const fn index(lane: Lane) -> Option<usize> {
    match lane {
        Lane::Notice => None,
        Lane::Reliable => Some(0),
        Lane::Datagram => Some(1),
        Lane::Signal => Some(2),
    }
}

struct Sealer {
    /// The counter of the next record, or nothing once all are used.
    next: Option<u64>,
    /// The chain key of the epoch after the cipher's.
    chain: Key,
    epoch: u64,
    cipher: aead::Key,
}

impl Sealer {
    fn new(chain: &Key) -> Self {
        let (cipher, chain) = ratchet(chain);
        Self {
            next: Some(0),
            chain,
            epoch: 0,
            cipher,
        }
    }

    fn next(&mut self) -> Result<u64, SealError> {
        let counter = self.next.ok_or(SealError::Exhausted)?;
        self.next = counter.checked_add(1);
        if counter >> EPOCH_BITS != self.epoch {
            (self.cipher, self.chain) = ratchet(&self.chain);
            self.epoch += 1;
        }
        Ok(counter)
    }

    fn skip(&mut self) {
        let Some(next) = self.next else { return };
        if next.trailing_zeros() < EPOCH_BITS {
            self.next = ((next >> EPOCH_BITS) + 1).checked_mul(1 << EPOCH_BITS);
            // At once, not with the next record: a quiet lane shall not keep its old key.
            (self.cipher, self.chain) = ratchet(&self.chain);
            self.epoch += 1;
        }
    }
}

struct Opener {
    /// The chain key of the epoch after the newest.
    chain: Key,
    newest: Epoch,
    before: Option<Epoch>,
}

struct Epoch {
    number: u64,
    cipher: aead::Key,
    window: Window,
    opened: u64,
}

impl Opener {
    fn new(chain: &Key) -> Self {
        let (cipher, chain) = ratchet(chain);
        Self {
            chain,
            newest: Epoch::new(0, cipher),
            before: None,
        }
    }

    fn open(
        &mut self,
        counter: u64,
        head: &[u8],
        ciphertext: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Violation> {
        let number = counter >> EPOCH_BITS;
        if number > self.newest.number {
            return self.open_ahead(counter, head, ciphertext, tag);
        }
        if number == self.newest.number {
            self.newest.open(counter, head, ciphertext, tag)?;
            if self.newest.opened > GRACE {
                self.before = None;
            }
            return Ok(());
        }
        match &mut self.before {
            Some(before) if before.number == number => before.open(counter, head, ciphertext, tag),
            _ => Err(Violation::TooOld),
        }
    }

    /// Tries the key of a later epoch, and moves there only if the record is authentic.
    fn open_ahead(
        &mut self,
        counter: u64,
        head: &[u8],
        ciphertext: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Violation> {
        let number = counter >> EPOCH_BITS;
        let ahead = number - self.newest.number;
        if ahead > MAX_AHEAD {
            return Err(Violation::TooFarAhead);
        }
        let (mut cipher, mut chain) = ratchet(&self.chain);
        for _ in 1..ahead {
            (cipher, chain) = ratchet(&chain);
        }
        let mut epoch = Epoch::new(number, cipher);
        epoch.open(counter, head, ciphertext, tag)?;
        self.chain = chain;
        self.before = Some(std::mem::replace(&mut self.newest, epoch));
        Ok(())
    }
}

impl Epoch {
    const fn new(number: u64, cipher: aead::Key) -> Self {
        Self {
            number,
            cipher,
            window: Window::new(),
            opened: 0,
        }
    }

    fn open(
        &mut self,
        counter: u64,
        head: &[u8],
        ciphertext: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Violation> {
        let place = counter & ((1 << EPOCH_BITS) - 1);
        self.window.check(place)?;
        self.cipher
            .open(nonce(counter), head, ciphertext, tag)
            .map_err(|_| Violation::Forged)?;
        self.window.mark(place);
        self.opened += 1;
        Ok(())
    }
}

/// The cipher of the epoch whose chain key this is, and the chain key of the next.
fn ratchet(chain: &Key) -> (aead::Key, Key) {
    let key = keys::expand_key(chain, &[b"key"]);
    let cipher = aead::Key::new(&key);
    (cipher, keys::expand_key(chain, &[b"next"]))
}

const fn session([a, b, c, d, ..]: Attempt) -> [u8; 4] {
    [a, b, c, d]
}

fn nonce(counter: u64) -> [u8; aead::NONCE_LEN] {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests;
