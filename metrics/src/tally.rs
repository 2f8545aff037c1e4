//! Counters by the values of a label.

use std::marker::PhantomData;

/// The values of a label: an enum.
pub trait Label: Copy + PartialEq + 'static {
    /// The name of the label.
    const NAME: &'static str;
    /// All its values.
    const ALL: &'static [Self];

    /// Returns the text of a value: lower-case letters and underscores.
    fn value(self) -> &'static str;
}

/// A counter for each value of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<L> {
    counts: Vec<u64>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Tally<L> {
    fn default() -> Self {
        Self { counts: vec![0; L::ALL.len()], label: PhantomData }
    }
}

impl<L: Label> Tally<L> {
    /// Adds to the counter of a value.
    pub fn add(&mut self, label: L, count: u64) {
        let index = L::ALL.iter().position(|other| *other == label);
        if let Some(known) = index.and_then(|index| self.counts.get_mut(index)) {
            *known = known.saturating_add(count);
        }
    }

    /// Returns the counter of a value.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        self.iter().find(|(other, _)| *other == label).map_or(0, |(_, count)| count)
    }

    /// Returns all values with their counters.
    pub fn iter(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// Returns the sum of all counters.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Declares an enum whose variants are the values of a label, each with its text.
#[macro_export]
macro_rules! label {
    (
        $(#[$outer:meta])*
        $visibility:vis enum $name:ident as $label:literal {
            $($(#[$inner:meta])* $variant:ident = $value:literal,)+
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[$inner])* $variant,)+
        }

        impl $crate::Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn value(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }
    };
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    label! {
        /// The colours of the tests.
        pub(crate) enum Colour as "colour" {
            /// The first one.
            Red = "red",
            /// The other one.
            Blue = "blue",
        }
    }

    #[test]
    fn each_value_has_a_counter() {
        let mut tally = Tally::default();
        for (colour, count) in [(Colour::Red, 1), (Colour::Blue, 2), (Colour::Red, 3)] {
            tally.add(colour, count);
        }
        assert_eq!((tally.get(Colour::Red), tally.get(Colour::Blue), tally.total()), (4, 2, 6));
    }
}
