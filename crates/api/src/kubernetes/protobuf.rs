//! Writes protobuf messages by hand, field by field, as Kubernetes' generated encoders do: singular
//! fields are written even where they hold the zero value.
//!
//! Follows the wire format (protobuf.dev, "Encoding"); field numbers are those of each
//! `generated.proto` in `k8s.io/apimachinery` and `k8s.io/metrics`.

/// Before the envelope of every protobuf body (`k8s.io/apimachinery`, `runtime/serializer/protobuf`).
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Appends a length-delimited field.
pub fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    varint(out, u64::from(field << 3 | 2));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string field.
pub fn string(out: &mut Vec<u8>, field: u32, text: &str) {
    bytes(out, field, text.as_bytes());
}

/// Appends an `int32` or `int64` field.
pub fn integer(out: &mut Vec<u8>, field: u32, value: i64) {
    varint(out, u64::from(field << 3));
    varint(out, value as u64);
}

/// Appends a `bool` field.
pub fn boolean(out: &mut Vec<u8>, field: u32, value: bool) {
    integer(out, field, i64::from(value));
}

/// Appends a message field, whose content `write` appends.
pub fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field << 3 | 2));
    let start = out.len();
    write(out);
    // The length goes before the content: it is appended and turned round.
    let length = out.len() - start;
    varint(out, length as u64);
    out[start..].rotate_right(varint_len(length as u64));
}

/// Appends an entry of a `map<string, string>` field.
pub fn entry(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    message(out, field, |out| {
        string(out, 1, key);
        string(out, 2, value);
    });
}

/// Appends a `metav1.Time` or `metav1.MicroTime` field: seconds and nanoseconds since the Unix epoch.
pub fn time(out: &mut Vec<u8>, field: u32, time_ns: i64) {
    message(out, field, |out| {
        integer(out, 1, time_ns.div_euclid(1_000_000_000));
        // A Time has whole seconds.
        integer(out, 2, 0);
    });
}

/// Appends a `resource.Quantity` field.
pub fn quantity(out: &mut Vec<u8>, field: u32, text: &str) {
    message(out, field, |out| string(out, 1, text));
}

/// Appends the beginning of a body: magic and envelope (`runtime.Unknown`), up to the raw message of
/// `length` bytes that is to follow; [`envelope_end`] comes after it.
pub fn envelope(out: &mut Vec<u8>, api_version: &str, kind: &str, length: usize) {
    out.extend_from_slice(&MAGIC);
    message(out, 1, |out| {
        string(out, 1, api_version);
        string(out, 2, kind);
    });
    varint(out, 2 << 3 | 2);
    varint(out, length as u64);
}

/// Appends the end of the envelope.
pub fn envelope_end(out: &mut Vec<u8>) {
    string(out, 3, "");
    string(out, 4, "");
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}
