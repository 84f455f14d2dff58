//! What the schema table does not know: descriptions, required fields, enumerations, defaults.
//!
//! `data/openapi.zz` is deflated text made by `tools/openapi.py`, one line an entry, tokens apart by tabs, texts with JSON's
//! escapes:
//! - `#Name text values`: an enumeration, what is added to a description, and the values as JSON;
//! - `?set/name text type`: a query parameter of a set of operations;
//! - `=type text required,...`: a type by its OpenAPI name; the lines up to the next are its fields:
//!   `name text [*]Enumeration default`.
//!
//! A megabyte that is needed once in a long while: it is inflated for a document and dropped with it. The file is part of the
//! program: a mistake in it is a programmer's error, which a unit test finds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read as _;

use serde_json::Value;

/// The whole text.
pub(super) fn inflate() -> String {
    let mut out = String::new();
    let packed: &[u8] = include_bytes!("../../data/openapi.zz");
    flate2::read::ZlibDecoder::new(packed).read_to_string(&mut out).expect("data/openapi.zz is whole");
    out
}

/// What is said of a field.
#[derive(Clone, Copy, Default)]
pub(super) struct FieldText<'a> {
    text: &'a str,
    enumeration: &'a str,
    default: &'a str,
}

/// What is said of a type.
#[derive(Default)]
pub(super) struct TypeText<'a> {
    text: &'a str,
    required: Vec<&'a str>,
    fields: HashMap<&'a str, FieldText<'a>>,
}

/// A query parameter.
#[derive(Clone, Copy)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) kind: &'a str,
}

/// All texts, as slices of the inflated file.
#[derive(Default)]
pub(super) struct Texts<'a> {
    types: HashMap<&'a str, TypeText<'a>>,
    enumerations: HashMap<&'a str, (&'a str, &'a str)>,
    parameters: HashMap<&'a str, Vec<Parameter<'a>>>,
}

impl<'a> Texts<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (mut all, mut current) = (Self::default(), "");
        for line in text.lines() {
            let mut parts = line.split('\t');
            let mut next = || parts.next().unwrap_or_default();
            let (name, text) = (next(), next());
            if let Some(name) = name.strip_prefix('#') {
                all.enumerations.insert(name, (text, next()));
            } else if let Some((set, name)) = name.strip_prefix('?').and_then(|name| name.rsplit_once('/')) {
                all.parameters.entry(set).or_default().push(Parameter { name, text, kind: next() });
            } else if let Some(name) = name.strip_prefix('=') {
                current = name;
                let required = next().split(',').filter(|field| !field.is_empty()).collect();
                all.types.insert(name, TypeText { text, required, fields: HashMap::new() });
            } else {
                let field = FieldText { text, enumeration: next(), default: next() };
                all.types.entry(current).or_default().fields.insert(name, field);
            }
        }
        all
    }

    pub(super) fn of(&self, openapi_name: &str) -> Option<&TypeText<'a>> {
        self.types.get(openapi_name)
    }

    /// The parameters of a set: `list`, `write`, `patch`, `delete`, `log`, `exec`, ...
    pub(super) fn parameters(&self, set: &str) -> &[Parameter<'a>] {
        self.parameters.get(set).map_or(&[], Vec::as_slice)
    }

    /// The values of a field's enumeration, and whether they are those of its elements.
    pub(super) fn enumeration(&self, field: &FieldText<'_>) -> Option<(Value, bool)> {
        let name = field.enumeration.trim_start_matches('*');
        let (_, values) = self.enumerations.get(name)?;
        let values = serde_json::from_str(values).expect("values are JSON");
        Some((values, field.enumeration.starts_with('*')))
    }

    /// The description of a field, with what its values do.
    pub(super) fn description(&self, field: &FieldText<'_>) -> String {
        let text = unescape(field.text);
        match self.enumerations.get(field.enumeration) {
            Some((values, _)) if text.is_empty() => unescape(values).into_owned(),
            Some((values, _)) => format!("{text}\n\n{}", unescape(values)),
            None => text.into_owned(),
        }
    }
}

impl TypeText<'_> {
    pub(super) fn description(&self) -> Cow<'_, str> {
        unescape(self.text)
    }

    pub(super) fn requires(&self, field: &str) -> bool {
        self.required.contains(&field)
    }

    /// The names of its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().copied()
    }
}

impl<'a> TypeText<'a> {
    pub(super) fn field(&self, name: &str) -> FieldText<'a> {
        self.fields.get(name).copied().unwrap_or_default()
    }
}

impl FieldText<'_> {
    /// The default that the type says, apart from the zero of what is always there.
    pub(super) fn default(&self) -> Option<Value> {
        (!self.default.is_empty()).then(|| serde_json::from_str(self.default).expect("a default is JSON"))
    }
}

/// A text without JSON's escapes.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    match text.contains('\\') {
        true => {
            Cow::Owned(serde_json::from_str(&format!("\"{text}\"")).expect("a text is the inside of a JSON string"))
        }
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use orc_core::catalogue::Catalogue;
    use orc_core::schema::Schema;

    use super::*;

    #[test]
    fn every_line_reads_and_every_served_kind_is_described() {
        let text = inflate();
        let texts = Texts::parse(&text);
        for of in texts.types.values() {
            let _ = of.description();
            for field in of.fields.values() {
                let _ = (texts.description(field), field.default(), texts.enumeration(field));
            }
        }
        for info in Catalogue::builtin().resources() {
            for version in &info.versions {
                let message = Schema::builtin().message_of(&info.group, &version.name, &info.kind);
                let Some(message) = message.filter(|message| !message.name.contains("metrics")) else { continue };
                let said = texts.of(&message.openapi_name()).map(TypeText::description);
                assert!(said.is_some_and(|said| !said.is_empty()), "{}", message.name);
            }
        }
    }

    #[test]
    fn a_required_field_is_one_of_the_table() {
        let text = inflate();
        let texts = Texts::parse(&text);
        for message in Schema::builtin().messages() {
            for name in texts.of(&message.openapi_name()).into_iter().flat_map(|of| &of.required) {
                assert!(message.field(name).is_some(), "{}.{name}", message.name);
            }
        }
    }
}
