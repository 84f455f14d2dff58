//! Cron schedules as Kubernetes reads them: the standard form of `github.com/robfig/cron/v3`.
//!
//! Five fields (minute, hour, day of month, month, day of week) of `*`, `?`, numbers, names, ranges, steps and lists; or
//! `@hourly` and the like; or `@every 1h30m`. When both days are restricted, either will do. A small parser of our own: the
//! crates of the field read a superset (seconds, `L`, `W`, `#`), which the API server refuses.
//! Local times that a clock change skips do not occur; those that it repeats occur twice, as upstream.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// How far to look for the next time; a schedule such as February 30 has none.
const YEARS: i64 = 5;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Schedule {
    /// Every so many seconds.
    Every(i64),
    /// At local times.
    At(Box<Fields>),
}

/// Sets of allowed values, as bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both days are restricted.
    either_day: bool,
}

/// A schedule that does not parse.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadSchedule(String);

fn bad<T>(text: impl Into<String>) -> Result<T, BadSchedule> {
    Err(BadSchedule(text.into()))
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// [`BadSchedule`] says which part does not parse.
    pub(crate) fn parse(text: &str) -> Result<Self, BadSchedule> {
        let text = text.trim();
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            text => text,
        };
        if let Some(every) = text.strip_prefix("@every ") {
            return Ok(Self::Every(seconds(every.trim())?.max(1)));
        }
        if text.starts_with('@') {
            return bad(format!("unrecognized descriptor: {text}"));
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return bad(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        };
        let (days, any_day) = field(day, 1, 31, &[])?;
        let (weekdays, any_weekday) = field(weekday, 0, 6, &DAYS)?;
        Ok(Self::At(Box::new(Fields {
            minutes: field(minute, 0, 59, &[])?.0,
            hours: field(hour, 0, 23, &[])?.0,
            days,
            months: field(month, 1, 12, &MONTHS)?.0,
            weekdays,
            either_day: !any_day && !any_weekday,
        })))
    }

    /// The first time after `after`, in a time zone; `None` when there is none in the next years.
    pub(crate) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => {
                Timestamp::from_second(after.as_second()).ok()?.checked_add(SignedDuration::from_secs(*seconds)).ok()
            }
            Self::At(fields) => fields.next(after, zone),
        }
    }

    /// The last time in `(after, now]`, and how many there are at least, counted up to 101: more are too many to count.
    pub(crate) fn latest(&self, after: Timestamp, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, usize)> {
        let mut latest = self.next(after, zone).filter(|at| *at <= now)?;
        let mut count = 1;
        while let Some(next) = self.next(latest, zone).filter(|at| *at <= now) {
            latest = next;
            count += 1;
            if count > 100 {
                return Some((self.last_before(latest, now, zone), count));
            }
        }
        Some((latest, count))
    }

    /// The last time up to `now`, looked for from ever further back; `from` is one of them.
    fn last_before(&self, from: Timestamp, now: Timestamp, zone: &TimeZone) -> Timestamp {
        if let Self::Every(seconds) = self {
            let rounds = now.duration_since(from).as_secs() / seconds;
            return from.checked_add(SignedDuration::from_secs(rounds * seconds)).unwrap_or(from);
        }
        let mut back = SignedDuration::from_mins(2);
        let mut latest = loop {
            let start = now.checked_sub(back).unwrap_or(from).max(from);
            match self.next(start, zone).filter(|at| *at <= now) {
                Some(found) => break found,
                None if start == from => return from,
                None => back *= 2,
            }
        };
        while let Some(next) = self.next(latest, zone).filter(|at| *at <= now) {
            latest = next;
        }
        latest
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) + 1;
        let mut at = Timestamp::from_second(minute * 60).ok()?.to_zoned(zone.clone());
        let end = at.checked_add(YEARS.years()).ok()?;
        while at <= end {
            let (date, time) = (at.date(), at.time());
            at = if !has(self.months, date.month()) {
                start_of(date.last_of_month().tomorrow().ok()?, zone)?
            } else if !self.allows(date) {
                start_of(date.tomorrow().ok()?, zone)?
            } else if !has(self.hours, time.hour()) {
                at.checked_add((60 - i64::from(time.minute())).minutes()).ok()?
            } else if !has(self.minutes, time.minute()) {
                at.checked_add(1.minute()).ok()?
            } else {
                return Some(at.timestamp());
            };
        }
        None
    }

    fn allows(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }
}

