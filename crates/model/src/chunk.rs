//! Samples as chunks of Prometheus's, for those who read its format: remote read sends them, and
//! its blocks consist of them. Written only. Followed are the encodings of `tsdb/chunkenc`: XOR for
//! floats (`xor.go`), and the one for native histograms with float counts
//! (`float_histogram.go`, `histogram_meta.go`, `varbit.go`).

use crate::histogram::{ResetHint, Span};
use crate::value::is_stale;
use crate::{Columns, Histogram};

/// So many samples a chunk, as Prometheus has it.
pub const SAMPLES: usize = 120;

/// How the data of a chunk is encoded; the numbers are Prometheus's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Histograms with float counts.
    FloatHistogram = 3,
}

/// A chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The time of the first sample, in milliseconds since the Unix epoch.
    pub min_ms: i64,
    /// The time of the last sample.
    pub max_ms: i64,
    /// How the data is encoded.
    pub encoding: Encoding,
    /// The samples.
    pub data: Vec<u8>,
}

/// Encodes the samples of a series, in order.
pub fn encode(columns: &Columns, mut each: impl FnMut(Chunk)) {
    let mut histograms = columns.histograms.iter().peekable();
    let mut floats: Option<Floats> = None;
    let mut open: Option<Histograms<'_>> = None;
    for (i, (&time_ms, &value)) in columns.times_ms.iter().zip(&columns.floats).enumerate() {
        let histogram = histograms.next_if(|h| h.0 as usize == i).map(|h| &*h.1);
        let Some(histogram) = histogram else {
            each_open(&mut open, &mut each);
            let chunk = floats.get_or_insert_with(|| Floats::new(time_ms));
            chunk.add(time_ms, value);
            if chunk.count == SAMPLES {
                each_floats(&mut floats, &mut each);
            }
            continue;
        };
        each_floats(&mut floats, &mut each);
        if open.as_ref().is_some_and(|o| !o.takes(histogram)) {
            each_open(&mut open, &mut each);
        }
        open.get_or_insert_with(|| Histograms::new(time_ms)).add(time_ms, histogram);
    }
    each_floats(&mut floats, &mut each);
    each_open(&mut open, &mut each);
}

fn each_floats(chunk: &mut Option<Floats>, each: &mut impl FnMut(Chunk)) {
    if let Some(Floats { bits, count, min_ms, time_ms, .. }) = chunk.take() {
        each(bits.chunk(Encoding::Xor, count, min_ms, time_ms));
    }
}

fn each_open(chunk: &mut Option<Histograms<'_>>, each: &mut impl FnMut(Chunk)) {
    if let Some(Histograms { bits, count, min_ms, time_ms, .. }) = chunk.take() {
        each(bits.chunk(Encoding::FloatHistogram, count, min_ms, time_ms));
    }
}

/// Bits, the highest of a byte first.
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl Bits {
    /// After a header of so many bytes.
    fn new(header: usize) -> Bits {
        Bits { bytes: vec![0; header], free: 0 }
    }

    /// The lowest `count` bits of `value`.
    fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << (self.free - taken)) as u8;
            }
            self.free -= taken;
            left -= taken;
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.put(u64::from(*b), 8));
    }

    /// A number as Go's `binary.PutUvarint` writes it.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// Prometheus's own numbers of a variable length: a prefix of ones says how many bits follow.
    fn varbit(&mut self, value: i64) {
        if value == 0 {
            return self.put(0, 1);
        }
        for (prefix, prefix_bits, bits) in VARBITS {
            if fits(value, bits) {
                self.put(prefix, prefix_bits);
                return self.put(value as u64, bits);
            }
        }
        self.put(0xff, 8);
        self.put(value as u64, 64);
    }

    /// The same for a number without a sign.
    fn varbit_unsigned(&mut self, value: u64) {
        if value == 0 {
            return self.put(0, 1);
        }
        for (prefix, prefix_bits, bits) in VARBITS {
            if value < 1 << bits {
                self.put(prefix, prefix_bits);
                return self.put(value, bits);
            }
        }
        self.put(0xff, 8);
        self.put(value, 64);
    }

    fn chunk(mut self, encoding: Encoding, count: usize, min_ms: i64, max_ms: i64) -> Chunk {
        self.bytes[..2].copy_from_slice(&(count as u16).to_be_bytes());
        Chunk { min_ms, max_ms, encoding, data: self.bytes }
    }
}

