//! Reading fields from bytes that may be damaged: every step is checked, none can panic.

use crate::codec::{self, CodecError};

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// The bytes from `at` on, or the reason why there are none.
    pub fn at(bytes: &'a [u8], at: usize) -> Result<Cursor<'a>, CodecError> {
        bytes.get(at..).map(Cursor).ok_or(CodecError::Short)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, CodecError> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*word))
    }

    pub fn u64(&mut self) -> Result<u64, CodecError> {
        let (word, rest) = self.0.split_first_chunk::<8>().ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    pub fn varint(&mut self) -> Result<u64, CodecError> {
        let (value, rest) = codec::take_varint(self.0)?;
        self.0 = rest;
        Ok(value)
    }

    /// A varint that must fit a `usize` and be at most `max`; `what` names it in the error.
    pub fn size(&mut self, max: usize, what: &'static str) -> Result<usize, CodecError> {
        let value = self.varint()?;
        usize::try_from(value).ok().filter(|&v| v <= max).ok_or(CodecError::Invalid(what))
    }

    pub fn signed(&mut self) -> Result<i64, CodecError> {
        Ok(codec::unzigzag(self.varint()?))
    }

    pub fn floats(&mut self, count: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
        self.0 = codec::decode_floats(self.0, count, out)?;
        Ok(())
    }

    pub fn ints(&mut self, count: usize, out: &mut Vec<i64>) -> Result<(), CodecError> {
        self.0 = codec::decode_ints(self.0, count, out)?;
        Ok(())
    }
}
