//! What is encoded is what the general reader of protobuf finds, for any labels and values.

use super::receiver::{Got, read_v1, read_v2};
use crate::batch::{Builder, Resent};
use crate::message::{Families, Point};
use crate::series::Table;
use model::{Kind, Labels, Sample, Value};
use proptest::prelude::*;
use scrape::config::Message;
use std::collections::BTreeMap;
use tsdb::{Metadata, Position};

type Row = (BTreeMap<String, String>, i64, i64, u64);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let labels = prop::collection::btree_map("[a-c_é]{1,3}", "\\PC{0,12}", 0..5);
    prop::collection::vec((labels, any::<i64>(), any::<i64>(), any::<u64>()), 0..40)
}

fn bytes_of(message: Message, rows: &[Row], resent: Resent) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut table = Table::new(BTreeMap::new(), Vec::new());
    let mut families = Families::default();
    let (name, help, unit) = ("a".to_owned(), "What a is.".to_owned(), "s".to_owned());
    families.tell(Metadata { name, kind: Kind::Gauge, help, unit });
    let mut builder = Builder::default();
    for (i, (labels, time_ms, start_ms, bits)) in rows.iter().enumerate() {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let named = pairs.chain([("__name__", if i % 2 == 0 { "a_total" } else { "b" })]);
        table.define(i as u32, &Labels::from_pairs(named));
        let value = Value::Float(f64::from_bits(*bits));
        let sample = Sample { time_ms: *time_ms, start_ms: *start_ms, value };
        builder.push(i as u32, Point::Sample(sample));
    }
    let range = (Position::default(), Position::default());
    let batch = builder.finish(message, &table, &families, range, resent);
    assert_eq!(batch.counts.samples, rows.len() as u64);
    let plain = |body: &[u8]| snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    let parts = batch.parts.iter().flat_map(|p| (0..p.len()).map(|i| p.request(i..i + 1)));
    let parts = parts.map(|(body, counts)| {
        assert_eq!(counts.all(), 1);
        plain(&body)
    });
    (plain(&batch.body), parts.collect())
}

fn wanted(rows: &[Row]) -> Vec<(String, i64, String)> {
    let row = |(i, (labels, time, _, bits)): (usize, &Row)| {
        let mut all: BTreeMap<&str, &str> =
            labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        all.insert("__name__", if i % 2 == 0 { "a_total" } else { "b" });
        all.retain(|_, v| !v.is_empty());
        let series = all.iter().map(|(n, v)| format!("{n}={v:?},")).collect();
        (series, *time, bits.to_string())
    };
    rows.iter().enumerate().map(row).collect()
}

proptest! {
    #[test]
    fn requests_say_what_was_given(rows in rows()) {
        let mut got = Got::default();
        let (bytes, _) = bytes_of(Message::V1, &rows, Resent::No);
        prop_assert_eq!(read_v1(&bytes, &mut got), wanted(&rows));
        let (bytes, _) = bytes_of(Message::V2, &rows, Resent::No);
        if !rows.is_empty() {
            prop_assert_eq!(read_v2(&bytes, &mut got), wanted(&rows));
            let family = (2, "What a is.".to_owned(), "s".to_owned());
            prop_assert_eq!(got.families.get("a_total"), Some(&family));
        }
    }

    #[test]
    fn parts_are_the_whole(rows in rows()) {
        let mut got = Got::default();
        let (bytes, parts) = bytes_of(Message::V1, &rows, Resent::Some);
        prop_assert_eq!(parts.concat(), bytes.clone());
        let read: Vec<_> = parts.iter().flat_map(|p| read_v1(p, &mut got)).collect();
        prop_assert_eq!(read, wanted(&rows));
    }
}
