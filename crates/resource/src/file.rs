//! The file in which the points survive a restart: `docs/formats/points.md`.
//!
//! Whole numbers are LEB128, signed ones zigzagged first; a time is the distance to the one before it, so
//! that a container takes some thirty bytes.

use crate::Error;
use crate::block::{Block, Kept};
use crate::parse::NAME_MAX;
use crate::store::Inner;
use crate::usage::{Point, Points};

const MAGIC: &[u8] = b"kubevigil points 1\n";
/// The same namespace, or the same pod, as the container before.
const SAME_NAMESPACE: u64 = 1;
const SAME_POD: u64 = 2;

/// Appends everything.
pub(crate) fn write(inner: &Inner, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(MAGIC);
    for block in inner.blocks.iter().flatten() {
        put(out, 1);
        put_text(out, &block.name);
        put(out, u64::from(block.own.is_some()));
        let mut clock = 0;
        if let Some(own) = &block.own {
            put_points(out, own, &mut clock);
        }
        put(out, block.all().count() as u64);
        let mut last = [""; 2];
        for Kept { key: [namespace, pod, container], missed, points } in block.all() {
            let same_namespace = namespace == last[0];
            let same_pod = same_namespace && pod == last[1];
            let flag = |same, flag| if same { flag } else { 0 };
            put(out, flag(same_namespace, SAME_NAMESPACE) | flag(same_pod, SAME_POD));
            if !same_namespace {
                put_text(out, namespace);
            }
            if !same_pod {
                put_text(out, pod);
            }
            put_text(out, container);
            put(out, u64::from(missed));
            put_points(out, &points, &mut clock);
            last = [namespace, pod];
        }
    }
    put(out, 0);
    let sum = crc32c::crc32c(&out[from..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

fn put_points(out: &mut Vec<u8>, points: &Points, clock: &mut i64) {
    let Points { last, previous, memory_bytes } = points;
    put_signed(out, last.time_ns.wrapping_sub(*clock));
    put_signed(out, last.time_ns.wrapping_sub(previous.time_ns));
    put_signed(out, last.time_ns.wrapping_sub(last.start_ns));
    put_signed(out, last.start_ns.wrapping_sub(previous.start_ns));
    put(out, last.cpu_ns);
    put_signed(out, last.cpu_ns.wrapping_sub(previous.cpu_ns) as i64);
    put(out, *memory_bytes);
    *clock = last.time_ns;
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads everything that was measured at `oldest_ns` or later.
pub(crate) fn read(bytes: &[u8], oldest_ns: i64) -> Result<Vec<Block>, Error> {
    let damaged = |what| Error::Damaged { what };
    let rest = bytes.strip_prefix(MAGIC).ok_or(damaged("it is not a file of points, version 1"))?;
    let (body, sum) = rest.split_last_chunk().ok_or(damaged("it is too short"))?;
    if crc32c::crc32c(&bytes[..bytes.len() - sum.len()]) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum does not match"));
    }
    read_body(body, oldest_ns).ok_or(damaged("its content has no meaning"))
}

/// Reads what is between magic and checksum; `None` where it has no meaning.
pub(crate) fn read_body(body: &[u8], oldest_ns: i64) -> Option<Vec<Block>> {
    let mut cursor = Cursor { rest: body, clock: 0 };
    let mut blocks = Vec::new();
    while cursor.number()? == 1 {
        blocks.push(read_block(&mut cursor, oldest_ns)?);
    }
    cursor.rest.is_empty().then_some(blocks)
}

fn read_block(cursor: &mut Cursor<'_>, oldest_ns: i64) -> Option<Block> {
    let name = cursor.text()?;
    cursor.clock = 0;
    let mut own = match cursor.number()? {
        0 => None,
        1 => Some(cursor.points()?),
        _ => return None,
    };
    own.take_if(|own| own.last.time_ns < oldest_ns);
    let mut kept: Vec<Kept<'_>> = Vec::new();
    let mut last = [""; 3];
    for _ in 0..cursor.number()? {
        let flags = cursor.number()?;
        let namespace = if flags & SAME_NAMESPACE == 0 { cursor.text()? } else { last[0] };
        let pod = if flags & SAME_POD == 0 { cursor.text()? } else { last[1] };
        let key = [namespace, pod, cursor.text()?];
        if key < last || key == last && !kept.is_empty() {
            return None;
        }
        last = key;
        let missed = u8::try_from(cursor.number()?).ok()?;
        let points = cursor.points()?;
        if points.last.time_ns >= oldest_ns {
            kept.push(Kept { key, missed, points });
        }
    }
    Some(Block::restore(name, own, &kept))
}

struct Cursor<'a> {
    rest: &'a [u8],
    clock: i64,
}

impl<'a> Cursor<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok().filter(|len| *len <= NAME_MAX)?;
        let (text, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }

    fn points(&mut self) -> Option<Points> {
        let time_ns = self.clock.wrapping_add(self.signed()?);
        let previous_time_ns = time_ns.wrapping_sub(self.signed()?);
        let start_ns = time_ns.wrapping_sub(self.signed()?);
        let previous_start_ns = start_ns.wrapping_sub(self.signed()?);
        let cpu_ns = self.number()?;
        let previous_cpu_ns = cpu_ns.wrapping_sub(self.signed()? as u64);
        self.clock = time_ns;
        Some(Points {
            last: Point { start_ns, time_ns, cpu_ns },
            previous: Point {
                start_ns: previous_start_ns,
                time_ns: previous_time_ns,
                cpu_ns: previous_cpu_ns,
            },
            memory_bytes: self.number()?,
        })
    }
}
