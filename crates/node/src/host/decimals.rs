//! Numbers as label values, written once and not again each round.

/// A list of numbers with their decimal digits, by position.
#[derive(Default)]
pub(super) struct Decimals {
    list: Vec<(u64, String)>,
}

impl Decimals {
    /// Makes the list these numbers.
    pub fn set(&mut self, numbers: impl Iterator<Item = u64>) {
        let mut count = 0;
        for number in numbers {
            match self.list.get_mut(count) {
                Some(known) if known.0 == number => {}
                Some(known) => *known = (number, number.to_string()),
                None => self.list.push((number, number.to_string())),
            }
            count += 1;
        }
        self.list.truncate(count);
    }

    /// The digits at each position.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|n| n.1.as_str())
    }
}
