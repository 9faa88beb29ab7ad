//! The bytes of a slot's changes: few for most slots, so these lie within the slot itself.

/// Bytes that are only ever added to.
#[derive(Clone, Debug)]
pub(crate) enum Changes {
    /// So many, and these.
    Few(u8, [u8; FEW]),
    /// More than that.
    Many(Vec<u8>),
}

/// What fits beside the length where otherwise the parts of a vector are.
const FEW: usize = 15;

impl Changes {
    /// Nothing.
    pub const fn new() -> Changes {
        Changes::Few(0, [0; FEW])
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Changes::Few(length, bytes) => &bytes[..usize::from(*length)],
            Changes::Many(bytes) => bytes,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Changes::Few(0, _))
    }

    /// Adds bytes.
    pub fn extend(&mut self, more: &[u8]) {
        match self {
            Changes::Few(length, bytes) => {
                let (from, to) = (usize::from(*length), usize::from(*length) + more.len());
                if let Some(room) = bytes.get_mut(from..to) {
                    room.copy_from_slice(more);
                    *length = to as u8;
                    return;
                }
                let mut many = Vec::with_capacity(room_for(to));
                many.extend_from_slice(&bytes[..from]);
                many.extend_from_slice(more);
                *self = Changes::Many(many);
            }
            Changes::Many(bytes) => {
                let length = bytes.len() + more.len();
                if length > bytes.capacity() {
                    // Doubling would leave a quarter of the head empty.
                    bytes.reserve_exact(room_for(length) - bytes.len());
                }
                bytes.extend_from_slice(more);
            }
        }
    }

    /// Bytes of memory beside the slot.
    pub fn memory(&self) -> usize {
        match self {
            Changes::Few(..) => 0,
            Changes::Many(bytes) => bytes.capacity(),
        }
    }
}

/// At least `length`, an eighth more at most once there are many: sizes that allocators have.
fn room_for(length: usize) -> usize {
    let unit = (length / 8).next_power_of_two().max(16);
    length.next_multiple_of(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_added() {
        assert_eq!(size_of::<Changes>(), size_of::<Vec<u8>>());
        let (mut changes, mut expected) = (Changes::new(), Vec::new());
        for length in [0, 1, 7, 7, 1, 3, 200, 0, 5] {
            let more: Vec<u8> = (0..length).map(|i| (i * 7 + length) as u8).collect();
            changes.extend(&more);
            expected.extend(more);
            assert_eq!(changes.as_slice(), expected);
            assert_eq!(changes.is_empty(), expected.is_empty());
            assert!(changes.memory() <= expected.len() * 5 / 4 + 16);
        }
    }
}
