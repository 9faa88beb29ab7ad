//! Bodies for fuzzers.

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
