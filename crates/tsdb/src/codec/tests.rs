//! Every column comes back to the bit, foreign bytes do no harm, and real shapes are small.

use super::*;
use proptest::prelude::*;

fn round_trip(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_floats(values, &mut bytes);
    bytes.push(0xaa);
    let mut back = Vec::new();
    let rest = decode_floats(&bytes, values.len(), &mut back).expect("decodes");
    assert_eq!(rest, [0xaa], "all of the column is read and no more");
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(values), bits(&back));
    bytes.pop();
    bytes
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000i64..1000).prop_map(|i| i as f64),
        (any::<i32>(), 0usize..10).prop_map(|(i, e)| f64::from(i) / POWERS[e]),
        Just(f64::from_bits(model::value::STALE_BITS)),
        Just(-0.0),
        Just(f64::MAX),
        Just(EXACT_MAX),
        Just(EXACT_MAX - 1.0),
    ]
}

fn column() -> impl Strategy<Value = Vec<f64>> {
    let runs = prop::collection::vec((float(), 1usize..40), 0..12).prop_map(|runs| {
        runs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v, n)).collect::<Vec<_>>()
    });
    let counter = (any::<u32>(), prop::collection::vec(0u64..1 << 40, 0..300), 0usize..10);
    let counter = counter.prop_map(|(start, steps, e)| {
        let mut sum = u64::from(start);
        let step = |s: u64| {
            sum = (sum + s) % (1 << 53);
            sum as f64 / POWERS[e]
        };
        steps.into_iter().map(step).collect()
    });
    prop_oneof![prop::collection::vec(float(), 0..300), runs, counter]
}

proptest! {
    #[test]
    fn floats_come_back_to_the_bit(values in column()) {
        round_trip(&values);
    }

    #[test]
    fn integers_come_back(values in prop::collection::vec(
        prop_oneof![any::<i64>(), -100i64..100, (0i64..1000).prop_map(|v| v * 4096)], 0..300)) {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        encode_ints(&values, &mut bytes);
        prop_assert_eq!(decode_ints(&bytes, values.len(), &mut back), Ok(&[][..]));
        prop_assert_eq!(values, back);
    }

    #[test]
    fn foreign_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..2000) {
        crate::fuzz::columns(&bytes, count);
    }

    #[test]
    fn a_column_cut_short_or_changed_does_no_harm(values in column(), cut in any::<prop::sample::Index>(), flip in 0u8..8) {
        let mut bytes = Vec::new();
        encode_floats(&values, &mut bytes);
        if !bytes.is_empty() {
            let at = cut.index(bytes.len());
            crate::fuzz::columns(&bytes[..at], values.len());
            bytes[at] ^= 1 << flip;
            crate::fuzz::columns(&bytes, values.len());
        }
    }
}

/// A small generator, so that the shapes below are the same on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

type Shape = (&'static str, f64, fn(&mut Noise, &mut f64) -> f64);

#[test]
fn real_shapes_are_small() {
    // Bytes a value that each shape may take at most in columns of 120 and of 1,024 values.
    let shapes: [(Shape, f64); 7] = [
        (("constant gauge", 0.03, |_, _| 4.0), 0.01),
        (
            ("idle counter", 0.35, |n, v| {
                *v += f64::from(u8::from(n.below(100) == 0));
                *v
            }),
            0.15,
        ),
        (
            ("busy integer counter", 1.1, |n, v| {
                *v += (90 + n.below(40)) as f64;
                *v
            }),
            1.0,
        ),
        (
            ("bytes counter", 3.1, |n, v| {
                *v += (1_000_000 + n.below(600_000)) as f64;
                *v
            }),
            3.0,
        ),
        (
            ("CPU seconds, us steps", 3.1, |n, v| {
                *v += (400_000 + n.below(200_000)) as f64;
                *v / 1e6
            }),
            2.9,
        ),
        (
            ("memory in pages", 1.4, |n, v| {
                if n.below(3) == 0 {
                    *v += n.below(200) as f64 - 100.0;
                }
                (50_000.0 + *v) * 4096.0
            }),
            1.3,
        ),
        (("true floats", 7.5, |n, _| f64::from_bits(n.next() >> 12 | 0x3ff0_0000_0000_0000)), 7.3),
    ];
    for ((name, short_max, next), long_max) in shapes {
        for (count, max) in [(120, short_max), (1024, long_max)] {
            let (mut noise, mut state) = (Noise(0x9e37_79b9_7f4a_7c15), 0.0);
            let values: Vec<f64> = (0..count).map(|_| next(&mut noise, &mut state)).collect();
            let size = round_trip(&values).len() as f64 / count as f64;
            println!("{name:24} {count:5} values: {size:.3} bytes a value");
            assert!(size <= max, "{name}: {size:.3} bytes a value in {count}, at most {max}");
        }
    }
}
