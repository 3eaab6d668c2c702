//! Values by channel number.

/// A map in the order of its numbers, with the calls of a `BTreeMap`.
///
/// It is a sorted vector: there are at most some hundred numbers, new ones come at the end, and looking
/// one up touches one piece of memory. A tree's balancing is compiled anew for each kind of value, and
/// a page downloads every copy.
pub(super) struct Numbered<V>(Vec<(u32, V)>);

impl<V> Numbered<V> {
    pub(super) fn get(&self, number: &u32) -> Option<&V> {
        let at = self.find(*number).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, number: &u32) -> Option<&mut V> {
        let at = self.find(*number).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, number: &u32) -> bool {
        self.find(*number).is_ok()
    }

    /// Replaces what was there.
    pub(super) fn insert(&mut self, number: u32, value: V) {
        match self.find(number) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (number, value)),
        }
    }

    pub(super) fn remove(&mut self, number: &u32) -> Option<V> {
        let at = self.find(*number).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn pop_first(&mut self) -> Option<u32> {
        (!self.0.is_empty()).then(|| self.0.remove(0).0)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&u32, &V)> + Clone {
        self.0.iter().map(|(number, value)| (number, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&u32, &mut V)> {
        self.0.iter_mut().map(|(number, value)| (&*number, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &u32> {
        self.0.iter().map(|(number, _)| number)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn find(&self, number: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
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
        fn it_is_an_ordered_map(steps in prop::collection::vec((0..3u8, 0..20u32, any::<u8>()), 0..100)) {
            let (mut numbered, mut tree) = (Numbered::default(), BTreeMap::new());
            for (step, number, value) in steps {
                match step {
                    0 => {
                        numbered.insert(number, value);
                        tree.insert(number, value);
                    }
                    1 => prop_assert_eq!(numbered.remove(&number), tree.remove(&number)),
                    _ => prop_assert_eq!(numbered.pop_first(), tree.pop_first().map(|(first, _)| first)),
                }
                prop_assert_eq!(numbered.get(&number), tree.get(&number));
                prop_assert_eq!(numbered.contains_key(&number), tree.contains_key(&number));
                prop_assert!(numbered.iter().eq(tree.iter()));
                prop_assert_eq!((numbered.len(), numbered.is_empty()), (tree.len(), tree.is_empty()));
            }
        }
    }
}
