//! The parameters of a request, from the query string and a form body, and Prometheus's rules for
//! times, durations, limits and series selectors in them (`web/api/v1/api.go`).

use crate::answer::Failure;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use model::Matcher;
use model::exposition::parse_float;

/// How long a form body may be.
const FORM_BYTES: usize = 10 << 20;

/// The earliest time that an open range begins at, in milliseconds.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// The latest time that an open range ends at, in milliseconds.
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

/// The parameters of a request, those of the body first, as Go orders them.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses `a=1&b=2`.
    pub fn parse(text: &str) -> Parameters {
        Parameters(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; `""` where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// All values of a parameter that may come more than once.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |p| p.0 == name).map(|p| p.1.as_str())
    }

    /// A time in milliseconds, or `default` where the parameter is absent.
    pub fn time_or(&self, name: &str, default: i64) -> Result<i64, Failure> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text).map_err(|why| {
                Failure::parameter(name, format!("invalid time value for '{name}': {why}"))
            }),
        }
    }

    /// As [`Parameters::time_or`], with the error's bare words.
    pub fn plain_time_or(&self, name: &str, default: i64) -> Result<i64, Failure> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text)
                .map_err(|why| Failure::BadData(format!("invalid time value for '{name}': {why}"))),
        }
    }

    /// A time in milliseconds that must be there.
    pub fn time(&self, name: &str) -> Result<i64, Failure> {
        parse_time(self.get(name)).map_err(|why| Failure::parameter(name, why))
    }

    /// A duration in nanoseconds; `None` where the parameter is absent.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_duration(text).map(Some).map_err(|why| Failure::parameter(name, why)),
        }
    }

    /// `limit`; 0 for none.
    pub fn limit(&self) -> Result<usize, Failure> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let number = parse_integer(text).map_err(|why| Failure::parameter("limit", why))?;
        usize::try_from(number)
            .map_err(|_| Failure::parameter("limit", "limit must be non-negative"))
    }

    /// All `match[]`, each a list of matchers.
    pub fn matchers(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let mut sets = Vec::new();
        for text in self.all("match[]") {
            sets.push(promql::parse_selector(text).map_err(|e| e.to_string())?);
        }
        if sets.iter().any(|set| set.iter().all(|m| m.matches(""))) {
            return Err("match[] must contain at least one non-empty matcher".into());
        }
        Ok(sets)
    }
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Parameters, Failure> {
        let (head, body) = request.into_parts();
        let mut all = Parameters::default();
        if matches!(head.method, Method::POST | Method::PUT) {
            all = form(&head.headers, body).await?;
        }
        if let Some(query) = head.uri.query() {
            all.0.append(&mut Parameters::parse(query).0);
        }
        Ok(all)
    }
}

async fn form(headers: &axum::http::HeaderMap, body: Body) -> Result<Parameters, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Parameters::default());
    }
    let body = to_bytes(body, FORM_BYTES)
        .await
        .map_err(|e| Failure::BadData(format!("error parsing form values: {e}")))?;
    Ok(Parameters(form_urlencoded::parse(&body).into_owned().collect()))
}

/// A time as float seconds or as RFC 3339, in milliseconds since the Unix epoch.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let refused = || format!("cannot parse {} to a valid timestamp", model::labels::Quoted(text));
    if let Some(seconds) = parse_float(text) {
        if !seconds.is_finite() {
            return Err(refused());
        }
        // As Go does it, to the bit: whole seconds, and a fraction rounded to milliseconds that
        // then becomes whole nanoseconds.
        let fraction = (seconds.fract() * 1000.0).round() / 1000.0;
        let nanoseconds = (fraction * 1e9) as i64;
        let whole = (seconds.trunc() as i64).saturating_mul(1000);
        return Ok(whole.saturating_add(nanoseconds.div_euclid(1_000_000)));
    }
    match text {
        "-292273086-05-16T16:47:06Z" => Ok(MIN_TIME_MS),
        "+292277025-08-18T07:12:54.999999999Z" | "292277025-08-18T07:12:54.999999999Z" => {
            Ok(MAX_TIME_MS)
        }
        _ => parse_rfc3339(text).ok_or_else(refused),
    }
}