fn start_of(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set & (1 << value) != 0)
}

/// A field's values, and whether it is unrestricted.
fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Result<(u64, bool), BadSchedule> {
    let (mut set, mut any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (bits, star) = range(part, low, high, names)?;
        set |= bits;
        any |= star;
    }
    Ok((set, any))
}

fn range(text: &str, low: u32, high: u32, names: &[&str]) -> Result<(u64, bool), BadSchedule> {
    let (span, step) = match text.split_once('/') {
        None => (text, None),
        Some((_, step)) if step.contains('/') => return bad(format!("too many slashes: {text}")),
        Some((span, step)) => (span, Some(number(step, &[], 0)?)),
    };
    let star = matches!(span, "*" | "?");
    let (first, last) = match span.split_once('-') {
        _ if star => (low, high),
        None => {
            let first = number(span, names, low)?;
            // `N/step` means from N on.
            (first, if step.is_some() { high } else { first })
        }
        Some((_, last)) if last.contains('-') => return bad(format!("too many hyphens: {text}")),
        Some((first, last)) => (number(first, names, low)?, number(last, names, low)?),
    };
    let step = step.unwrap_or(1);
    match () {
        () if first < low => return bad(format!("beginning of range ({first}) below minimum ({low}): {text}")),
        () if last > high => return bad(format!("end of range ({last}) above maximum ({high}): {text}")),
        () if first > last => {
            return bad(format!("beginning of range ({first}) beyond end of range ({last}): {text}"));
        }
        () if step == 0 => return bad(format!("step of range should be a positive number: {text}")),
        () => {}
    }
    let bits = (first..=last).step_by(step as usize).fold(0, |bits, value| bits | (1_u64 << value));
    // A step restricts the field, as in robfig's parser.
    Ok((bits, star && step == 1))
}

fn number(text: &str, names: &[&str], low: u32) -> Result<u32, BadSchedule> {
    let named = names.iter().zip(low..).find(|(name, _)| text.eq_ignore_ascii_case(name));
    match named {
        Some((_, value)) => Ok(value),
        None => text.parse().or_else(|_| bad(format!("failed to parse int from {text}"))),
    }
}

/// A Go duration (`1h30m`, `90s`), in whole seconds.
fn seconds(text: &str) -> Result<i64, BadSchedule> {
    let wrong = || BadSchedule(format!("failed to parse duration @every {text}"));
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let value: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = &rest[digits..];
        let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        total += value
            * match &unit[..letters] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = &unit[letters..];
    }
    if text.is_empty() || !(0.0..1e12).contains(&total) { Err(wrong()) } else { Ok(total as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let at = Schedule::parse(schedule).unwrap().next(after.parse().unwrap(), &zone);
        at.map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn times_are_as_upstream() {
        let cases = [
            ("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 30 feb *", "UTC", "2026-01-01T00:00:00Z", "never"),
            ("0 0 13 * fri", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@every 1h30m", "UTC", "2026-01-01T00:00:10Z", "2026-01-01T01:30:10Z"),
            ("30 9 * * 1-5", "Asia/Tokyo", "2026-01-02T01:00:00Z", "2026-01-05T00:30:00Z"),
            // New York skips 02:30 on 2026-03-08 and has 01:30 twice on 2026-11-01.
            ("30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T06:30:00Z"),
            ("30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"),
        ];
        for (schedule, zone, after, expected) in cases {
            assert_eq!(next(schedule, zone, after), expected, "{schedule}");
        }
    }

    #[test]
    fn what_upstream_refuses_is_refused() {
        for text in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "a * * * *", "@often", "@every x"]
        {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_latest_of_many_is_found_without_counting_all() {
        let schedule = Schedule::parse("* * * * *").unwrap();
        let (from, now) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:30Z".parse().unwrap());
        assert_eq!(schedule.latest(from, now, &TimeZone::UTC), Some(("2026-01-01T00:00:00Z".parse().unwrap(), 101)));
        let daily = Schedule::parse("@daily").unwrap();
        assert_eq!(daily.latest("2025-12-29T12:00:00Z".parse().unwrap(), now, &TimeZone::UTC).map(|(_, n)| n), Some(3));
        assert_eq!(daily.latest(now, now, &TimeZone::UTC), None);
    }
}
