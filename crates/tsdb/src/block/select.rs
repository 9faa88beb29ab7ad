//! Which series of a block match: posting lists combined as sets, each matcher answered once for ever.

use super::layout::Section;
use super::{Block, BlockError, postings};
use crate::cursor::Cursor;
use model::{MatchOp, Matcher, Stop};
use roaring::RoaringBitmap;
use std::sync::{Arc, PoisonError};

/// A matcher as the key of its answer.
pub(super) type Key = (String, MatchOp, String);

/// Answers kept for a block; at this number they are forgotten and begin anew.
const SELECTED_MAX: usize = 512;

impl Block {
    /// The ordinals of the series that satisfy all matchers, all of them where there is none; some where the
    /// reader stopped.
    pub fn select(
        &self,
        matchers: &[Matcher],
        stop: Stop<'_>,
    ) -> Result<RoaringBitmap, BlockError> {
        let mut found: Option<RoaringBitmap> = None;
        // Equality is cheap and usually narrow: when it leaves nothing, the rest need not be asked.
        let (equal, rest): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|m| m.op == MatchOp::Equal && !m.value.is_empty());
        for matcher in equal.into_iter().chain(rest) {
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                break;
            }
            let one = self.selected(matcher, stop)?;
            match &mut found {
                None => found = Some((*one).clone()),
                Some(found) => *found &= &*one,
            }
        }
        Ok(found.unwrap_or_else(|| self.all()))
    }

    /// The names of all labels that the series of `within` carry; sorted.
    pub fn label_names(&self, within: &RoaringBitmap) -> Result<Vec<&str>, BlockError> {
        let mut seen = vec![false; self.names.len()];
        let mut shapes_seen = vec![false; self.shapes.len()];
        for series in within {
            let (at, mut cursor) = self.entry(series)?;
            let shape = cursor.size(u32::MAX as usize, "shape");
            let shape = shape.map_err(|e| BlockError::decode(at, e))?;
            if !std::mem::replace(shapes_seen.get_mut(shape).unwrap_or(&mut true), true) {
                for &name in &self.shapes[shape] {
                    seen[name as usize] = true;
                }
            }
        }
        Ok(self.names.iter().zip(seen).filter(|(_, s)| *s).map(|(n, _)| n.text.as_str()).collect())
    }

    /// The values that the series of `within` have for a label; sorted.
    pub fn label_values(
        &self,
        name: &str,
        within: &RoaringBitmap,
    ) -> Result<Vec<String>, BlockError> {
        let Some(name) = self.name(name) else { return Ok(Vec::new()) };
        let whole = within.len() == self.meta.series;
        let mut values = Vec::new();
        let mut failed = None;
        self.each_value(name, "", |ordinal, value| {
            let carried = whole || {
                let mut carriers = RoaringBitmap::new();
                let read = self.carriers(name, ordinal, &mut carriers);
                failed = read.err().or(failed.take());
                !carriers.is_disjoint(within)
            };
            if carried {
                values.push(value.to_owned());
            }
        })?;
        failed.map_or(Ok(values), Err)
    }

    /// How many series carry each value of each label: (name, value, series).
    pub fn each_label(&self, mut see: impl FnMut(&str, &str, u64)) -> Result<(), BlockError> {
        self.each_posting(|name, value, carriers| see(name, value, carriers.len()))
    }

    /// The series that carry each value of each label.
    pub(super) fn each_posting(
        &self,
        mut see: impl FnMut(&str, &str, &RoaringBitmap),
    ) -> Result<(), BlockError> {
        for (i, name) in self.names.iter().enumerate() {
            let mut failed = None;
            self.each_value(i, "", |ordinal, value| {
                let mut carriers = RoaringBitmap::new();
                failed = self.carriers(i, ordinal, &mut carriers).err().or(failed.take());
                see(&name.text, value, &carriers);
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.meta.series as u32);
        all
    }

    fn name(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|n| n.text.as_str().cmp(name)).ok()
    }

    fn selected(
        &self,
        matcher: &Matcher,
        stop: Stop<'_>,
    ) -> Result<Arc<RoaringBitmap>, BlockError> {
        let key = (matcher.name.clone(), matcher.op, matcher.value.clone());
        if let Some(known) = self.selected.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Ok(known.clone());
        }
        let found = Arc::new(self.find(matcher, stop)?);
        if stop.asked() {
            return Ok(found); // not all of them
        }
        let mut selected = self.selected.lock().unwrap_or_else(PoisonError::into_inner);
        if selected.len() >= SELECTED_MAX {
            selected.clear();
        }
        selected.insert(key, found.clone());
        Ok(found)
    }

    fn find(&self, matcher: &Matcher, stop: Stop<'_>) -> Result<RoaringBitmap, BlockError> {
        // A series without the label has the empty value. Where that matches, the values that do not match
        // are taken away from all series; else those that match are gathered.
        let empty_matches = matcher.matches("");
        let Some(name) = self.name(&matcher.name) else {
            return Ok(if empty_matches { self.all() } else { RoaringBitmap::new() });
        };
        let mut carriers = RoaringBitmap::new();
        match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual if !matcher.value.is_empty() => {
                self.add_value(name, &matcher.value, &mut carriers)?;
            }
            _ => match literals(matcher) {
                Some(literals) => {
                    for literal in literals {
                        self.add_value(name, literal, &mut carriers)?;
                    }
                }
                None => {
                    let prefix = if empty_matches { "" } else { prefix(matcher) };
                    let mut failed = None;
                    self.each_value(name, prefix, |ordinal, value| {
                        if !stop.asked() && matcher.matches(value) != empty_matches {
                            let read = self.carriers(name, ordinal, &mut carriers);
                            failed = read.err().or(failed.take());
                        }
                    })?;
                    failed.map_or(Ok(()), Err)?;
                }
            },
        }
        Ok(if empty_matches { self.all() - carriers } else { carriers })
    }

    fn add_value(
        &self,
        name: usize,
        value: &str,
        carriers: &mut RoaringBitmap,
    ) -> Result<(), BlockError> {
        let at = self.section(Section::Strings).0;
        match self.strings(name)?.find(value).map_err(|e| BlockError::decode(at, e))? {
            Ok(ordinal) => self.carriers(name, ordinal, carriers),
            Err(_) => Ok(()),
        }
    }

    fn each_value(
        &self,
        name: usize,
        prefix: &str,
        see: impl FnMut(usize, &str),
    ) -> Result<(), BlockError> {
        let at = self.section(Section::Strings).0;
        let strings = self.strings(name)?;
        strings.each_with_prefix(prefix, see).map_err(|e| BlockError::decode(at, e))
    }

    /// Adds the series that carry a value of a name.
    fn carriers(
        &self,
        name: usize,
        value: usize,
        set: &mut RoaringBitmap,
    ) -> Result<(), BlockError> {
        let (at, section) = self.section(Section::Postings);
        let lists = &section[self.names[name].postings.clone()];
        let offsets = self.strings(name)?.len() * 4;
        let mut read = || {
            let offset = Cursor::at(lists, value * 4)?.u32()? as usize;
            let list = Cursor::at(lists, offsets + offset)?;
            postings::read_into(list, self.meta.series as u32, set)
        };
        read().map_err(|e| BlockError::decode(at, e))
    }
}

/// The values of a regular expression that is nothing but alternatives, for the look-up of each:
/// those that match, or for `!~` those that do not.
pub(crate) fn literals(matcher: &Matcher) -> Option<impl Iterator<Item = &str>> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b':' | b'|');
    let regex = matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex);
    let values = || matcher.value.split('|');
    (regex && matcher.value.bytes().all(plain) && values().all(|v| !v.is_empty())).then(values)
}

/// What every value that a regular expression matches begins with, as far as that is seen easily.
fn prefix(matcher: &Matcher) -> &str {
    let value = matcher.value.as_str();
    if matcher.op != MatchOp::Regex || value.contains('|') {
        return "";
    }
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b':');
    let length = value.bytes().take_while(|b| plain(b)).count();
    // A repetition may make the last character optional.
    let optional = value.as_bytes().get(length).is_some_and(|b| matches!(b, b'?' | b'*' | b'{'));
    &value[..length - usize::from(optional && length > 0)]
}
