//! What the file holds, and the rules within one transaction.
//!
//! ```text
//! meta         name              -> bytes         schema: u32 BE; secret: 32 bytes
//! pairings     pairing id        -> record
//! nameplates   digits            -> pairing id    while it waits
//! expiry       (time, id)        -> digits        or none, once it is joined
//! spare        (worth, time, id) -> nothing       while nobody would miss it
//! ```
//!
//! One entry in `expiry` per pairing, one in `nameplates` per waiting one. `spare` is made anew when a
//! file is opened: servers that do not know it leave it as it was. An error leaves a transaction that
//! must not be committed.

use std::ops::Bound;

use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Config, Event, Pairing, Worth, Write};
use peersox_core::time::Timestamp;
use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
    WriteTransaction,
};

use super::{failed, record};
use crate::store::{Commit, Outcome, StoreError, Stored, Version};

type Id = [u8; PairingId::LEN];

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const PAIRINGS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("pairings");
const NAMEPLATES: TableDefinition<'_, &str, &Id> = TableDefinition::new("nameplates");
const EXPIRY: TableDefinition<'_, (u64, &Id), &str> = TableDefinition::new("expiry");
const SPARE: TableDefinition<'_, (u8, u64, &Id), ()> = TableDefinition::new("spare");

pub(super) fn load(
    transaction: &ReadTransaction,
    id: PairingId,
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let pairings = transaction.open_table(PAIRINGS).map_err(failed)?;
    let Some(bytes) = pairings.get(id.as_bytes()).map_err(failed)? else {
        return Ok(None);
    };
    let stored = record::decode(bytes.value())?;
    Ok(Some(stored).filter(|stored| now < stored.pairing.expires_at()))
}

pub(super) fn find(
    transaction: &ReadTransaction,
    nameplate: &Nameplate,
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let nameplates = transaction.open_table(NAMEPLATES).map_err(failed)?;
    let id = nameplates.get(nameplate.as_str()).map_err(failed)?;
    let Some(id) = id.map(|id| PairingId::from_bytes(*id.value())) else {
        return Ok(None);
    };
    load(transaction, id, now)
}

/// The pairings behind one, in the order of the table.
pub(super) fn list(
    transaction: &ReadTransaction,
    after: Option<PairingId>,
    most: usize,
    now: Timestamp,
) -> Result<Vec<Stored>, StoreError> {
    let pairings = transaction.open_table(PAIRINGS).map_err(failed)?;
    let begin = match &after {
        Some(after) => Bound::Excluded(after.as_bytes()),
        None => Bound::Unbounded,
    };
    let range = pairings.range::<&Id>((begin, Bound::Unbounded));
    let mut listed = Vec::new();
    for entry in range.map_err(failed)? {
        if listed.len() == most {
            break;
        }
        let (_, bytes) = entry.map_err(failed)?;
        // One damaged record must not hide the others.
        let stored = record::decode(bytes.value()).ok();
        listed.extend(stored.filter(|stored| now < stored.pairing.expires_at()));
    }
    Ok(listed)
}

/// Counts the codes that wait.
pub(super) fn census(transaction: &ReadTransaction) -> Result<Census, StoreError> {
    let nameplates = transaction.open_table(NAMEPLATES).map_err(failed)?;
    let pairings = transaction.open_table(PAIRINGS).map_err(failed)?;
    let mut census = Census::default();
    for entry in nameplates.iter().map_err(failed)? {
        let (_, id) = entry.map_err(failed)?;
        let Some(bytes) = pairings.get(id.value()).map_err(failed)? else {
            continue;
        };
        // One damaged record must not hide the others.
        let Ok(Stored { pairing, .. }) = record::decode(bytes.value()) else {
            continue;
        };
        if let (Some(nameplate), Some(bits)) = (pairing.nameplate(), pairing.secret_bits()) {
            census.add(nameplate.digits(), bits);
        }
    }
    Ok(census)
}

