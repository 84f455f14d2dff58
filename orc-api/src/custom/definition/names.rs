//! Who may have which names of a group (`apiextensions-apiserver/pkg/controller/status`).

use crate::kinds::tree::{at, text, texts};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The names that other definitions of the same group were given.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Plurals, singulars and short names: they share one space.
    pub resources: BTreeSet<String>,
    /// Kinds and list kinds: they share another.
    pub kinds: BTreeSet<String>,
}

impl Taken {
    /// Adds what another definition was given (`status.acceptedNames`).
    pub fn add(&mut self, definition: &Value) {
        let names = at(definition, "status.acceptedNames");
        let own = [text(names, "plural"), text(names, "singular")];
        let resources = own.into_iter().chain(texts(names, "shortNames")).filter(|name| !name.is_empty());
        self.resources.extend(resources.map(str::to_owned));
        let kinds = [text(names, "kind"), text(names, "listKind")].into_iter().filter(|name| !name.is_empty());
        self.kinds.extend(kinds.map(str::to_owned));
    }
}

/// What a definition gets: its `status.acceptedNames` and the condition `NamesAccepted` without its time.
///
/// A name that another definition has is not given; the one that was given before stays. The last conflict is told.
pub fn accept(definition: &Value, taken: &Taken) -> (Value, Value) {
    let (wanted, before) = (at(definition, "spec.names"), at(definition, "status.acceptedNames"));
    let mut given = Map::new();
    let mut conflict: Option<(&str, String)> = None;
    let used = |name: &str| format!("{} is already in use", orc_core::validation::go_quote(name));
    for (field, reason) in [("plural", "PluralConflict"), ("singular", "SingularConflict")] {
        let free = !taken.resources.contains(text(wanted, field));
        if !free {
            conflict = Some((reason, used(text(wanted, field))));
        }
        keep(&mut given, field, if free { wanted } else { before });
    }
    let short: Vec<&str> =
        texts(wanted, "shortNames").into_iter().filter(|name| taken.resources.contains(*name)).collect();
    if let [first, ..] = short[..] {
        conflict = Some(("ShortNamesConflict", used(first)));
    }
    keep(&mut given, "shortNames", if short.is_empty() { wanted } else { before });
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        let free = !taken.kinds.contains(text(wanted, field));
        if !free {
            conflict = Some((reason, used(text(wanted, field))));
        }
        keep(&mut given, field, if free { wanted } else { before });
    }
    keep(&mut given, "categories", wanted);
    // These two are always written.
    for field in ["plural", "kind"] {
        given.entry(field).or_insert_with(|| Value::from(""));
    }
    let condition = match conflict {
        Some((reason, message)) => {
            json!({"type": "NamesAccepted", "status": "False", "reason": reason, "message": message})
        }
        None => json!({"type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
            "message": "no conflicts found"}),
    };
    (Value::Object(given), condition)
}

fn keep(given: &mut Map<String, Value>, field: &str, from: &Value) {
    let value = from.get(field).filter(|v| !v.is_null() && v.as_str() != Some(""));
    if let Some(value) = value {
        given.insert(field.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_conflict_is_told() {
        let names =
            |plural: &str| json!({"plural": plural, "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
        let mut taken = Taken::default();
        taken.add(&json!({"status": {"acceptedNames": names("widgets")}}));
        let (given, condition) = accept(&json!({"spec": {"names": names("widgets2")}}), &taken);
        assert_eq!(given, json!({"plural": "widgets2", "kind": ""}));
        assert_eq!(condition["reason"], "ListKindConflict");
        assert_eq!(condition["message"], "\"WidgetList\" is already in use");
        let (given, condition) = accept(&json!({"spec": {"names": names("widgets")}}), &Taken::default());
        assert_eq!((given, &condition["status"]), (names("widgets"), &json!("True")));
    }
}
