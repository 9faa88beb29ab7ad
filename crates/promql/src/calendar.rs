//! Dates in UTC from seconds since the Unix epoch (proleptic Gregorian calendar).

/// A day and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 1 to 366.
    pub day_of_year: i64,
    /// Sunday is 0.
    pub weekday: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

/// The date of a number of seconds since the Unix epoch.
pub(crate) fn date(seconds: i128) -> Date {
    let days = seconds.div_euclid(86_400) as i64;
    let rest = seconds.rem_euclid(86_400) as i64;
    // Years are counted from March here, so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_march_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_march_year + 2) / 153;
    let day = day_of_march_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let before: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
    Date {
        year,
        month,
        day,
        day_of_year: before + day,
        weekday: (days + 4).rem_euclid(7),
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
    }
}

/// How many days a month has.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2006-01-02T15:04:05Z`
pub(crate) fn rfc3339(seconds: i64) -> String {
    let d = date(seconds.into());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        d.year, d.month, d.day, d.hour, d.minute, d.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        let d = date(1_136_239_445);
        assert_eq!((d.year, d.month, d.day, d.hour, d.minute, d.second), (2006, 1, 2, 22, 4, 5));
        assert_eq!((d.weekday, d.day_of_year), (1, 2));
    }

    #[test]
    fn days_follow_one_another() {
        let mut last = date(-86_400 * 400);
        for day in -399i64..1000 {
            let next = date(i128::from(day) * 86_400);
            assert_eq!(next.weekday, (last.weekday + 1) % 7);
            if next.day == 1 {
                assert_eq!(last.day, days_in_month(last.year, last.month));
            } else {
                assert_eq!(next.day, last.day + 1);
            }
            last = next;
        }
    }
}
