//! Sizes as Prometheus's configuration has them: `10MB`, units of 1024.

/// Reads a size in bytes; `None` where the text is none. `KB` and `KiB` mean the same.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim() {
        "" if number == "0" => 0,
        "B" => 0,
        "KB" | "KiB" => 1,
        "MB" | "MiB" => 2,
        "GB" | "GiB" => 3,
        "TB" | "TiB" => 4,
        "PB" | "PiB" => 5,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    // Casts of floats saturate.
    (bytes < 1e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn units_are_binary() {
        assert_eq!(parse_size("10MB"), Some(10 << 20));
        assert_eq!(parse_size("1.5KiB"), Some(1536));
        assert_eq!(parse_size("0"), Some(0));
        for text in ["", "10", "MB", "1XB", "-1MB", "1e3MB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
