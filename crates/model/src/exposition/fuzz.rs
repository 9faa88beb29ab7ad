//! Bodies for fuzzers.

use super::protobuf::{Choice, Event, ProtobufError, Reader, Reading};
use super::{Format, Syntax, Writer, read};
use crate::Sink;

/// Any bytes: no panic; what was read, written and read again, is the same.
pub fn read_write_read(input: &[u8]) {
    for syntax in [Syntax::Text, Syntax::OpenMetrics] {
        let Ok(families) = read(input, syntax) else { continue };
        let format = Format { syntax, escaping: super::Escaping::AllowUtf8 };
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, format);
        for family in &families {
            family.write(&mut writer as &mut dyn Sink);
        }
        let repeated = !writer.repeated().is_empty();
        writer.finish();
        let again = read(&out, syntax);
        let text = String::from_utf8_lossy(&out);
        let again = again.unwrap_or_else(|e| panic!("{e} in what we wrote: {text}"));
        if repeated {
            // Two families whose headers have the same name: they come back as one.
            continue;
        }
        let values = |families: &[super::FamilyText]| -> Vec<_> {
            let samples = families.iter().flat_map(|f| &f.samples);
            samples.map(|s| (s.name.clone(), (s.value + 0.0).to_bits(), s.labels.len())).collect()
        };
        assert_eq!(values(&again), values(&families), "{text}");
    }
}

/// Any bytes as a protobuf exposition: no panic; an error names a place within the bytes, and what was
/// read of native histograms has the buckets that its spans name.
pub fn read_protobuf(input: &[u8]) {
    for flags in 0..8 {
        let choice =
            Choice { native: flags & 1 > 0, classic_too: flags & 2 > 0, custom: flags & 4 > 0 };
        let mut reader = Reader::new(input);
        if let Err(error) = read_points(&mut reader, choice) {
            let at = match error {
                ProtobufError::Malformed(error) => error.at,
                ProtobufError::Family { at, .. } => at,
            };
            assert!(at <= input.len(), "{at}");
        }
    }
}

fn read_points(reader: &mut Reader<'_>, choice: Choice) -> Result<(), ProtobufError> {
    let (mut pairs, mut key) = (Vec::new(), Vec::new());
    while let Some(event) = reader.next()? {
        let Event::Metric(metric) = event else { continue };
        key.clear();
        metric.push_key(&mut key);
        metric.labels(&mut pairs)?;
        metric.points(choice, |_, point| {
            for exemplar in point.exemplars {
                exemplar.labels(&mut pairs)?;
            }
            if let Reading::Histogram { histogram: h, whole } = point.value {
                let named: u64 = h.positive_spans.iter().map(|s| u64::from(s.length)).sum();
                assert_eq!(named, h.positive_buckets.len() as u64);
                let _ = h.validate(whole); // whether it is sound, is the sender's
            }
            Ok::<(), ProtobufError>(())
        })?;
    }
    Ok(())
}
