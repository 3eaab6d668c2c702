//! What the receiver tells the sender at the end: other names, and what it could not store.

use peersox_proto::v1;
use prost::Message as _;

use super::LeftOut;

/// How what was accepted differs from what was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    stored_as: Vec<(String, String)>,
    stored_as_count: u32,
    /// How much `stored_as` takes of a message.
    bytes: usize,
    /// What is not stored.
    pub left_out: LeftOut,
}

impl Report {
    /// The most bytes of names that are reported; what is beyond is only counted.
    const MAX_BYTES: usize = 128 * 1024;
    /// A path of the longest kind.
    const MAX_PATH_BYTES: usize = 4_096;

    /// Adds that `path`, as it was offered, is stored under another name.
    pub fn stored_as(&mut self, path: &str, stored_as: &str) {
        self.stored_as_count = self.stored_as_count.saturating_add(1);
        let longest = path.len().max(stored_as.len());
        // Tags and lengths are less than 16 bytes.
        let bytes = self.bytes + path.len() + stored_as.len() + 16;
        if longest <= Self::MAX_PATH_BYTES
            && bytes <= Self::MAX_BYTES
            && self.stored_as.len() < 1_000
        {
            self.stored_as.push((path.to_owned(), stored_as.to_owned()));
            self.bytes = bytes;
        }
    }

    /// The first of what has another name: as it was offered, as it is stored.
    #[must_use]
    pub fn renamed(&self) -> &[(String, String)] {
        &self.stored_as
    }

    /// How many have another name, those that are not kept included.
    #[must_use]
    pub const fn renamed_count(&self) -> u32 {
        self.stored_as_count
    }

    pub(super) fn encode(&self) -> v1::TransferDone {
        let stored_as = self.stored_as.iter().map(|(path, stored_as)| {
            let (path, stored_as) = (path.clone(), stored_as.clone());
            v1::TransferStoredAs { path, stored_as }
        });
        let message = v1::TransferDone {
            stored_as: stored_as.collect(),
            stored_as_count: self.stored_as_count,
            left_out: self.left_out.sentences().to_vec(),
            left_out_count: self.left_out.count(),
        };
        debug_assert!(message.encoded_len() < super::MAX_MESSAGE_BYTES);
        message
    }

    pub(super) fn parse(done: &v1::TransferDone) -> Self {
        let mut report = Self::default();
        for it in &done.stored_as {
            report.stored_as(&it.path, &it.stored_as);
        }
        report.stored_as_count = report.stored_as_count.max(done.stored_as_count);
        report.left_out = LeftOut::parse(&done.left_out, done.left_out_count);
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fits_into_a_message_and_counts_the_rest() {
        let mut report = Report::default();
        for number in 0..5_000 {
            report.stored_as(&format!("{number}:{}", "a".repeat(3_000)), "b");
            report
                .left_out
                .push(&format!("{number} {}", "c".repeat(500)));
        }
        let message = report.encode();
        assert!(message.encoded_len() < super::super::MAX_MESSAGE_BYTES);
        let parsed = Report::parse(&message);
        assert_eq!(parsed, report);
        assert_eq!(
            (parsed.renamed_count(), parsed.left_out.count()),
            (5_000, 5_000)
        );
        assert!(parsed.renamed().len() < 100 && parsed.left_out.sentences().len() == 100);
    }
}
