//! An offer in parts, each encoded when its turn comes: all of them at once are as large as the offer.

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;
use prost::Message as _;

use super::super::message::{self, PART_BYTES};
use super::super::{Abilities, Link, Offer};

/// How much of an offer is encoded.
#[derive(Debug)]
pub(super) struct Parts {
    entry: usize,
    link: usize,
    original: usize,
    /// Links follow entries evenly, because a part without an entry is a fault to older receivers.
    links_per_entry: usize,
    done: bool,
}

impl Parts {
    pub(super) fn of(offer: &Offer) -> Self {
        Self {
            entry: 0,
            link: 0,
            original: 0,
            links_per_entry: offer.links().len().div_ceil(offer.entries().len().max(1)),
            done: false,
        }
    }

    /// Whether all of it is.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// The next part of about [`PART_BYTES`]; an entry alone is far shorter than that.
    pub(super) fn next(&mut self, offer: &Offer, abilities: Abilities) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut part = v1::TransferOffer {
            transfer_id: Bytes::copy_from_slice(offer.id().as_bytes()),
            ..v1::TransferOffer::default()
        };
        if self.entry == 0 {
            part.abilities = abilities.encode();
            part.device = message::device(offer.device());
        }
        let mut bytes = 0;
        while let Some(entry) = offer.entries().get(self.entry) {
            let mut encoded = v1::TransferEntry::from(entry);
            if let Some((number, name)) = offer.originals().get(self.original)
                && *number as usize == self.entry
            {
                encoded.original_name = Bytes::copy_from_slice(name);
            }
            let links = offer.links().iter().skip(self.link);
            let links: Vec<_> = links
                .take(self.links_per_entry)
                .map(v1::TransferLink::from)
                .collect();
            // A tag and a length are at most four bytes more.
            let len = encoded.encoded_len() + 4;
            let of_links: usize = links.iter().map(|link| link.encoded_len() + 4).sum();
            bytes += len + of_links;
            if bytes > PART_BYTES && !part.entries.is_empty() {
                part.more = true;
                return Some(message::encode(Message::Offer(part)));
            }
            self.original += usize::from(!encoded.original_name.is_empty());
            self.link += links.len();
            self.entry += 1;
            part.links.extend(links);
            part.entries.push(encoded);
        }
        self.done = true;
        part.left_out = offer.left_out().sentences().to_vec();
        part.left_out_count = offer.left_out().count();
        Some(message::encode(Message::Offer(part)))
    }
}

/// How many of these links can be offered with as many entries: each part has an entry and the links
/// that follow it, and must fit into a message.
pub(in crate::transfer) fn links_that_fit(links: &[Link], entries: usize) -> usize {
    let longest = links.iter().map(|link| {
        let names = link.path().as_str().len() + link.target().len();
        // Each component has a tag and a length, and so have target, time and the link itself.
        names + 3 * link.path().components().count() + 32
    });
    let per_entry = PART_BYTES / longest.max().unwrap_or(PART_BYTES).max(1);
    per_entry.max(1).saturating_mul(entries)
}
