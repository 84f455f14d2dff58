//! `fieldPath` of a rule: `.spec.n`, `.labels['a.b']`. Only fields and map entries that the schema describes.

use super::super::structural::Schema;

/// The path as errors print it (without a leading dot), and the schema that it leads to.
///
/// # Errors
/// What is wrong with the path, in Kubernetes' words.
pub(super) fn resolve<'s>(path: &str, schema: &'s Schema) -> Result<(String, &'s Schema), String> {
    let (mut out, mut at, mut rest) = (String::new(), schema, path);
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('.') {
            Some(tail) => plain(tail)?,
            None => quoted(rest)?,
        };
        if !at.properties.is_empty() {
            at = at.properties.get(&name).ok_or("does not refer to a valid field")?;
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&name);
        } else {
            at = at.value_schema().ok_or("does not refer to a valid field")?;
            out.push_str(&format!("[{name}]"));
        }
        rest = after;
    }
    Ok((out, at))
}

fn plain(tail: &str) -> Result<(String, &str), String> {
    let end = tail.find(['.', '[', ']']).unwrap_or(tail.len());
    match end {
        0 => Err("unexpected end of JSON path".to_owned()),
        end => Ok((tail[..end].to_owned(), &tail[end..])),
    }
}

/// `['name']` with escapes.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    let Some(tail) = rest.strip_prefix('[') else {
        let word = &rest[..rest.find(['.', '[', ']']).filter(|at| *at > 0).unwrap_or(rest.len())];
        return Err(format!("expected [ or . but got: {word}"));
    };
    let inner = tail.strip_prefix('\'').ok_or_else(|| {
        format!("expected single quoted string but got {}", &tail[..tail.find(']').unwrap_or(tail.len())])
    })?;
    let (mut name, mut chars) = (String::new(), inner.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => {
                let after = inner[at + 1..].strip_prefix(']').ok_or("unexpected end of JSON path")?;
                return Ok((name, after));
            }
            '\\' => name.push(unescaped(chars.next().map(|(_, c)| c))?),
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}

fn unescaped(c: Option<char>) -> Result<char, String> {
    match c {
        Some('a') => Ok('\u{7}'),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('v') => Ok('\u{b}'),
        Some(c @ ('\'' | '\\')) => Ok(c),
        other => Err(format!(
            "invalid string literal: invalid escape char \\{}",
            other.map(String::from).unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_fields_and_entries() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"n": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }}))
        .unwrap();
        let text = |path: &str| resolve(path, &schema).map(|(text, _)| text);
        assert_eq!(text(".spec.n"), Ok("spec.n".into()));
        assert_eq!(text(".labels['a.b']"), Ok("labels[a.b]".into()));
        assert_eq!(text(".nope"), Err("does not refer to a valid field".into()));
        assert_eq!(text("spec"), Err("expected [ or . but got: spec".into()));
        assert_eq!(text(".labels[x]"), Err("expected single quoted string but got x".into()));
        assert_eq!(text(".labels['x"), Err("unexpected end of JSON path".into()));
    }
}