/// Prefix, its bits, and the bits that follow.
const VARBITS: [(u64, u32, u32); 7] = [
    (0b10, 2, 3),
    (0b110, 3, 6),
    (0b1110, 4, 9),
    (0b11110, 5, 12),
    (0b11_1110, 6, 18),
    (0b111_1110, 7, 25),
    (0b1111_1110, 8, 56),
];

/// Whether so many bits hold a number; their range has one more above zero than below.
fn fits(value: i64, bits: u32) -> bool {
    let half = 1i64 << (bits - 1);
    (-half + 1..=half).contains(&value)
}

/// A float that is told by what differs from the one before.
#[derive(Clone, Copy)]
struct Xor {
    bits: u64,
    /// Zeros above and below what differed last; `None` before anything did.
    window: Option<(u32, u32)>,
}

impl Xor {
    fn new(value: f64) -> Xor {
        Xor { bits: value.to_bits(), window: None }
    }

    fn put(&mut self, value: f64, out: &mut Bits) {
        let xor = value.to_bits() ^ self.bits;
        self.bits = value.to_bits();
        if xor == 0 {
            return out.put(0, 1);
        }
        out.put(1, 1);
        // Five bits tell the zeros above.
        let (above, below) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        match self.window.filter(|(a, b)| above >= *a && below >= *b) {
            Some((above, below)) => {
                out.put(0, 1);
                out.put(xor >> below, 64 - above - below);
            }
            None => {
                self.window = Some((above, below));
                let bits = 64 - above - below;
                out.put(1, 1);
                out.put(above.into(), 5);
                // 64 does not fit into six bits, and 0 never occurs.
                out.put(u64::from(bits & 63), 6);
                out.put(xor >> below, bits);
            }
        }
    }
}

/// A chunk of floats.
struct Floats {
    bits: Bits,
    count: usize,
    min_ms: i64,
    time_ms: i64,
    step: i64,
    value: Xor,
}

impl Floats {
    fn new(time_ms: i64) -> Floats {
        let value = Xor::new(0.0);
        Floats { bits: Bits::new(2), count: 0, min_ms: time_ms, time_ms, step: 0, value }
    }

    fn add(&mut self, time_ms: i64, value: f64) {
        let step = time_ms.wrapping_sub(self.time_ms);
        match self.count {
            0 => {
                self.bits.varint(((time_ms << 1) ^ (time_ms >> 63)) as u64);
                self.bits.put(value.to_bits(), 64);
                self.value = Xor::new(value);
            }
            1 => {
                self.bits.varint(step as u64);
                self.value.put(value, &mut self.bits);
            }
            _ => {
                let change = step.wrapping_sub(self.step);
                match change {
                    0 => self.bits.put(0, 1),
                    c if fits(c, 14) => {
                        self.bits.put(0b10, 2);
                        self.bits.put(c as u64, 14);
                    }
                    c if fits(c, 17) => {
                        self.bits.put(0b110, 3);
                        self.bits.put(c as u64, 17);
                    }
                    c if fits(c, 20) => {
                        self.bits.put(0b1110, 4);
                        self.bits.put(c as u64, 20);
                    }
                    c => {
                        self.bits.put(0b1111, 4);
                        self.bits.put(c as u64, 64);
                    }
                }
                self.value.put(value, &mut self.bits);
            }
        }
        self.step = step;
        self.time_ms = time_ms;
        self.count += 1;
    }
}

