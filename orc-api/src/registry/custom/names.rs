//! Accepted names and conditions of a definition: a pure plan of its status.
//!
//! Follows the naming and establishing controllers of `apiextensions-apiserver`. A server of ours knows a definition before it
//! says so in the status, so `Established` needs no delay.

use jiff::Timestamp;
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use crate::custom::definition::{Taken, accept};
use crate::kinds::tree::{at, ensure, get, list, put, text};

/// Sets a condition: type, status, reason and message. Its time moves with its status.
pub(super) fn set_condition(definition: &mut Value, condition: [&str; 4], now: Timestamp) {
    let [kind, status, reason, message] = condition;
    let conditions = at(definition, "status.conditions").as_array().cloned().unwrap_or_default();
    let old = conditions.iter().position(|old| text(old, "type") == kind);
    let since = old.map(|i| &conditions[i]).filter(|old| text(old, "status") == status);
    let since = since.map_or_else(|| timestamp(now), |old| text(old, "lastTransitionTime").to_owned());
    let next =
        json!({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message});
    let mut conditions = conditions;
    match old {
        Some(i) => conditions[i] = next,
        None => conditions.push(next),
    }
    put(ensure(definition, "status"), "conditions", conditions);
}

/// Brings the names and conditions of a definition up to date, given what others have. Says whether anything changed.
pub(super) fn settle(definition: &mut Value, taken: &Taken, now: Timestamp) -> bool {
    let before = get(definition, "status").clone();
    let (names, condition) = accept(definition, taken);
    put(ensure(definition, "status"), "acceptedNames", names);
    let accepted = text(&condition, "status") == "True";
    let words = ["type", "status", "reason", "message"].map(|field| text(&condition, field));
    set_condition(definition, words, now);
    let established = list(get(definition, "status"), "conditions")
        .iter()
        .any(|c| text(c, "type") == "Established" && text(c, "status") == "True");
    if accepted && !established {
        let why = "the initial names have been accepted";
        set_condition(definition, ["Established", "True", "InitialNamesAccepted", why], now);
    } else if !established {
        set_condition(definition, ["Established", "False", "NotAccepted", "not all names are accepted"], now);
    }
    *get(definition, "status") != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"spec": {"names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}},
            "status": {"conditions": null, "storedVersions": ["v1"]}})
    }

    #[test]
    fn names_that_are_free_establish_at_once_and_settle() {
        let (mut one, now) = (definition(), Timestamp::UNIX_EPOCH);
        assert!(settle(&mut one, &Taken::default(), now));
        let conditions = at(&one, "status.conditions").as_array().unwrap().clone();
        let of = |i: usize| (text(&conditions[i], "type").to_owned(), text(&conditions[i], "status").to_owned());
        assert_eq!(of(0), ("NamesAccepted".into(), "True".into()));
        assert_eq!(of(1), ("Established".into(), "True".into()));
        assert!(!settle(&mut one, &Taken::default(), Timestamp::MAX));
        let mut taken = Taken::default();
        taken.add(&one);
        let mut two = definition();
        put(&mut two["spec"]["names"], "plural", "widgets2");
        settle(&mut two, &taken, now);
        assert_eq!(two["status"]["conditions"][1]["reason"], "NotAccepted");
        // What was established stays so when a later name is taken.
        settle(&mut one, &taken, now);
        assert_eq!(
            (&one["status"]["conditions"][0]["status"], &one["status"]["conditions"][1]["status"]),
            (&json!("False"), &json!("True"))
        );
    }
}
