//! What Redis holds, and under which names.
//!
//! ```text
//! peersox:{B}:p:ID      hash    v: version, r: the pairing in JSON, e: its end, n: nameplate, c: class
//! peersox:{B}:expiry    zset    ID by the time when it is over
//! peersox:{B}:ids       zset    ID, in the order of the names
//! peersox:{B}:spare     zset    ID by (worth, time), while nobody would miss it
//! peersox:{B}:c:CLASS   zset    ID by time, of the codes that wait; a class is length and secret bits
//! peersox:{B}:classes   zset    CLASS by the last time in it
//! peersox:{B}:x:ID      string  nothing: the pairing was revoked in the last ten minutes
//! peersox:{B}:w:ID      channel what happens to the pairing
//! peersox:n:{DIGITS}    string  ID that claims the nameplate, and for how many milliseconds
//! peersox:b:{BUDGET}    string  until when what is spent of a budget flows back
//! ```
//!
//! The hash is the only truth. What is in braces decides the slot of a Cluster, so that all of a bucket B
//! is in one place and one script changes it. A bucket holds the pairings whose names begin alike, so that
//! buckets stand in the order of the names. Outside of a Cluster there is one. Times are milliseconds since
//! 1970. Each key expires by itself.

use peersox_core::code::{Digits, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Pairing, Worth};

/// How many buckets there are: a power of two, 1 to 256. All servers of one Redis have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buckets(pub(super) u16);

impl Buckets {
    /// For one server, or several of which one is the master.
    pub(super) const ONE: Self = Self(1);
    /// For a Cluster: as many as servers that anybody would have.
    pub(super) const CLUSTER: Self = Self(64);

    pub(super) fn all(self) -> impl Iterator<Item = Bucket> {
        (0..self.0).map(Bucket)
    }

    pub(super) fn of(self, id: PairingId) -> Bucket {
        Bucket(u16::from(id.as_bytes()[0]) * self.0 / 256)
    }
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket(u16);

impl Bucket {
    /// How many stand before it.
    pub(super) const fn place(self) -> u16 {
        self.0
    }

    /// What the names of all its keys begin with.
    pub(super) fn prefix(self) -> String {
        format!("{PREFIX}:{{{}}}:", self.0)
    }

    pub(super) fn record(self, id: PairingId) -> String {
        format!("{}p:{id}", self.prefix())
    }

    pub(super) fn index(self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }

    pub(super) fn channel(self, id: PairingId) -> String {
        format!("{}w:{id}", self.prefix())
    }
}

/// The pairing that a channel is about.
pub(super) fn of_channel(channel: &[u8]) -> Option<PairingId> {
    let channel = std::str::from_utf8(channel).ok()?;
    let (_, id) = channel.strip_prefix(PREFIX)?.rsplit_once(":w:")?;
    PairingId::try_from(id.to_owned()).ok()
}

pub(super) fn nameplate(nameplate: &Nameplate) -> String {
    format!("{PREFIX}:n:{{{}}}", nameplate.as_str())
}

pub(super) fn budget(name: &str) -> String {
    format!("{PREFIX}:b:{{{name}}}")
}

/// What a code that waits is counted under.
pub(super) fn class(pairing: &Pairing) -> Option<String> {
    let digits = pairing.nameplate()?.digits().count();
    Some(format!("{digits}:{}", pairing.secret_bits()?))
}

pub(super) fn of_class(class: &str) -> Option<(Digits, u32)> {
    let (digits, bits) = class.split_once(':')?;
    let digits = Digits::new(digits.parse().ok()?)?;
    Some((digits, bits.parse().ok()?))
}

/// By which those that nobody would miss are sorted: worth first, then time. Nothing for those that are
/// wanted. Exact in a double, which is what Redis sorts by.
pub(super) fn spare(pairing: &Pairing) -> Option<u64> {
    let worth = pairing.worth();
    (worth < Worth::Wanted).then(|| worth as u64 * WORTH + pairing.expires_at().as_millis())
}

const PREFIX: &str = "peersox";
/// More than any time in milliseconds until the year 2527.
const WORTH: u64 = 1 << 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_the_order_of_the_names() {
        for buckets in [Buckets::ONE, Buckets::CLUSTER, Buckets(256)] {
            let bucket = |first| buckets.of(PairingId::from_bytes([first; 16]));
            let all: Vec<_> = (0..=255).map(bucket).collect();
            assert!(all.is_sorted());
            assert_eq!(all.first().copied(), buckets.all().next());
            assert_eq!(all.last().copied(), buckets.all().last());
        }
    }

    #[test]
    fn a_channel_names_its_pairing() {
        let id = PairingId::from_bytes([0xab; 16]);
        let channel = Buckets::CLUSTER.of(id).channel(id);
        assert_eq!(of_channel(channel.as_bytes()), Some(id));
        for other in [
            "",
            "peersox",
            "other:{1}:w:00",
            "peersox:{1}:w:zz",
            "peersox:{1}:p:00",
        ] {
            assert_eq!(of_channel(other.as_bytes()), None, "{other}");
        }
        assert_eq!(of_channel(b"\xff"), None);
    }
}
