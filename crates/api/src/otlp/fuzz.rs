//! Any bytes sent to `/api/v1/otlp/v1/metrics`: no panic, and what is taken is sound.

use super::{Promoted, Settings, Strategy, json, translate::translate};
use crate::receive::{Batch, Limits};
use std::collections::HashSet;
use std::sync::Arc;

/// A request in protobuf or JSON, from any bytes, with every kind of translation.
pub fn request(bytes: &[u8]) {
    let made = json::to_protobuf(bytes);
    let body = made.as_deref().unwrap_or(bytes);
    for strategy in [
        Strategy::UnderscoreEscapingWithSuffixes,
        Strategy::UnderscoreEscapingWithoutSuffixes,
        Strategy::NoUtf8EscapingWithSuffixes,
        Strategy::NoTranslation,
    ] {
        let settings = Settings {
            strategy,
            promoted: Promoted::AllBut(HashSet::new()),
            native_histograms: strategy == Strategy::NoTranslation,
            scope_labels: true,
            deltas: true,
            ..Settings::default()
        };
        let mut batch = Batch::of(Limits::default(), Arc::default());
        if translate(body, &settings, &mut batch).is_ok() {
            assert!(batch.samples().all(|(labels, _)| !labels.metric().is_empty()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::request;
    use model::protobuf::{put_bytes, put_double, put_integer, put_message};
    use proptest::prelude::*;

    /// Points in which every field may be wrong.
    fn almost_right() -> impl Strategy<Value = Vec<u8>> {
        let field = (1u32..13, prop::collection::vec(0u8..9, 0..17), any::<f64>(), -9i64..9, 0..4);
        let point = prop::collection::vec(field, 0..10);
        let kinds = prop::sample::select(vec![5u32, 7, 9, 10, 11]);
        (kinds, "[a-z.%é]{0,6}", prop::collection::vec(point, 0..4)).prop_map(
            |(kind, name, points)| {
                let mut out = Vec::new();
                let wrap = |out: &mut Vec<u8>| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 3, name.as_bytes());
                    put_message(out, kind, |out| {
                        put_integer(out, 2, 2);
                        put_integer(out, 3, 1);
                        for fields in &points {
                            put_message(out, 1, |out| {
                                for (number, bytes, float, whole, shape) in fields {
                                    match shape {
                                        0 => put_bytes(out, *number, bytes),
                                        1 => put_integer(out, *number, *whole),
                                        2 => put_double(out, *number, *float),
                                        _ => put_message(out, *number, |out| {
                                            put_bytes(out, 1, name.as_bytes());
                                            put_message(out, 2, |out| put_integer(out, 3, *whole));
                                        }),
                                    }
                                }
                            });
                        }
                    });
                };
                put_message(&mut out, 1, |out| {
                    put_message(out, 2, |out| put_message(out, 2, wrap))
                });
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
