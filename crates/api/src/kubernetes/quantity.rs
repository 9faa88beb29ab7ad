//! Writes Kubernetes' quantities in their canonical form: the largest suffix that leaves a whole number.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: `DecimalSI` (`250m`, `1500u`) and `BinarySI` (`12Mi`;
//! below 1024 as `DecimalSI`).

/// Appends `value` times ten to the power of `scale` (a multiple of three, -9 to 0): CPU in nanocores has
/// the scale -9, thousandths have -3.
pub fn decimal(out: &mut Vec<u8>, value: u64, scale: i32) {
    const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let mut value = value;
    let mut step = ((scale + 9) / 3).clamp(0, 3) as usize;
    if value == 0 {
        out.push(b'0');
        return;
    }
    while value.is_multiple_of(1000) && step + 1 < SUFFIXES.len() {
        value /= 1000;
        step += 1;
    }
    crate::json::integer(out, value);
    out.extend_from_slice(SUFFIXES[step].as_bytes());
}

/// Appends a number of bytes.
pub fn binary(out: &mut Vec<u8>, value: u64) {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if value < 1024 {
        return decimal(out, value, 0);
    }
    let mut value = value;
    let mut step = 0;
    while value.is_multiple_of(1024) && step + 1 < SUFFIXES.len() {
        value /= 1024;
        step += 1;
    }
    crate::json::integer(out, value);
    out.extend_from_slice(SUFFIXES[step].as_bytes());
}

/// Appends a number of thousandths, which may be negative: `10500m`, `-3`.
pub fn milli(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs(), -3);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Printed by `resource.NewScaledQuantity(v, -9)` of k8s.io/apimachinery v0.36.
    #[test]
    fn cpu_is_written_as_upstream_writes_it() {
        let table = [
            (0, "0"),
            (1, "1n"),
            (999, "999n"),
            (1000, "1u"),
            (1500, "1500n"),
            (1_500_000, "1500u"),
            (15_000_000, "15m"),
            (250_000_000, "250m"),
            (1_000_000_000, "1"),
            (1_250_000_000, "1250m"),
            (64_000_000_000, "64"),
            (2_000_000_000_000, "2k"),
        ];
        for (value, expected) in table {
            assert_eq!(written(|out| decimal(out, value, -9)), expected);
        }
    }

    #[test]
    fn bytes_are_written_as_upstream_writes_them() {
        let table = [
            (0, "0"),
            (500, "500"),
            (1000, "1k"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1025, "1025"),
            (12_582_912, "12Mi"),
            (12_550_144, "12256Ki"),
            (1_000_000, "1000000"),
            (1 << 40, "1Ti"),
        ];
        for (value, expected) in table {
            assert_eq!(written(|out| binary(out, value)), expected);
        }
    }

    #[test]
    fn thousandths_have_a_sign() {
        for (value, expected) in [(10_500, "10500m"), (-3000, "-3"), (0, "0"), (2_000_000, "2k")] {
            assert_eq!(written(|out| milli(out, value)), expected);
        }
    }
}
