//! Setting fields of an object without owning them, as a mutating admission policy does.

use serde_json::Value;

use super::extract::check;
use super::merge::merge;
use super::shape::{Build, Elements, Place, is_named, member};

/// The object with the configuration's fields over its own: maps and lists with keys are merged, as server-side apply merges
/// them, and nobody is noted for it. Nothing is ever taken out, but what the configuration sets to null.
///
/// What is owned as a whole (an atomic list, map or struct) may not be set: whoever means to change one element of it would
/// throw the others away (`k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go`).
///
/// # Errors
/// When one of the two does not fit the schema, or the configuration speaks of something atomic; as upstream words it.
pub fn overlay(object: &Value, config: &Value, place: Place<'_>) -> Result<Value, String> {
    check(config, place).map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut atomics = Vec::new();
    find(config, place, &mut String::new(), &mut atomics);
    if !atomics.is_empty() {
        let all = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {all}"));
    }
    check(object, place).map_err(|why| format!("failed to convert original object to typed object: {why}"))?;
    Ok(merge(object, config, place))
}

/// The paths at which a value speaks of something atomic. What lies in maps and in places without a schema is not looked
/// into, as upstream, but for lists: those are atomic there.
fn find(value: &Value, place: Place<'_>, path: &mut String, out: &mut Vec<String>) {
    match (place.build(), value) {
        (Build::Leaf, Value::Object(_) | Value::Array(_)) | (Build::Guess, Value::Array(_)) => out.push(path.clone()),
        (Build::List(list), Value::Array(items)) => elements(list, items, path, out),
        (build @ (Build::Struct(_) | Build::Object(_)), Value::Object(map)) => {
            for (name, inner) in map.iter().filter(|(name, _)| is_named(build, name)) {
                let Some(place) = member(build, name) else { continue };
                below(path, &format!(".{name}"), |path| find(inner, place, path, out));
            }
        }
        _ => {}
    }
}

fn elements(list: Elements<'_>, items: &[Value], path: &mut String, out: &mut Vec<String>) {
    for (at, item) in items.iter().enumerate() {
        below(path, &format!("[{at}]"), |path| find(item, list.item(), path, out));
    }
}

fn below(path: &mut String, step: &str, inner: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(step);
    inner(path);
    path.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn deployment() -> Place<'static> {
        Place::Message(Schema::builtin().message_of("apps", "v1", "Deployment").unwrap())
    }

    fn of(containers: Value) -> Value {
        json!({"metadata": {"name": "d", "labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn lists_with_keys_are_merged_and_maps_too() {
        let live = of(json!([{"name": "a", "image": "i", "args": ["x"], "env": [{"name": "K", "value": "1"}]},
            {"name": "b", "image": "j"}]));
        let mut config = of(json!([{"name": "a", "env": [{"name": "L", "value": "2"}]}, {"name": "c", "image": "k"}]));
        config["metadata"] = json!({"labels": {"c": "d"}});
        let merged = overlay(&live, &config, deployment()).unwrap();
        assert_eq!(merged["metadata"], json!({"name": "d", "labels": {"a": "b", "c": "d"}}));
        let wanted = json!([{"name": "a", "image": "i", "args": ["x"],
            "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}]},
            {"name": "b", "image": "j"}, {"name": "c", "image": "k"}]);
        assert_eq!(merged["spec"]["template"]["spec"]["containers"], wanted);
    }

    #[test]
    fn what_is_atomic_is_not_set() {
        let config = of(json!([{"name": "a", "args": ["y"]}]));
        assert_eq!(
            overlay(&of(json!([])), &config, deployment()).unwrap_err(),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args"
        );
        let config = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
        let why = overlay(&of(json!([])), &config, deployment()).unwrap_err();
        assert!(why.ends_with("structs: .spec.selector"), "{why}");
    }

    #[test]
    fn what_the_schema_does_not_know_is_refused() {
        let config = json!({"spec": {"replica": 1}});
        assert_eq!(
            overlay(&of(json!([])), &config, deployment()).unwrap_err(),
            "failed to convert patch object to typed object: .spec.replica: field not declared in schema"
        );
        let twice = of(json!([{"name": "a"}, {"name": "a"}]));
        let why = overlay(&twice, &json!({"spec": {"replicas": 1}}), deployment()).unwrap_err();
        assert!(why.starts_with("failed to convert original object to typed object: "), "{why}");
    }
}
