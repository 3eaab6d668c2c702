//! Offers of files.
//!
//! Laws: an offer stays within the limits, names each path once, and arrives as the same offer if it is
//! offered on.

use std::collections::BTreeSet;

use bytes::Bytes;
use peersox_core::transfer::{
    Abilities, Action, Event, Limits, Names, Offer, Receiver, Sender, Settings,
};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let settings = Settings {
        limits: Limits {
            entries: 1 + u32::from(kind >> 2),
            path_bytes: 1_024,
            total_bytes: 1 << 40,
        },
        abilities: Abilities::ALL,
        names: [Names::Unix, Names::Everywhere][usize::from(kind & 1)],
        device: String::new(),
    };
    let messages = std::iter::from_fn(|| input.message().map(Bytes::copy_from_slice));
    let Some(offer) = taken(messages, settings.clone()) else {
        return;
    };
    let entries = offer.entries();
    assert!(!entries.is_empty());
    assert!(entries.len() + offer.links().len() <= settings.limits.entries as usize);
    let paths = entries.iter().map(|entry| entry.path.as_str());
    let paths: Vec<_> = paths
        .chain(offer.links().iter().map(|it| it.path().as_str()))
        .collect();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
    assert!(paths.concat().len() <= settings.limits.path_bytes);
    let sizes = entries.iter().filter_map(|entry| entry.size);
    assert!(sizes.sum::<u64>() <= settings.limits.total_bytes);
    assert!(!offer.device().contains(char::is_control));

    let mut sender = Sender::with(offer.clone(), Abilities::ALL);
    let messages = std::iter::from_fn(|| match sender.poll() {
        Action::Send(message) => Some(message),
        _ => None,
    });
    let again = taken(messages, settings).expect("what was taken once is taken again");
    assert_eq!(again.digest(), offer.digest());
    assert_eq!((again.entries(), again.links()), (entries, offer.links()));
    assert_eq!(again.left_out(), offer.left_out());
}

fn taken(messages: impl Iterator<Item = Bytes>, settings: Settings) -> Option<Offer> {
    let mut receiver = Receiver::with(settings);
    for message in messages {
        match receiver.handle(message) {
            Ok(Event::Offered) => return receiver.offer().cloned(),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}
