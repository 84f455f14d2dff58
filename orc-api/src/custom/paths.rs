//! JSONPath as definitions use it (`k8s.io/client-go/util/jsonpath`): fields, indexes, slices, wildcards, filters and `..`.

use serde_json::Value;

/// The most values that a path may select, so that `..` over a large object stays bounded.
const MAX_FOUND: usize = 10_000;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Every,
    Descend,
    Filter(JsonPath, Compare, Option<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Exists,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at {at} of the JSONPath {path:?}")]
pub struct PathError {
    path: String,
    at: usize,
    problem: String,
}

impl JsonPath {
    /// Parses `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`, with or without braces around it.
    ///
    /// # Errors
    /// Says what is wrong and where.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let inner = path.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(path);
        let mut steps = Vec::new();
        let mut rest = inner;
        while !rest.is_empty() {
            let at = inner.len() - rest.len();
            rest = step(rest, &mut steps).map_err(|problem| PathError { path: path.to_owned(), at, problem })?;
        }
        Ok(Self { steps })
    }

    /// The values at the path, in document order.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                apply(step, value, &mut next);
                next.truncate(MAX_FOUND);
            }
            found = next;
        }
        found
    }
}

fn step<'p>(rest: &'p str, steps: &mut Vec<Step>) -> Result<&'p str, String> {
    if let Some(rest) = rest.strip_prefix("..") {
        steps.push(Step::Descend);
        return if rest.starts_with('[') { Ok(rest) } else { field(rest, steps) };
    }
    if let Some(rest) = rest.strip_prefix('[') {
        let end = closing(rest).ok_or("unterminated array")?;
        steps.push(bracket(rest[..end].trim())?);
        return Ok(&rest[end + 1..]);
    }
    match rest.strip_prefix('.') {
        Some("") => Ok(""),
        Some(rest) if rest.starts_with('[') => Ok(rest),
        Some(rest) => field(rest, steps),
        None => field(rest, steps),
    }
}

fn field<'p>(rest: &'p str, steps: &mut Vec<Step>) -> Result<&'p str, String> {
    let (mut name, mut chars) = (String::new(), rest.char_indices());
    let mut end = rest.len();
    while let Some((at, c)) = chars.next() {
        match c {
            // A dot inside a name is escaped.
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => {
                end = at;
                break;
            }
            c => name.push(c),
        }
    }
    match name.as_str() {
        "" => return Err("a field name is missing".to_owned()),
        "*" => steps.push(Step::Every),
        _ => steps.push(Step::Field(name)),
    }
    Ok(&rest[end..])
}

/// Where the bracket closes, outside of texts and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|q| text.strip_prefix(q)?.strip_suffix(q))
}

fn bracket(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Every);
    }
    if let Some(name) = unquoted(text) {
        return Ok(Step::Field(name.to_owned()));
    }
    if let Some(inner) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return filter(inner.trim());
    }
    let number = |part: &str| match part.trim() {
        "" => Ok(None),
        part => part.parse::<i64>().map(Some).map_err(|_| format!("invalid array index {part}")),
    };
    match text.split_once(':') {
        Some((from, to)) => Ok(Step::Slice(number(from)?, number(to)?)),
        None => number(text)?.map(Step::Index).ok_or_else(|| "invalid array index".to_owned()),
    }
}

fn filter(text: &str) -> Result<Step, String> {
    const OPERATORS: [(&str, Compare); 6] = [
        ("==", Compare::Equal),
        ("!=", Compare::NotEqual),
        ("<=", Compare::LessOrEqual),
        (">=", Compare::GreaterOrEqual),
        ("<", Compare::Less),
        (">", Compare::Greater),
    ];
    let inner = |path: &str| {
        let path = path.trim().strip_prefix('@').ok_or("a filter must start with @")?;
        JsonPath::parse(path).map_err(|error| error.to_string())
    };
    let found = OPERATORS.iter().filter_map(|(word, op)| Some((text.find(word)?, *word, *op)));
    // The first operator of the text; of two at one place, the longer.
    let Some((at, word, op)) = found.min_by_key(|(at, word, _)| (*at, std::cmp::Reverse(word.len()))) else {
        return Ok(Step::Filter(inner(text)?, Compare::Exists, None));
    };
    let right = text[at + word.len()..].trim();
    let value = match unquoted(right) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).map_err(|_| format!("unrecognized literal {right}"))?,
    };
    Ok(Step::Filter(inner(&text[..at])?, op, Some(value)))
}

fn position(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at + length } else { at }).ok()
}

fn apply<'v>(step: &Step, value: &'v Value, out: &mut Vec<&'v Value>) {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => out.extend(map.get(name)),
        (Step::Index(at), Value::Array(items)) => out.extend(position(*at, items.len()).and_then(|at| items.get(at))),
        (Step::Slice(from, to), Value::Array(items)) => {
            let start = position(from.unwrap_or(0), items.len()).unwrap_or(0);
            let end = to.map_or(Some(items.len()), |to| position(to, items.len())).unwrap_or(0).min(items.len());
            out.extend(items.get(start..end).into_iter().flatten());
        }
        (Step::Every, Value::Array(items)) => out.extend(items),
        (Step::Every, Value::Object(map)) => out.extend(map.values()),
        (Step::Descend, value) => descend(value, out),
        (Step::Filter(path, op, wanted), Value::Array(items)) => {
            out.extend(items.iter().filter(|item| holds(&path.find(item), *op, wanted.as_ref())));
        }
        _ => {}
    }
}

fn descend<'v>(value: &'v Value, out: &mut Vec<&'v Value>) {
    if out.len() >= MAX_FOUND {
        return;
    }
    out.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, out)),
        Value::Object(map) => map.values().for_each(|item| descend(item, out)),
        _ => {}
    }
}

fn holds(found: &[&Value], op: Compare, wanted: Option<&Value>) -> bool {
    let (Some(have), Some(wanted)) = (found.first(), wanted) else { return op == Compare::Exists && !found.is_empty() };
    let order = match (have, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    let equal = *have == wanted || order == Some(std::cmp::Ordering::Equal);
    match op {
        Compare::Exists => true,
        Compare::Equal => equal,
        Compare::NotEqual => !equal,
        Compare::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Compare::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Compare::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Compare::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_columns_show() {
        let object = json!({"spec": {"a.b": 1, "list": [{"n": 1}, {"n": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "No"}]}});
        let find = |path: &str| JsonPath::parse(path).unwrap().find(&object).into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(find(r#".status.conditions[?(@.type=="Ready")].status"#), [json!("True")]);
        assert_eq!(find(".spec.list[*].n"), [json!(1), json!(2)]);
        assert_eq!(find("{.spec.list[-1].n}"), [json!(2)]);
        assert_eq!(find(".spec.list[?(@.n>=2)].n"), [json!(2)]);
        assert_eq!(find(".spec['a.b']"), [json!(1)]);
        assert_eq!(find(r".spec.a\.b"), [json!(1)]);
        assert_eq!(find("..n"), [json!(1), json!(2)]);
        assert_eq!(find(".nope.deeper"), Vec::<Value>::new());
        assert!(JsonPath::parse(".spec[").is_err() && JsonPath::parse(".a[x]").is_err());
    }
}