/// A chunk of histograms that have the same layout, and of which none follows a reset.
struct Histograms<'a> {
    bits: Bits,
    count: usize,
    min_ms: i64,
    time_ms: i64,
    step: i64,
    last: Option<&'a Histogram>,
    /// Count, count in the zero bucket, sum, positive buckets, negative buckets.
    values: Vec<Xor>,
}

impl<'a> Histograms<'a> {
    fn new(time_ms: i64) -> Histograms<'a> {
        let (last, values) = (None, Vec::new());
        Histograms { bits: Bits::new(3), count: 0, min_ms: time_ms, time_ms, step: 0, last, values }
    }

    fn takes(&self, next: &Histogram) -> bool {
        let Some(last) = self.last else { return true };
        let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
        self.count < SAMPLES
            && !is_stale(last.sum)
            && !is_stale(next.sum)
            && is_gauge(last) == is_gauge(next)
            && last.schema == next.schema
            && last.zero_threshold.to_bits() == next.zero_threshold.to_bits()
            && last.positive_spans == next.positive_spans
            && last.negative_spans == next.negative_spans
            && last.custom_bounds == next.custom_bounds
            && (is_gauge(next) || !next.is_reset_after(last))
    }

    fn add(&mut self, time_ms: i64, histogram: &'a Histogram) {
        let numbers = |h: &'a Histogram| {
            let stale = is_stale(h.sum);
            // The mark that a series ended has no buckets.
            let head = if stale { [0.0, 0.0, h.sum] } else { [h.count, h.zero_count, h.sum] };
            let buckets = h.positive_buckets.iter().chain(&h.negative_buckets).copied();
            head.into_iter().chain(buckets.take(if stale { 0 } else { usize::MAX }))
        };
        let step = time_ms.wrapping_sub(self.time_ms);
        if self.count == 0 {
            self.begin(histogram);
            self.bits.varbit(time_ms);
            for number in numbers(histogram) {
                self.bits.put(number.to_bits(), 64);
                self.values.push(Xor::new(number));
            }
        } else {
            self.bits.varbit(step.wrapping_sub(self.step));
            for (value, number) in self.values.iter_mut().zip(numbers(histogram)) {
                value.put(number, &mut self.bits);
            }
            self.step = step;
        }
        self.time_ms = time_ms;
        self.last = Some(histogram);
        self.count += 1;
    }

    /// Writes what all histograms of the chunk share.
    fn begin(&mut self, h: &Histogram) {
        self.bits.bytes[2] = match h.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 0b1000_0000,
            ResetHint::NotReset => 0b0100_0000,
            ResetHint::Gauge => 0b1100_0000,
        };
        if is_stale(h.sum) {
            return self.layout(&Histogram::default());
        }
        self.layout(h);
    }

    fn layout(&mut self, h: &Histogram) {
        put_threshold(&mut self.bits, h.zero_threshold);
        self.bits.varbit(h.schema.into());
        for spans in [&h.positive_spans, &h.negative_spans] {
            self.bits.varbit_unsigned(spans.len() as u64);
            for Span { offset, length } in spans {
                self.bits.varbit_unsigned(u64::from(*length));
                self.bits.varbit(i64::from(*offset));
            }
        }
        if h.uses_custom_bounds() {
            self.bits.varbit_unsigned(h.custom_bounds.len() as u64);
            h.custom_bounds.iter().for_each(|b| put_bound(&mut self.bits, *b));
        }
    }
}

/// A power of two in a byte, anything else in nine.
fn put_threshold(bits: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        return bits.put(0, 8);
    }
    // 2^(e-1), as Go's Frexp tells it: no mantissa, and an exponent of -242 to 11.
    let raw = threshold.to_bits();
    let (mantissa, exponent) = (raw & ((1 << 52) - 1), (raw >> 52) as i64 - 1022);
    if mantissa == 0 && (-242..=11).contains(&exponent) {
        return bits.put((exponent + 243) as u64, 8);
    }
    bits.put(255, 8);
    bits.bytes(&raw.to_be_bytes());
}

