//! Exemplars in the data folder, so that they survive a restart: files `exemplars-N`, appended to
//! and read only at the start. Layout: `docs/formats/exemplars.md`.
//!
//! What was taken was given to the kernel, and is not fsynced: a power cut takes the newest.

use super::Exemplar;
use disk::publish::{publish, quarantine};
use disk::{File, Files};
use model::Labels;
use model::prompb::put_labels;
use model::protobuf::{Field, Malformed, Message, put_double, put_integer};
use std::sync::Arc;

/// The beginning of the files' names; a number follows.
const PREFIX: &str = "exemplars-";
/// A file that has more ends, and another begins.
const FILE_BYTES: u64 = 32 << 20;
/// Length and checksum before each exemplar.
const FRAME_HEAD: usize = 8;
/// No exemplar has so many bytes: limits on labels are far below.
const MOST_BYTES: usize = 64 << 20;

/// The file to which exemplars are appended.
pub struct Keeper {
    files: Arc<dyn Files>,
    /// The number of the file that is written.
    number: u64,
    file: Option<Arc<dyn File>>,
    bytes: u64,
    count: usize,
    /// An older file holds none of the newest when this one has so many.
    capacity: usize,
    pending: Vec<u8>,
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:010}")
}

impl Keeper {
    /// Reads what earlier runs kept, oldest first; gives the keeper of this one.
    pub fn open(
        files: Arc<dyn Files>,
        capacity: usize,
        mut each: impl FnMut(Labels, Exemplar),
    ) -> std::io::Result<Keeper> {
        let mut last = 0;
        for number in numbers(&*files)? {
            last = number;
            let path = name(number);
            let bytes = files.read(&path)?;
            let read = read(&bytes, &mut each);
            drop(bytes);
            if let Err(why) = read
                && let Err(error) = quarantine(&*files, &path, &why)
            {
                tracing::warn!("{}: {why}, and it stays where it is: {error}", files.place(&path));
            }
        }
        let (number, file, bytes, count, pending) = (last, None, 0, 0, Vec::new());
        Ok(Keeper { files, number, file, bytes, count, capacity, pending })
    }

    /// Writes everything that is known to one file and removes the older ones.
    pub fn rewrite<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a Labels, &'a Exemplar)>,
    ) -> Result<(), disk::Error> {
        let mut bytes = Vec::new();
        all.for_each(|(series, exemplar)| put(&mut bytes, series, exemplar));
        self.number += 1;
        if !bytes.is_empty() {
            publish(&*self.files, "", &name(self.number), &[&bytes])?;
        }
        self.remove_before(self.number);
        self.number += 1;
        Ok(())
    }

    /// Adds one, to be written by [`Keeper::flush`].
    pub fn add(&mut self, series: &Labels, exemplar: &Exemplar) {
        put(&mut self.pending, series, exemplar);
        self.count += 1;
    }

    /// Gives what was added to the kernel.
    pub fn flush(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let file = self.files.create(&name(self.number))?;
                self.file.insert(file).clone()
            }
        };
        file.append_all(&self.pending)?;
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        if self.count >= self.capacity || self.bytes >= FILE_BYTES {
            self.remove_before(self.number);
            (self.file, self.bytes, self.count) = (None, 0, 0);
            self.number += 1;
        }
        Ok(())
    }

    fn remove_before(&self, number: u64) {
        let old = numbers(&*self.files).unwrap_or_default();
        for path in old.into_iter().filter(|n| *n < number).map(name) {
            if let Err(error) = self.files.remove(&path) {
                tracing::warn!("{}: cannot be removed: {error}", self.files.place(&path));
            }
        }
    }
}

/// The numbers of the files that there are, rising.
fn numbers(files: &dyn Files) -> std::io::Result<Vec<u64>> {
    let entries = files.list("")?;
    let number = |e: &disk::Entry| e.name.strip_prefix(PREFIX)?.parse().ok();
    let mut numbers: Vec<u64> = entries.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn put(out: &mut Vec<u8>, series: &Labels, exemplar: &Exemplar) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD]);
    put_labels(out, 1, series);
    put_labels(out, 2, &exemplar.labels);
    put_double(out, 3, exemplar.value);
    put_integer(out, 4, exemplar.time_ms);
    let body = &out[start + FRAME_HEAD..];
    let (length, checksum) = (body.len() as u32, crc32c::crc32c(body));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME_HEAD].copy_from_slice(&checksum.to_le_bytes());
}

