//! Reading of cron schedules, far enough to say whether they are right and what is wrong with them.

/// The fields: name, lowest, highest, names of values.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Checks a schedule of five fields, or one of the `@` words.
///
/// # Errors
/// The rule that is broken, in the words of the cron library that Kubernetes uses.
pub(super) fn check(text: &str) -> Result<(), String> {
    if let Some(word) = text.strip_prefix('@') {
        return descriptor(text, word);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(FIELDS).try_for_each(|(field, bounds)| list(field, bounds))
}

fn descriptor(text: &str, word: &str) -> Result<(), String> {
    match word {
        "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => Ok(()),
        _ => match word.strip_prefix("every ") {
            Some(duration) if go_duration(duration) => Ok(()),
            Some(_) => Err(format!("failed to parse duration {text}: invalid duration")),
            None => Err(format!("unrecognized descriptor: {text}")),
        },
    }
}

fn go_duration(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['+', '-']);
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit = ["ns", "us", "\u{b5}s", "ms", "s", "m", "h"].iter().find(|u| rest[digits..].starts_with(**u));
        let (Some(unit), true) = (unit, digits > 0) else { return false };
        rest = &rest[digits + unit.len()..];
        any = true;
    }
    any
}

type Bounds = (u32, u32, &'static [&'static str]);

fn list(field: &str, bounds: Bounds) -> Result<(), String> {
    field.split(',').filter(|part| !part.is_empty()).try_for_each(|part| range(part, bounds))
}

fn range(part: &str, (low, high, names): Bounds) -> Result<(), String> {
    let (span, step) = match part.split('/').collect::<Vec<_>>()[..] {
        [span] => (span, None),
        [span, step] => (span, Some(step)),
        _ => return Err(format!("too many slashes: {part}")),
    };
    let (start, end) = match span.split('-').collect::<Vec<_>>()[..] {
        ["*" | "?"] => (low, high),
        [one] => {
            let value = number(one, names)?;
            (value, if step.is_some() { high } else { value })
        }
        [first, last] => (number(first, names)?, number(last, names)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = step.map_or(Ok(1), |text| number(text, &[]))?;
    if start < low {
        return Err(format!("beginning of range ({start}) below minimum ({low}): {part}"));
    }
    if end > high {
        return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    Ok(())
}

fn number(text: &str, names: &[&str]) -> Result<u32, String> {
    if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(at as u32 + u32::from(names.len() == 12));
    }
    if text.starts_with('-') {
        return Err(format!("negative number ({text}) not allowed: {text}"));
    }
    text.parse().map_err(|_| {
        let quoted = orc_core::validation::go_quote(text);
        format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax")
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_and_refuses() {
        for good in ["* * * * *", "*/5 0-6 1,15 jan-mar MON", "@hourly", "@every 1h30m", "0 0 31 12 6"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("61 * * * *").unwrap_err(), "end of range (61) above maximum (59): 61");
        assert_eq!(check("nope").unwrap_err(), "expected exactly 5 fields, found 1: [nope]");
        assert!(check("*/0 * * * *").is_err() && check("5-1 * * * *").is_err() && check("@often").is_err());
    }
}
