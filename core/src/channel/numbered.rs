//! Values by channel number.

/// A map in the order of its numbers, with most of the calls of a `BTreeMap`.
///
/// It is a sorted vector of numbers and one of values: there are at most some hundred, new ones come at the end,
/// and looking a number up touches little memory. A tree's balancing, or a search among pairs, is compiled anew
/// for each kind of value, and a page downloads every copy.
pub(super) struct Numbered<V> {
    numbers: Vec<u32>,
    values: Vec<V>,
}

impl<V> Numbered<V> {
    pub(super) fn get(&self, number: u32) -> Option<&V> {
        let at = find(&self.numbers, number).ok()?;
        self.values.get(at)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        let at = find(&self.numbers, number).ok()?;
        self.values.get_mut(at)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        find(&self.numbers, number).is_ok()
    }

    /// Replaces what was there.
    pub(super) fn insert(&mut self, number: u32, value: V) {
        match find(&self.numbers, number) {
            Ok(at) => self.values[at] = value,
            Err(at) => {
                self.numbers.insert(at, number);
                self.values.insert(at, value);
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<V> {
        let at = find(&self.numbers, number).ok()?;
        self.numbers.remove(at);
        Some(self.values.remove(at))
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.values.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        self.numbers.iter().copied().zip(&self.values)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut V)> {
        self.numbers.iter().copied().zip(&mut self.values)
    }

    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    pub(super) fn values(&self) -> &[V] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [V] {
        &mut self.values
    }
}

fn find(numbers: &[u32], number: u32) -> Result<usize, usize> {
    numbers.binary_search(&number)
}

impl<V> Default for Numbered<V> {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            values: Vec::new(),
        }
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
                prop_assert_eq!((numbered.len(), numbered.is_empty()), (tree.len(), tree.is_empty()));
            }
        }
    }
}
