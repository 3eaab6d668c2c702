//! The parts of an offer, put together within the limits.

use peersox_proto::v1;

use super::super::message;
use super::super::{Entry, Fault, LeftOut, Link, Listing, Offer, OfferError, SafePath, TransferId};
use super::Settings;

/// The parts of an offer so far.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    id: Option<TransferId>,
    listing: Listing,
    path_bytes: usize,
}

impl Collecting {
    /// Takes a part; gives the offer if it was the last.
    pub(super) fn take(
        &mut self,
        part: v1::TransferOffer,
        settings: &Settings,
    ) -> Result<Option<Offer>, Fault> {
        let id = <[u8; TransferId::LEN]>::try_from(part.transfer_id.as_ref())
            .map(TransferId::from_bytes)
            .map_err(|_| Fault::BadPart)?;
        if *self.id.get_or_insert(id) != id || (part.more && part.entries.is_empty()) {
            return Err(Fault::BadPart);
        }
        let limits = &settings.limits;
        // Links of a receiver that stores none are not looked at.
        let links = if settings.abilities.links {
            part.links
        } else {
            vec![]
        };
        let there = self.listing.entries.len() + self.listing.links.len();
        if there + part.entries.len() + links.len() > limits.entries as usize {
            return Err(OfferError::TooMany(limits.entries).into());
        }
        if !part.device.is_empty() {
            self.listing.device = message::device(&part.device);
        }
        for entry in part.entries {
            self.add(&entry, settings)?;
        }
        for link in links {
            let link = Link::parse(&link, settings.names)?;
            self.count(link.path().as_str().len() + link.target().len(), settings)?;
            self.listing.links.push(link);
        }
        if part.more {
            return Ok(None);
        }
        self.listing.left_out = LeftOut::parse(&part.left_out, part.left_out_count);
        let mut listing = std::mem::take(&mut self.listing);
        listing.entries.shrink_to_fit();
        Ok(Some(Offer::of(id, listing, limits)?))
    }

    fn add(&mut self, sent: &v1::TransferEntry, settings: &Settings) -> Result<(), Fault> {
        let entry = Entry::parse(sent, settings.names)?;
        self.count(entry.path.as_str().len(), settings)?;
        let number = u32::try_from(self.listing.entries.len()).unwrap_or(u32::MAX);
        let name = &sent.original_name;
        if !name.is_empty() && name.len() <= SafePath::MAX_COMPONENT_BYTES {
            self.count(name.len(), settings)?;
            self.listing.originals.push((number, name.to_vec()));
        }
        let same = entry
            .path
            .components()
            .eq(sent.path.iter().map(String::as_str));
        if !same {
            let original = sent.path.join("/");
            self.count(original.len(), settings)?;
            self.listing.renamed.push((number, original));
        }
        self.listing.entries.push(entry);
        Ok(())
    }

    fn count(&mut self, bytes: usize, settings: &Settings) -> Result<(), Fault> {
        self.path_bytes += bytes;
        if self.path_bytes > settings.limits.path_bytes {
            return Err(OfferError::PathsTooLong(settings.limits.path_bytes).into());
        }
        Ok(())
    }
}