/// Gives each exemplar of a file; says what is damaged. A file that ends within an exemplar is what
/// a crash leaves, and not damaged.
pub fn read(bytes: &[u8], each: &mut dyn FnMut(Labels, Exemplar)) -> Result<(), String> {
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD>() {
        let at = bytes.len() - rest.len();
        let [a, b, c, d, e, f, g, h] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MOST_BYTES {
            return Err(format!("an exemplar of {length} bytes at byte {at}"));
        }
        let Some((body, after)) = after.split_at_checked(length) else { break };
        if crc32c::crc32c(body) != u32::from_le_bytes([e, f, g, h]) {
            return Err(format!("checksum of the exemplar at byte {at} is wrong"));
        }
        let (series, exemplar) =
            decode(body).map_err(|e| format!("the exemplar at byte {at}: {e}"))?;
        each(series, exemplar);
        rest = after;
    }
    Ok(())
}

fn decode(body: &[u8]) -> Result<(Labels, Exemplar), Malformed> {
    let (mut series, mut labels) = (Vec::new(), Vec::new());
    let (mut value, mut time_ms) = (0.0, 0);
    let mut message = Message::new(body);
    while let Some(field) = message.next()? {
        match field.number {
            1 => series.push(label(&field)?),
            2 => labels.push(label(&field)?),
            3 => value = field.double()?,
            4 => time_ms = field.integer()?,
            _ => {}
        }
    }
    let labels = Labels::from_pairs(labels);
    Ok((Labels::from_pairs(series), Exemplar { labels, value, time_ms }))
}

fn label<'a>(field: &Field<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let mut message = field.message()?;
    let mut pair = ("", "");
    while let Some(field) = message.next()? {
        match field.number {
            1 => pair.0 = field.text()?,
            2 => pair.1 = field.text()?,
            _ => {}
        }
    }
    Ok(pair)
}

/// Fuzz body: any bytes are read, and what was read comes back when it is written.
pub fn fuzz(bytes: &[u8]) {
    let mut first = Vec::new();
    let _ = read(bytes, &mut |series, exemplar| first.push((series, exemplar)));
    let mut written = Vec::new();
    first.iter().for_each(|(series, exemplar)| put(&mut written, series, exemplar));
    let mut second = Vec::new();
    let outcome = read(&written, &mut |series, exemplar| second.push((series, exemplar)));
    assert_eq!(outcome, Ok(()));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn damage_is_seen(
            labels in prop::collection::btree_map("[a-z]{1,5}", ".{0,9}", 0..4),
            value: f64,
            time_ms: i64,
            at: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let mut series = labels.clone();
            series.insert("__name__".into(), "m".into());
            let of = |map: &BTreeMap<String, String>| {
                Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            };
            let series = of(&series);
            let exemplar = Exemplar { labels: of(&labels), value, time_ms };
            let mut bytes = Vec::new();
            put(&mut bytes, &series, &exemplar);
            put(&mut bytes, &series, &exemplar);
            fuzz(&bytes);
            let count = |bytes: &[u8]| {
                let mut count = 0;
                let read = read(bytes, &mut |_, _| count += 1);
                (count, read.is_ok())
            };
            prop_assert_eq!(count(&bytes), (2, true));
            let cut = at.index(bytes.len());
            prop_assert_eq!(count(&bytes[..cut]), (usize::from(cut >= bytes.len() / 2), true));
            bytes[cut] ^= 1 << bit;
            let (seen, whole) = count(&bytes);
            // A length that became larger looks like a file that was cut.
            prop_assert!(seen < 2 && (!whole || cut % (bytes.len() / 2) < 4), "{seen}");
        }
    }
}
