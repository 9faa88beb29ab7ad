//! Any bytes sent to `/api/v1/write`: no panic, and what is taken is sound.

use super::{Protocol, decode};
use crate::receive::{Batch, Limits};
use std::sync::Arc;

/// Both messages, from any bytes.
pub fn request(bytes: &[u8]) {
    for protocol in [Protocol::RemoteWrite1, Protocol::RemoteWrite2] {
        let mut batch = Batch::of(Limits::default(), Arc::default());
        if decode(protocol, bytes, None, &mut batch).is_ok() {
            for (labels, sample) in batch.samples() {
                assert!(!labels.metric().is_empty());
                if let model::Value::Histogram(h) = &sample.value {
                    let _ = (h.buckets(), h.weight());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::request;
    use model::protobuf::{put_bytes, put_double, put_integer, put_message};
    use proptest::prelude::*;

    /// A request in which every field may be wrong.
    fn almost_right() -> impl Strategy<Value = Vec<u8>> {
        let field = (1u32..18, prop::collection::vec(0u8..6, 0..6), any::<f64>(), -3i64..20);
        let series = prop::collection::vec((field, 0..4), 0..12);
        (prop::collection::vec("[a_]{0,3}", 0..6), prop::collection::vec(series, 0..4)).prop_map(
            |(symbols, list)| {
                let mut out = Vec::new();
                symbols.iter().for_each(|s| put_bytes(&mut out, 4, s.as_bytes()));
                for fields in &list {
                    for outer in [1, 5] {
                        put_message(&mut out, outer, |out| {
                            for ((number, bytes, float, whole), shape) in fields {
                                match shape {
                                    0 => put_bytes(out, *number, bytes),
                                    1 => put_integer(out, *number, *whole),
                                    2 => put_double(out, *number, *float),
                                    _ => put_message(out, *number % 6, |out| {
                                        put_integer(out, *number, *whole);
                                        put_double(out, 1, *float);
                                        put_bytes(out, 12, bytes);
                                        put_message(out, 11, |out| put_integer(out, 2, *whole));
                                    }),
                                }
                            }
                        });
                    }
                }
                out
            },
        )
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            request(&bytes);
        }

        #[test]
        fn no_almost_right_request_breaks_it(bytes in almost_right()) {
            request(&bytes);
        }
    }
}
