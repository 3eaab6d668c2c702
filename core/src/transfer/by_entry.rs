//! What is known of some entries of an offer, by their numbers.

/// A value for some entries.
///
/// A list up to the highest number that has one: numbers are those of an offer, so
/// [`Limits`](super::Limits) bounds it, and no number can be chosen to make it slow.
#[derive(Debug)]
pub(super) struct ByEntry<T>(Vec<Option<T>>);

impl<T> ByEntry<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Says what was there before.
    pub(super) fn insert(&mut self, number: u32, value: T) -> Option<T> {
        let at = number as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].replace(value)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.0.get(number as usize)?.as_ref()
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        self.0.get_mut(number as usize)?.take()
    }

    /// In the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = (0..).zip(&self.0);
        numbered.filter_map(|(number, value)| Some((number, value.as_ref()?)))
    }
}
