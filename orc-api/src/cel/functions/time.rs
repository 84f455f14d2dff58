//! Parts of points in time and of durations.

use super::{Budget, EvalError, Outcome, Said, Value};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

pub(super) fn call(name: &str, args: &[Value], _: &mut Budget) -> Said {
    match args {
        [Value::Duration(nanos)] => Some(Ok(Value::Int(match name {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => nanos / 1_000_000,
            _ => return None,
        }))),
        [Value::Timestamp(time)] => part(name, time.to_zoned(TimeZone::UTC)),
        [Value::Timestamp(time), Value::String(zone)] if name.starts_with("get") => match zoned(*time, zone) {
            Ok(time) => part(name, time),
            Err(error) => Some(Err(error)),
        },
        _ => None,
    }
}

fn part(name: &str, time: Zoned) -> Said {
    let outcome: Outcome = Ok(Value::Int(match name {
        "getFullYear" => i64::from(time.year()),
        "getMonth" => i64::from(time.month()) - 1,
        "getDayOfYear" => i64::from(time.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(time.day()) - 1,
        "getDate" => i64::from(time.day()),
        "getDayOfWeek" => i64::from(time.weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(time.hour()),
        "getMinutes" => i64::from(time.minute()),
        "getSeconds" => i64::from(time.second()),
        "getMilliseconds" => i64::from(time.subsec_nanosecond()) / 1_000_000,
        _ => return None,
    }));
    Some(outcome)
}

/// Zones are offsets (`+02:00`) or `UTC`. Names of places need a database that this library does not carry.
fn zoned(time: Timestamp, zone: &str) -> Result<Zoned, EvalError> {
    let unknown = || EvalError::failed(format!("unknown time zone {zone}"));
    if matches!(zone, "" | "UTC") {
        return Ok(time.to_zoned(TimeZone::UTC));
    }
    let (negative, digits) = match zone.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = digits.split_once(':').ok_or_else(unknown)?;
    let (hours, minutes): (i32, i32) = hours.parse().ok().zip(minutes.parse().ok()).ok_or_else(unknown)?;
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
        return Err(unknown());
    }
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| unknown())?;
    Ok(time.to_zoned(TimeZone::fixed(offset)))
}
