//! RFC 3339 as Kubernetes' `Time` and `MicroTime` read and write it, with Go's words for mistakes.

/// A moment: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// Reads a time. With `micro`, exactly six fractional digits are wanted; without, any fraction is read,
/// to nanoseconds.
pub(super) fn parse(text: &str, micro: bool) -> Result<Moment, String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    read(text, micro).map_err(|(rest, element)| {
        if element.is_empty() {
            format!("parsing time {text:?}: {rest} out of range")
        } else {
            format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
        }
    })
}

/// Writes a time in UTC, with six fractional digits if `micro`.
pub(super) fn format(at: Moment, micro: bool) -> String {
    let (days, second) = (at.seconds.div_euclid(86_400), at.seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if micro { format!(".{:06}", at.nanos / 1000) } else { String::new() };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Writes a time in UTC with the fraction that it has, without zeros at its end.
pub(super) fn format_exact(at: Moment) -> String {
    let mut text = format(at, false);
    if at.nanos > 0 {
        let digits = format!("{:09}", at.nanos);
        text.pop();
        text = format!("{text}.{}Z", digits.trim_end_matches('0'));
    }
    text
}

type Mistake<'a> = (&'a str, &'static str);

fn read(text: &str, micro: bool) -> Result<Moment, Mistake<'_>> {
    let mut rest = text;
    let year = digits(&mut rest, 4, "2006")?;
    literal(&mut rest, "-")?;
    let month = digits(&mut rest, 2, "01")?;
    literal(&mut rest, "-")?;
    let day = digits(&mut rest, 2, "02")?;
    literal(&mut rest, "T")?;
    let hour = digits(&mut rest, 2, "15")?;
    literal(&mut rest, ":")?;
    let minute = digits(&mut rest, 2, "04")?;
    literal(&mut rest, ":")?;
    let second = digits(&mut rest, 2, "05")?;
    let nanos = if micro { micros(&mut rest)? } else { fraction(&mut rest) };
    for (value, low, high, name) in [
        (month, 1, 12, "month"),
        (day, 1, month_days(year, month), "day"),
        (hour, 0, 23, "hour"),
        (minute, 0, 59, "minute"),
        (second, 0, 59, "second"),
    ] {
        if value < low || value > high {
            return Err((name, ""));
        }
    }
    let offset = zone(&mut rest)?;
    if !rest.is_empty() {
        return Err((rest, "Z07:00"));
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Ok(Moment { seconds, nanos })
}

fn digits<'a>(rest: &mut &'a str, count: usize, element: &'static str) -> Result<i64, Mistake<'a>> {
    let found = rest.get(..count).filter(|t| t.bytes().all(|b| b.is_ascii_digit())).ok_or((*rest, element))?;
    let value = found.parse().map_err(|_| (*rest, element))?;
    *rest = &rest[count..];
    Ok(value)
}

fn literal<'a>(rest: &mut &'a str, text: &'static str) -> Result<(), Mistake<'a>> {
    *rest = rest.strip_prefix(text).ok_or((*rest, text))?;
    Ok(())
}

fn micros<'a>(rest: &mut &'a str) -> Result<u32, Mistake<'a>> {
    let start = *rest;
    let tail = start.strip_prefix('.').ok_or((start, ".000000"))?;
    let found = tail.get(..6).filter(|t| t.bytes().all(|b| b.is_ascii_digit())).ok_or((start, ".000000"))?;
    let value: u32 = found.parse().map_err(|_| (start, ".000000"))?;
    *rest = &tail[6..];
    Ok(value * 1000)
}

fn fraction(rest: &mut &str) -> u32 {
    let Some(tail) = rest.strip_prefix('.') else {
        return 0;
    };
    let count = tail.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return 0;
    }
    let nanos =
        tail[..count].bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    *rest = &tail[count..];
    nanos
}

fn zone<'a>(rest: &mut &'a str) -> Result<i64, Mistake<'a>> {
    let start = *rest;
    if let Some(tail) = start.strip_prefix('Z') {
        *rest = tail;
        return Ok(0);
    }
    let sign = match start.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err((start, "Z07:00")),
    };
    *rest = &start[1..];
    let mut part = |first: bool| -> Result<i64, Mistake<'a>> {
        if !first {
            literal(rest, ":")?;
        }
        digits(rest, 2, "Z07:00")
    };
    let (hours, minutes) = (part(true).map_err(|_| (start, "Z07:00"))?, part(false).map_err(|_| (start, "Z07:00"))?);
    Ok(sign * (hours * 3600 + minutes * 60))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (years counted from March, eras of 400 years).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{Moment, format, parse};
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes() {
        let at = parse("2024-02-29T23:59:59.5+02:00", false).unwrap();
        assert_eq!(format(at, false), "2024-02-29T21:59:59Z");
        assert_eq!(format(Moment { seconds: 0, nanos: 1_000 }, true), "1970-01-01T00:00:00.000001Z");
        assert_eq!(parse("1969-12-31T23:59:59Z", false).unwrap().seconds, -1);
    }

    #[test]
    fn mistakes_in_gos_words() {
        assert_eq!(
            parse("2024-01-02T03:04:05Z", true).unwrap_err(),
            r#"parsing time "2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
        assert_eq!(
            parse("2024-13-02T03:04:05Z", false).unwrap_err(),
            r#"parsing time "2024-13-02T03:04:05Z": month out of range"#
        );
    }

    proptest! {
        #[test]
        fn round_trip(seconds in -62_135_596_800i64..253_402_300_800, micros in 0u32..1_000_000) {
            let at = Moment { seconds, nanos: micros * 1000 };
            prop_assert_eq!(parse(&format(at, true), true), Ok(at));
        }

        #[test]
        fn never_panics(text in "\\PC*|[0-9TZ:.+-]{0,30}") {
            let _ = (parse(&text, true), parse(&text, false));
        }
    }
}
