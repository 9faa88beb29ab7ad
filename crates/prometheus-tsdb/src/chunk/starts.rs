//! When counters began, in the encodings that keep it: a header byte says whether the first sample has a
//! start and from which sample on each has one, told against the time of the sample before.

use crate::bits::Bits;
use crate::bytes::Wrong;

/// Reads the starts of one chunk.
pub(super) struct Starts {
    first_known: bool,
    /// The sample from which on each is followed by one; 0 for none.
    from: u16,
    start: i64,
    difference: i64,
}

impl Starts {
    pub fn new(header: u8) -> Starts {
        let (first_known, from) = (header & 0x80 != 0, u16::from(header & 0x7f));
        Starts { first_known, from, start: 0, difference: 0 }
    }

    /// For encodings without starts.
    pub fn none() -> Starts {
        Starts::new(0)
    }

    /// The start of the sample `i`, whose other parts were read just now.
    pub fn next(
        &mut self,
        bits: &mut Bits<'_>,
        i: u16,
        time: i64,
        before: i64,
    ) -> Result<i64, Wrong> {
        if i == 0 {
            if self.first_known {
                self.start = time.wrapping_sub(bits.varint()?);
            }
        } else if self.from > 0 && i >= self.from {
            let told = bits.varbit()?;
            self.difference =
                if i == self.from { told } else { self.difference.wrapping_add(told) };
            self.start = before.wrapping_sub(self.difference);
        }
        Ok(self.start)
    }
}