/// `2006-01-02T15:04:05.999Z` or with `+07:00`.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then_some(())?;
        text.get(from..to)?.parse().ok()
    };
    let mark = |at: usize, wanted: u8| (bytes.get(at) == Some(&wanted)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    for (at, wanted) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        mark(at, wanted)?;
    }
    let mut at = 19;
    let mut ms = 0;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let fraction = &text[at + 1..at + 1 + digits.min(3)];
        ms = fraction.parse::<i64>().ok()? * 10_i64.pow(3 - fraction.len() as u32);
        at += 1 + digits;
    }
    let offset_minutes = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 => {
            mark(at + 3, b':')?;
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 24 || minutes >= 60 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_minutes * 60) * 1000 + ms)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, counted in years that begin in March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A time in milliseconds as RFC 3339 in UTC: `2026-11-21T10:30:00.123Z`.
pub fn format_time(time_ms: i64) -> String {
    let (days, ms) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000));
    // The inverse of `days_since_epoch`.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if ms % 1000 != 0 {
        text.push_str(&format!(".{:03}", ms % 1000));
    }
    text.push('Z');
    text
}

/// A duration as float seconds or as `1h30m`, in nanoseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = model::labels::Quoted(text);
    if let Some(seconds) = parse_float(text) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.is_nan() {
            return Err(format!("cannot parse {quoted} to a valid duration"));
        }
        if nanoseconds > i64::MAX as f64 || nanoseconds < i64::MIN as f64 {
            return Err(format!("cannot parse {quoted} to a valid duration. It overflows int64"));
        }
        return Ok(nanoseconds as i64);
    }
    promql::duration::parse_duration(text)
        .map_err(|_| format!("cannot parse {quoted} to a valid duration"))
}

/// A truth in any of the spellings that Go takes, with its words where it is none.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => {
            let quoted = model::labels::Quoted(text);
            Err(format!("strconv.ParseBool: parsing {quoted}: invalid syntax"))
        }
    }
}

/// A whole number, with Go's words where it is none.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let quoted = model::labels::Quoted(text);
    text.parse().map_err(|_| {
        let why = if all_digits { "value out of range" } else { "invalid syntax" };
        format!("strconv.Atoi: parsing {quoted}: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("1543578564.705", 1_543_578_564_705),
            ("0", 0),
            ("-1.5", -1_500),
            ("123.1234", 123_123),
            ("1e3", 1_000_000),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("2015-06-03T13:21:58Z", 1_433_337_718_000),
            ("2015-06-03T13:21:58.5Z", 1_433_337_718_500),
            ("1969-12-31T23:59:59.9Z", -100),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "30s",
            "2015-06-03",
            "2015-13-03T13:21:58Z",
            "2023-02-29T00:00:00Z",
            "2015-06-03T13:21:58",
            "2015-06-03T13:21:58.Z",
            "2015-06-03t13:21:58Z",
            "2015-06-03T24:00:00Z",
            "NaN",
            "é015-06-03T13:21:58Z",
        ] {
            let why = parse_time(text).unwrap_err();
            assert!(why.ends_with("to a valid timestamp"), "{text}: {why}");
        }
        assert_eq!(parse_time("-292273086-05-16T16:47:06Z"), Ok(MIN_TIME_MS));
    }

    #[test]
    fn durations() {
        const S: i64 = 1_000_000_000;
        for (text, ns) in [
            ("1", S),
            ("0.5", S / 2),
            ("5m", 300 * S),
            ("1h30m", 5400 * S),
            ("1w", 7 * 86_400 * S),
            ("1d12h", 36 * 3600 * S),
            ("100ms", S / 10),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
        for text in ["", "abc", "1x", "5m1h", "1.5h", "-5m", "300y", "1h1h", "m", "NaN"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let why = parse_duration("1e300").unwrap_err();
        assert!(why.ends_with("It overflows int64"), "{why}");
    }

    #[test]
    fn integers_fail_with_gos_words() {
        assert_eq!(parse_integer("12"), Ok(12));
        let why = parse_integer("x").unwrap_err();
        assert_eq!(why, "strconv.Atoi: parsing \"x\": invalid syntax");
        let why = parse_integer("99999999999999999999").unwrap_err();
        assert_eq!(why, "strconv.Atoi: parsing \"99999999999999999999\": value out of range");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (parse_time(&text), parse_duration(&text), parse_integer(&text));
        }

        #[test]
        fn times_come_back(ms in -62_135_596_800_000i64..253_402_300_800_000) {
            prop_assert_eq!(parse_time(&format_time(ms)), Ok(ms));
        }
    }
}
