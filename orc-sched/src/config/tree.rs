//! A value of any form that knows on which line each of its fields stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// A value, and the lines of what is in it by path (`a.b[0].c`).
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) value: Value,
    lines: BTreeMap<String, u64>,
}

impl Tree {
    /// The line of a field, or else of the nearest one around it that is written.
    pub(super) fn line(&self, path: &str) -> Option<u64> {
        let mut path = path;
        while !path.is_empty() {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
        None
    }

    /// The path of the first field of a name, in the order of paths.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        let is = |path: &&String| path.rsplit('.').next() == Some(name);
        self.lines.keys().find(is).map(String::as_str)
    }

    /// Takes in what stands at a path from here; returns its value.
    fn adopt(&mut self, at: &str, line: u64, inner: Self) -> Value {
        let path = |below: String| match below.starts_with('[') {
            true => format!("{at}{below}"),
            false => format!("{at}.{below}"),
        };
        self.lines.extend(inner.lines.into_iter().map(|(below, line)| (path(below), line)));
        self.lines.insert(at.to_owned(), line);
        inner.value
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

/// A scalar.
fn leaf<E>(value: impl Into<Value>) -> Result<Tree, E> {
    Ok(Tree { value: value.into(), lines: BTreeMap::new() })
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        leaf(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        leaf(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Tree, D::Error> {
        Tree::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let (mut tree, mut all) = (Tree::default(), Vec::new());
        while let Some(next) = from.next_element::<Spanned<Tree>>()? {
            let line = next.referenced.line();
            all.push(tree.adopt(&format!("[{}]", all.len()), line, next.value));
        }
        tree.value = Value::Array(all);
        Ok(tree)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let (mut tree, mut all) = (Tree::default(), Map::new());
        while let Some(key) = from.next_key::<Spanned<String>>()? {
            let value: Tree = from.next_value()?;
            let line = key.referenced.line();
            let value = tree.adopt(&key.value, line, value);
            all.insert(key.value, value);
        }
        tree.value = Value::Object(all);
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_lines() {
        let tree: Tree = serde_saphyr::from_str("a: 1\nb:\n  c:\n  - d: x\n    e: null\n  - [true, 1.5]\n").unwrap();
        assert_eq!(tree.value, serde_json::json!({"a": 1, "b": {"c": [{"d": "x", "e": null}, [true, 1.5]]}}));
        let lines = ["a", "b", "b.c", "b.c[0].d", "b.c[0].e", "b.c[1][1]", "b.c[0].missing", "missing"];
        let lines = lines.map(|path| tree.line(path));
        assert_eq!(lines, [Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(4), None]);
        assert_eq!(tree.find("e"), Some("b.c[0].e"));
    }
}
