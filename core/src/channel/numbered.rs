//! Values by channel number.

/// A map in the order of its numbers, with most of the calls of a `BTreeMap`.
///
/// It is a sorted vector: there are at most some hundred, new ones come at the end, and a page does not
/// download the balancing of a tree.
pub(super) struct Numbered<V>(Vec<(u32, V)>);

impl<V> Numbered<V> {
    pub(super) fn get(&self, number: u32) -> Option<&V> {
        let at = self.find(number).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        let at = self.find(number).ok()?;
        Some(&mut self.0[at].1)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.find(number).is_ok()
    }

    /// Replaces what was there.
    pub(super) fn insert(&mut self, number: u32, value: V) {
        match self.find(number) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (number, value)),
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<V> {
        let at = self.find(number).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        self.0.iter().map(|(number, value)| (*number, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut V)> {
        self.0.iter_mut().map(|(number, value)| (*number, value))
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(number, _)| *number)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    fn find(&self, number: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(known, _)| *known)
    }
}

impl<V> Default for Numbered<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever is done, it holds what a tree would hold.
        #[test]
        fn it_is_an_ordered_map(steps in prop::collection::vec((0..2u8, 0..20u32, any::<u8>()), 0..100)) {
            let (mut numbered, mut tree) = (Numbered::default(), BTreeMap::new());
            for (step, number, value) in steps {
                match step {
                    0 => {
                        numbered.insert(number, value);
                        tree.insert(number, value);
                    }
                    _ => prop_assert_eq!(numbered.remove(number), tree.remove(&number)),
                }
                prop_assert_eq!(numbered.get(number), tree.get(&number));
                prop_assert_eq!(numbered.contains(number), tree.contains_key(&number));
                prop_assert!(numbered.iter().eq(tree.iter().map(|(number, value)| (*number, value))));
                prop_assert_eq!(numbered.len(), tree.len());
            }
        }
    }
}
