//! Texts (cel-go's `ext.Strings`). Positions count characters.

use super::{Budget, EvalError, Outcome, Said, Value, int};

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    let text = args.first().and_then(Value::as_str)?;
    let outcome = charge(name, args, budget).and_then(|()| known(name, text, &args[1..], budget));
    match outcome {
        Err(EvalError::NoSuchOverload) => None,
        outcome => Some(outcome),
    }
}

fn charge(name: &str, args: &[Value], budget: &mut Budget) -> Result<(), EvalError> {
    let size = args[0].size();
    match name {
        "contains" => {
            let other = args.get(1).map_or(0, Value::size);
            budget.take(crate::cel::budget::tenth(size).saturating_mul(crate::cel::budget::tenth(other)))
        }
        "startsWith" | "endsWith" => budget.walk(args.get(1).map_or(0, Value::size), 1),
        "replace" | "split" | "reverse" => budget.walk(size, 2),
        "lowerAscii" | "upperAscii" | "substring" | "trim" | "indexOf" | "lastIndexOf" | "charAt" | "strings.quote" => {
            budget.walk(size, 1)
        }
        _ => Ok(()),
    }
}

fn known(name: &str, text: &str, rest: &[Value], budget: &mut Budget) -> Outcome {
    match (name, rest) {
        ("contains", [Value::String(part)]) => Ok(Value::Bool(text.contains(&**part))),
        ("startsWith", [Value::String(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
        ("endsWith", [Value::String(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("charAt", [Value::Int(at)]) => char_at(text, *at),
        ("indexOf", [Value::String(part)]) => index_of(text, part, 0),
        ("indexOf", [Value::String(part), Value::Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Value::String(part)]) => last_index_of(text, part, None),
        ("lastIndexOf", [Value::String(part), Value::Int(from)]) => last_index_of(text, part, Some(*from)),
        ("lowerAscii", []) => Ok(Value::string(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::string(text.to_ascii_uppercase())),
        ("replace", [Value::String(old), Value::String(new)]) => replace(text, old, new, -1, budget),
        ("replace", [Value::String(old), Value::String(new), Value::Int(n)]) => replace(text, old, new, *n, budget),
        ("split", [Value::String(by)]) => Ok(split(text, by, -1)),
        ("split", [Value::String(by), Value::Int(n)]) => Ok(split(text, by, *n)),
        ("substring", [Value::Int(from)]) => substring(text, *from, None),
        ("substring", [Value::Int(from), Value::Int(to)]) => substring(text, *from, Some(*to)),
        ("trim", []) => Ok(Value::string(text.trim())),
        ("reverse", []) => Ok(Value::string(text.chars().rev().collect::<String>())),
        ("strings.quote", []) => Ok(Value::string(orc_core::validation::go_quote(text))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn outside(at: i64) -> EvalError {
    EvalError::failed(format!("index out of range: {at}"))
}

/// The byte at which a character starts; the end counts as a place.
fn place(text: &str, at: i64) -> Result<usize, EvalError> {
    let wanted = usize::try_from(at).map_err(|_| outside(at))?;
    let mut places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    places.nth(wanted).ok_or_else(|| outside(at))
}

fn char_at(text: &str, at: i64) -> Outcome {
    let byte = place(text, at)?;
    Ok(Value::string(text[byte..].chars().next().map(String::from).unwrap_or_default()))
}

fn characters(text: &str, byte: usize) -> Value {
    int(text[..byte].chars().count())
}

fn index_of(text: &str, part: &str, from: i64) -> Outcome {
    let from = place(text, from)?;
    Ok(text[from..].find(part).map_or(Value::Int(-1), |byte| characters(text, from + byte)))
}

fn last_index_of(text: &str, part: &str, from: Option<i64>) -> Outcome {
    let end = match from {
        None => text.len(),
        // The match may start at that place and reach behind it.
        Some(from) => (place(text, from)? + part.len()).min(text.len()),
    };
    let mut end = end;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(text[..end].rfind(part).map_or(Value::Int(-1), |byte| characters(text, byte)))
}

fn replace(text: &str, old: &str, new: &str, n: i64, budget: &mut Budget) -> Outcome {
    let most = usize::try_from(n).unwrap_or(usize::MAX);
    let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() }.min(most);
    // What is made is paid for before it is made.
    budget.walk((times as u64).saturating_mul(new.len() as u64), 1)?;
    Ok(Value::string(text.replacen(old, new, times)))
}

fn split(text: &str, by: &str, n: i64) -> Value {
    let parts: Vec<&str> = match (usize::try_from(n), by.is_empty()) {
        (Ok(0), _) => Vec::new(),
        (Ok(n), false) => text.splitn(n, by).collect(),
        (Err(_), false) => text.split(by).collect(),
        (n, true) => letters(text, n.unwrap_or(usize::MAX)),
    };
    Value::list(parts.into_iter().map(Value::string).collect())
}

/// Characters one by one; the last part holds the rest.
fn letters(text: &str, n: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == n {
            parts.push(rest);
            break;
        }
        let (head, tail) = rest.split_at(c.len_utf8());
        parts.push(head);
        rest = tail;
    }
    parts
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Outcome {
    let start = place(text, from)?;
    let end = match to {
        None => text.len(),
        Some(to) if to < from => {
            return Err(EvalError::failed(format!("invalid substring range. start: {from}, end: {to}")));
        }
        Some(to) => place(text, to)?,
    };
    Ok(Value::string(&text[start..end]))
}
