//! Sizes as Prometheus's configuration has them: `10MB`, units of 1024.

/// Reads a size in bytes, of one unit or of several (`1MiB512KiB`); `None` where the text is none.
/// `KB` and `KiB` mean the same.
pub fn parse_size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut bytes) = (text.trim(), 0.0);
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let power = match unit[..end].trim() {
            "B" => 0,
            "KB" | "KiB" => 1,
            "MB" | "MiB" => 2,
            "GB" | "GiB" => 3,
            "TB" | "TiB" => 4,
            "PB" | "PiB" => 5,
            _ => return None,
        };
        bytes += number.parse::<f64>().ok()? * 1024_f64.powi(power);
        rest = &unit[end..];
        if rest.is_empty() {
            // Casts of floats saturate.
            return (bytes < 1e18).then_some(bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn units_are_binary() {
        assert_eq!(parse_size("10MB"), Some(10 << 20));
        assert_eq!(parse_size("1.5KiB"), Some(1536));
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("1MiB512KiB"), Some(3 << 19));
        for text in ["", "10", "1MB10", "MB", "1XB", "-1MB", "1e3MB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
