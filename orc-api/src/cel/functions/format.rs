//! `"%s is %d".format([..])` (cel-go's `ext.Strings`).

use super::conversions::to_string;
use super::{Budget, EvalError, Outcome, Said, Value};

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    match (name, args) {
        ("format", [Value::String(text), Value::List(list)]) => Some(format(text, &list.items, budget)),
        _ => None,
    }
}

fn fault(text: impl Into<String>) -> EvalError {
    EvalError::failed(text)
}

fn format(text: &str, values: &[Value], budget: &mut Budget) -> Outcome {
    let (mut out, mut chars, mut next) = (String::with_capacity(text.len()), text.chars().peekable(), 0);
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let wanted: usize = digits.parse().map_err(|_| fault("error while parsing precision"))?;
            if wanted > 100 {
                return Err(fault(format!("precision {wanted} is more than 100")));
            }
            precision = Some(wanted);
        }
        let verb = chars.next().ok_or_else(|| fault("unexpected end of string"))?;
        let value = values.get(next).ok_or_else(|| fault(format!("index {next} out of range")))?;
        next += 1;
        let length = out.len();
        out.push_str(&clause(verb, precision, value)?);
        budget.walk((out.len() - length) as u64, 1)?;
    }
    budget.walk(out.len() as u64, 1)?;
    Ok(Value::string(out))
}

fn clause(verb: char, precision: Option<usize>, value: &Value) -> Result<String, EvalError> {
    let misfit =
        |what: &str| fault(format!("{what} clause can only be used on other types, was given {}", value.type_name()));
    match (verb, value) {
        ('s', value) => shown(value),
        ('d', Value::Int(n)) => Ok(n.to_string()),
        ('d', Value::Uint(n)) => Ok(n.to_string()),
        ('d', Value::Double(n)) if !n.is_finite() => shown(value),
        ('d', _) => Err(misfit("decimal")),
        ('f', value) => {
            Ok(std::format!("{:.*}", precision.unwrap_or(6), double(value).ok_or_else(|| misfit("fixed-point"))?))
        }
        ('e', value) => Ok(exponent(double(value).ok_or_else(|| misfit("scientific"))?, precision.unwrap_or(6))),
        ('b', Value::Bool(b)) => Ok(u8::from(*b).to_string()),
        ('b' | 'o' | 'x' | 'X', value) => radix(verb, value).ok_or_else(|| misfit("integer")),
        _ => Err(fault(format!("could not parse formatting clause: unrecognized formatting clause \"{verb}\""))),
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Double(n) => Some(*n),
        Value::Int(n) => Some(*n as f64),
        Value::Uint(n) => Some(*n as f64),
        _ => None,
    }
}

/// `1.500000e+00`: Go writes at least two digits of the exponent, with its sign.
fn exponent(n: f64, precision: usize) -> String {
    let text = format!("{n:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn radix(verb: char, value: &Value) -> Option<String> {
    let signed = |n: i128| {
        let (sign, n) = (if n < 0 { "-" } else { "" }, n.unsigned_abs());
        match verb {
            'b' => format!("{sign}{n:b}"),
            'o' => format!("{sign}{n:o}"),
            'x' => format!("{sign}{n:x}"),
            _ => format!("{sign}{n:X}"),
        }
    };
    let hex = |bytes: &[u8]| match verb {
        'x' => Some(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        'X' => Some(bytes.iter().map(|b| format!("{b:02X}")).collect()),
        _ => None,
    };
    match value {
        Value::Int(n) => Some(signed(i128::from(*n))),
        Value::Uint(n) => Some(signed(i128::from(*n))),
        Value::String(text) => hex(text.as_bytes()),
        Value::Bytes(bytes) => hex(bytes),
        _ => None,
    }
}

/// A value as `%s` shows it; texts inside lists and maps are not quoted.
fn shown(value: &Value) -> Result<String, EvalError> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Type(name) => name.to_string(),
        Value::Double(n) if n.is_nan() => "NaN".to_owned(),
        Value::Double(n) if n.is_infinite() => if *n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Value::List(list) => {
            let items: Result<Vec<String>, EvalError> = list.items.iter().map(shown).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(map) => {
            let entries: Result<Vec<String>, EvalError> =
                map.iter().map(|(key, value)| Ok(format!("{key}: {}", shown(value)?))).collect();
            format!("{{{}}}", entries?.join(", "))
        }
        value => to_string(value)?.as_str().unwrap_or_default().to_owned(),
    })
}