/// A bound of at most three decimals as a whole number, anything else as a float.
fn put_bound(bits: &mut Bits, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole =
        (0.0..=33_554_430.0).contains(&thousandths) && thousandths.round() / 1000.0 == bound;
    if whole {
        return bits.varbit_unsigned(thousandths.round() as u64 + 1);
    }
    bits.put(0, 1);
    bits.put(bound.to_bits(), 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// A naive reader: a list of bits.
    struct Reader(std::vec::IntoIter<bool>);

    impl Reader {
        fn new(bytes: &[u8]) -> Reader {
            let bits = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1));
            Reader(bits.collect::<Vec<_>>().into_iter())
        }

        fn take(&mut self, count: u32) -> u64 {
            (0..count).fold(0, |v, _| v << 1 | u64::from(self.0.next().unwrap()))
        }

        /// A number of so many bits, of which the one above the half is the most negative one.
        fn signed(&mut self, bits: u32) -> i64 {
            let value = self.take(bits) as i64;
            if bits < 64 && value > 1 << (bits - 1) { value - (1 << bits) } else { value }
        }

        fn varint(&mut self) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = self.take(8);
                value |= (byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        }

        fn ones(&mut self, most: u32) -> u32 {
            (0..most).take_while(|_| self.take(1) == 1).count() as u32
        }

        fn varbit(&mut self) -> i64 {
            match self.ones(8) {
                0 => 0,
                8 => self.signed(64),
                n => self.signed([3, 6, 9, 12, 18, 25, 56][n as usize - 1]),
            }
        }

        fn xor(&mut self, last: &mut (u64, u32, u32)) -> f64 {
            if self.take(1) == 1 {
                if self.take(1) == 1 {
                    last.1 = self.take(5) as u32;
                    let bits = self.take(6) as u32;
                    last.2 = 64 - last.1 - if bits == 0 { 64 } else { bits };
                }
                last.0 ^= self.take(64 - last.1 - last.2) << last.2;
            }
            f64::from_bits(last.0)
        }
    }

    fn read_floats(chunk: &Chunk) -> Vec<(i64, u64)> {
        let count = u16::from_be_bytes([chunk.data[0], chunk.data[1]]);
        let mut reader = Reader::new(&chunk.data[2..]);
        let (mut samples, mut time, mut step, mut last) = (Vec::new(), 0i64, 0i64, (0, 0, 0));
        for i in 0..count {
            let value = match i {
                0 => {
                    let raw = reader.varint();
                    time = (raw >> 1) as i64 ^ -((raw & 1) as i64);
                    last.0 = reader.take(64);
                    f64::from_bits(last.0)
                }
                _ => {
                    step = match i {
                        1 => reader.varint() as i64,
                        _ => step.wrapping_add(match reader.ones(4) {
                            0 => 0,
                            n => reader.signed([14, 17, 20, 64][n as usize - 1]),
                        }),
                    };
                    time = time.wrapping_add(step);
                    reader.xor(&mut last)
                }
            };
            samples.push((time, value.to_bits()));
        }
        samples
    }

    fn read_histograms(chunk: &Chunk) -> Vec<(i64, Vec<u64>)> {
        let count = u16::from_be_bytes([chunk.data[0], chunk.data[1]]);
        let mut reader = Reader::new(&chunk.data[3..]);
        if reader.take(8) == 255 {
            reader.take(64);
        }
        reader.varbit();
        let mut buckets = 0;
        for _ in 0..2 {
            for _ in 0..reader.varbit() {
                buckets += reader.varbit();
                reader.varbit();
            }
        }
        let (mut samples, mut time, mut step) = (Vec::new(), 0i64, 0i64);
        let mut last = vec![(0, 0, 0); 3 + buckets as usize];
        for i in 0..count {
            if i == 0 {
                time = reader.varbit();
                last.iter_mut().for_each(|l| l.0 = reader.take(64));
            } else {
                step += reader.varbit();
                time += step;
                last.iter_mut().for_each(|l| {
                    reader.xor(l);
                });
            }
            samples.push((time, last.iter().map(|l| l.0).collect()));
        }
        samples
    }

    #[test]
    fn thresholds_and_bounds() {
        let bytes = |put: &dyn Fn(&mut Bits)| {
            let mut bits = Bits::new(0);
            put(&mut bits);
            bits.bytes
        };
        assert_eq!(bytes(&|b| put_threshold(b, 0.0)), [0]);
        // Prometheus's default, 2^-128, is 0.5 * 2^-127.
        assert_eq!(bytes(&|b| put_threshold(b, 2f64.powi(-128))), [116]);
        assert_eq!(bytes(&|b| put_threshold(b, 0.001)).len(), 9);
        assert_eq!(bytes(&|b| put_bound(b, 0.001)), [0b10_010_000]);
        assert_eq!(bytes(&|b| put_bound(b, -1.0)).len(), 9);
    }

    proptest! {
        #[test]
        fn floats_are_read_back(
            start in -9_000_000_000_000i64..9_000_000_000_000,
            steps in prop::collection::vec((1i64..2_000_000_000, any::<f64>(), 0..4), 1..400),
        ) {
            let mut columns = Columns::default();
            let (mut time, mut value) = (start, 0.0);
            for (step, next, same) in steps {
                // Often even steps and equal values, as real ones are.
                time += if same > 0 { 15_000 } else { step };
                value = if same > 1 { value } else { next };
                columns.times_ms.push(time);
                columns.floats.push(value);
            }
            let mut read = Vec::new();
            encode(&columns, |chunk| {
                let samples = read_floats(&chunk);
                assert_eq!(samples.first().map(|s| s.0), Some(chunk.min_ms));
                assert_eq!(samples.last().map(|s| s.0), Some(chunk.max_ms));
                read.extend(samples);
            });
            let bits = columns.floats.iter().map(|v| v.to_bits());
            prop_assert_eq!(read, columns.times_ms.iter().copied().zip(bits).collect::<Vec<_>>());
        }

        #[test]
        fn histograms_are_read_back(
            list in prop::collection::vec((1i64..100_000, 0u32..9, 1u32..3, any::<bool>()), 1..300),
        ) {
            let mut columns = Columns::default();
            let (mut time, mut wanted) = (0, Vec::new());
            for (i, (step, count, length, is_float)) in list.into_iter().enumerate() {
                time += step;
                columns.times_ms.push(time);
                columns.floats.push(0.5);
                if is_float && count == 0 {
                    continue;
                }
                let h = Histogram {
                    schema: 3,
                    zero_threshold: 0.001,
                    count: f64::from(count),
                    sum: 0.1,
                    positive_spans: vec![Span { offset: -7, length }],
                    positive_buckets: vec![f64::from(count) / 2.0; length as usize],
                    ..Histogram::default()
                };
                let numbers = [h.count, h.zero_count, h.sum].into_iter().chain(h.positive_buckets.iter().copied());
                wanted.push((time, numbers.map(f64::to_bits).collect::<Vec<_>>()));
                columns.histograms.push((i as u32, Arc::new(h)));
            }
            let (mut read, mut floats, mut last_ms) = (Vec::new(), 0, i64::MIN);
            encode(&columns, |chunk| {
                assert!(chunk.min_ms > last_ms);
                last_ms = chunk.max_ms;
                match chunk.encoding {
                    Encoding::Xor => floats += read_floats(&chunk).len(),
                    Encoding::FloatHistogram => read.extend(read_histograms(&chunk)),
                }
            });
            prop_assert_eq!(read.len() + floats, columns.times_ms.len());
            prop_assert_eq!(read, wanted);
        }
    }
}