/// The tables of a write transaction.
pub(super) struct Tables<'a> {
    pairings: Table<'a, &'static Id, &'static [u8]>,
    nameplates: Table<'a, &'static str, &'static Id>,
    expiry: Table<'a, (u64, &'static Id), &'static str>,
    spare: Table<'a, (u8, u64, &'static Id), ()>,
}

/// What a commit did.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// Who had to make room.
    pub(super) evicted: Option<PairingId>,
    /// What those who watch are to be told once it is stored.
    pub(super) news: Option<(PairingId, Version, Event)>,
}

impl<'a> Tables<'a> {
    /// Creates those that are missing.
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            pairings: transaction.open_table(PAIRINGS).map_err(failed)?,
            nameplates: transaction.open_table(NAMEPLATES).map_err(failed)?,
            expiry: transaction.open_table(EXPIRY).map_err(failed)?,
            spare: transaction.open_table(SPARE).map_err(failed)?,
        })
    }

    pub(super) fn commit(&mut self, commit: &Commit, max: usize) -> Result<Done, StoreError> {
        let done = |outcome| {
            let (news, evicted) = (None, None);
            Ok(Done {
                outcome,
                evicted,
                news,
            })
        };
        let (id, next) = match &commit.write {
            Write::Nothing => return done(Outcome::Committed),
            Write::Put(pairing) | Write::Prolong(pairing) => (pairing.id(), Some(pairing)),
            Write::Remove(id) => (*id, None),
        };
        let current = self.current(id)?;
        let version = current.as_ref().map(|stored| stored.version);
        if version != commit.expected {
            return done(Outcome::Conflict);
        }
        let mut evicted = None;
        if let Some(next) = next {
            if self.is_taken(next)? {
                return done(Outcome::NameplateTaken);
            }
            let full = self.pairings.len().map_err(failed)? >= max as u64;
            if current.is_none() && full {
                evicted = self.make_room()?;
                if evicted.is_none() {
                    return done(Outcome::Full);
                }
            }
        }
        let made = version.map_or(Version::FIRST, Version::next);
        if let Some(current) = current {
            self.forget(id, current.pairing.expires_at())?;
        }
        if let Some(next) = next {
            self.remember(next, made)?;
        }
        Ok(Done {
            outcome: Outcome::Committed,
            evicted,
            news: commit.event.map(|event| (id, made, event)),
        })
    }

    /// Forgets what is over by now and names it. Each pairing is forgotten once, so a commit pays
    /// for no more than it once added.
    pub(super) fn forget_until(&mut self, now: Timestamp) -> Result<Vec<PairingId>, StoreError> {
        let mut over = Vec::new();
        while let Some((at, id)) = self.first_to_expire()?
            && at <= now
        {
            self.forget(id, at)?;
            over.push(id);
        }
        Ok(over)
    }

    /// Notes that nobody is attached to a relay, and which pairings nobody would miss. Decodes every
    /// record on the way.
    pub(super) fn clear_presence(
        &mut self,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.spare.retain(|_, ()| false).map_err(failed)?;
        let (mut changed, mut spare) = (Vec::new(), Vec::new());
        for entry in self.pairings.iter().map_err(failed)? {
            let (_, bytes) = entry.map_err(failed)?;
            let Stored { pairing, version } = record::decode(bytes.value())?;
            let cleared = pairing.clone().without_presence(config, now);
            if cleared != pairing {
                changed.push((cleared, version.next(), pairing.expires_at()));
            } else if pairing.worth() < Worth::Wanted {
                spare.push(pairing);
            }
        }
        for (pairing, version, expired_at) in changed {
            self.forget(pairing.id(), expired_at)?;
            self.remember(&pairing, version)?;
        }
        for pairing in spare {
            self.note_spare(&pairing)?;
        }
        Ok(())
    }

    /// Forgets the pairing that is worth least, if nobody would miss it.
    fn make_room(&mut self) -> Result<Option<PairingId>, StoreError> {
        let first = self.spare.first().map_err(failed)?.map(|(key, _)| {
            let (_, at, id) = key.value();
            (Timestamp::from_millis(at), PairingId::from_bytes(*id))
        });
        let Some((at, id)) = first else {
            return Ok(None);
        };
        self.forget(id, at)?;
        Ok(Some(id))
    }

    fn note_spare(&mut self, pairing: &Pairing) -> Result<(), StoreError> {
        let id = pairing.id();
        let worth = pairing.worth();
        if worth < Worth::Wanted {
            let key = (worth as u8, pairing.expires_at().as_millis(), id.as_bytes());
            self.spare.insert(key, ()).map_err(failed)?;
        }
        Ok(())
    }

    fn current(&self, id: PairingId) -> Result<Option<Stored>, StoreError> {
        let bytes = self.pairings.get(id.as_bytes()).map_err(failed)?;
        bytes.map(|bytes| record::decode(bytes.value())).transpose()
    }

    fn is_taken(&self, next: &Pairing) -> Result<bool, StoreError> {
        let Some(nameplate) = next.nameplate() else {
            return Ok(false);
        };
        let holder = self.nameplates.get(nameplate.as_str()).map_err(failed)?;
        Ok(holder.is_some_and(|holder| holder.value() != next.id().as_bytes()))
    }

    fn first_to_expire(&self) -> Result<Option<(Timestamp, PairingId)>, StoreError> {
        let first = self.expiry.first().map_err(failed)?;
        Ok(first.map(|(key, _)| {
            let (at, id) = key.value();
            (Timestamp::from_millis(at), PairingId::from_bytes(*id))
        }))
    }

    fn remember(&mut self, pairing: &Pairing, version: Version) -> Result<(), StoreError> {
        let id = pairing.id();
        let bytes = record::encode(pairing, version)?;
        let nameplate = pairing.nameplate().map_or("", Nameplate::as_str);
        if !nameplate.is_empty() {
            self.nameplates
                .insert(nameplate, id.as_bytes())
                .map_err(failed)?;
        }
        let key = (pairing.expires_at().as_millis(), id.as_bytes());
        self.expiry.insert(key, nameplate).map_err(failed)?;
        self.pairings
            .insert(id.as_bytes(), bytes.as_slice())
            .map_err(failed)?;
        self.note_spare(pairing)
    }

    /// Needs no record, so that a damaged one is forgotten like any other.
    fn forget(&mut self, id: PairingId, expires_at: Timestamp) -> Result<(), StoreError> {
        let key = (expires_at.as_millis(), id.as_bytes());
        let entry = self.expiry.remove(key).map_err(failed)?;
        let nameplate = entry.map(|digits| digits.value().to_owned());
        if let Some(nameplate) = nameplate.filter(|digits| !digits.is_empty()) {
            self.nameplates.remove(nameplate.as_str()).map_err(failed)?;
        }
        self.pairings.remove(id.as_bytes()).map_err(failed)?;
        for worth in [Worth::NeverUsed, Worth::Unattended, Worth::Over] {
            let key = (worth as u8, expires_at.as_millis(), id.as_bytes());
            self.spare.remove(key).map_err(failed)?;
        }
        Ok(())
    }
}

/// How many entries pairings, nameplates, expiry and spare have.
#[cfg(test)]
pub(super) fn count(transaction: &ReadTransaction) -> Result<[u64; 4], StoreError> {
    let pairings = transaction.open_table(PAIRINGS).map_err(failed)?;
    let nameplates = transaction.open_table(NAMEPLATES).map_err(failed)?;
    let expiry = transaction.open_table(EXPIRY).map_err(failed)?;
    let spare = transaction.open_table(SPARE).map_err(failed)?;
    let counts = [pairings.len(), nameplates.len(), expiry.len(), spare.len()];
    let [pairings, nameplates, expiry, spare] = counts.map(|count| count.map_err(failed));
    Ok([pairings?, nameplates?, expiry?, spare?])
}

/// Puts something in a record's place that is none.
#[cfg(test)]
pub(super) fn damage(transaction: &WriteTransaction, id: PairingId) {
    let mut pairings = transaction.open_table(PAIRINGS).unwrap();
    let junk = b"\x01 no record".as_slice();
    pairings.insert(id.as_bytes(), junk).unwrap();
}
