//! Values that come before their turn, by index. A map is generic over its outputs, and so is what holds them: the search by index is
//! not, and is compiled once.

use std::collections::BTreeMap;

/// Values, of which few are held at a time, by their index.
pub(super) struct EarlyValues<T> {
    places: Places,
    values: Vec<Option<T>>,
}

impl<T> EarlyValues<T> {
    pub(super) fn new() -> Self {
        Self { places: Places::default(), values: Vec::new() }
    }

    /// Holds a value; returns where it is. There must be none with this index.
    pub(super) fn insert(&mut self, index: usize, value: T) -> &mut T {
        let place = self.places.add(index);
        if place == self.values.len() {
            self.values.push(None);
        }
        self.values[place].insert(value)
    }

    /// Takes the value with this index, if there is one.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        if self.places.of_index.is_empty() {
            return None;
        }
        self.values[self.places.remove(index)?].take()
    }

    /// The index of the first value.
    pub(super) fn first(&self) -> Option<usize> {
        self.places.first()
    }
}

/// Where the values are.
#[derive(Default)]
struct Places {
    of_index: BTreeMap<usize, usize>,
    /// Places without a value.
    free: Vec<usize>,
}

impl Places {
    /// A place for the value with this index: one that is free, or the next.
    fn add(&mut self, index: usize) -> usize {
        let place = self.free.pop().unwrap_or(self.of_index.len());
        assert_eq!(self.of_index.insert(index, place), None, "task {index} has two outcomes");
        place
    }

    fn remove(&mut self, index: usize) -> Option<usize> {
        let place = self.of_index.remove(&index)?;
        self.free.push(place);
        Some(place)
    }

    fn first(&self) -> Option<usize> {
        self.of_index.first_key_value().map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_held_until_it_is_taken(steps in prop::collection::vec((0usize..8, any::<bool>()), 0..200)) {
            let (mut early, mut expected) = (EarlyValues::new(), BTreeMap::new());
            for (step, (index, is_taken)) in steps.into_iter().enumerate() {
                if is_taken || expected.contains_key(&index) {
                    prop_assert_eq!(early.remove(index), expected.remove(&index));
                } else {
                    *early.insert(index, 0) += step;
                    expected.insert(index, step);
                }
                prop_assert_eq!(early.first(), expected.keys().next().copied());
                prop_assert!(early.values.len() <= 8);
            }
        }
    }

    #[test]
    #[should_panic(expected = "task 3 has two outcomes")]
    fn an_index_has_one_value() {
        let mut early = EarlyValues::new();
        early.insert(3, 'a');
        early.insert(3, 'b');
    }
}
