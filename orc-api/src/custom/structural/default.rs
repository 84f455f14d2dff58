//! Filling in defaults.
//!
//! Kubernetes' rules (`schema/defaulting`): a default is set where a property is absent, or is null and not nullable; then
//! what is below it gets its defaults too. A null without a default, in a place that is not nullable, is dropped. Nothing
//! is made for an absent parent, and additional properties and items get no default of their own, only what is inside.

use super::schema::Schema;
use serde_json::{Map, Value};

/// Sets the defaults of a custom resource. Running it twice changes nothing more.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => fields(map, schema),
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for item in items {
                    null_to_default(item, inner);
                    default(item, inner);
                }
            }
        }
        _ => {}
    }
}

fn fields(map: &mut Map<String, Value>, schema: &Schema) {
    for (name, inner) in &schema.properties {
        let Some(preset) = &inner.default else { continue };
        let missing = match map.get(name) {
            None => true,
            Some(Value::Null) => !inner.nullable,
            Some(_) => false,
        };
        if missing {
            map.insert(name.clone(), preset.clone());
        }
    }
    for (name, value) in map.iter_mut() {
        let Some(inner) = schema.child(name) else { continue };
        if !schema.properties.contains_key(name) {
            null_to_default(value, inner);
        }
        default(value, inner);
    }
}

fn null_to_default(value: &mut Value, schema: &Schema) {
    if let (Value::Null, false, Some(preset)) = (&*value, schema.nullable, &schema.default) {
        *value = preset.clone();
    }
}

/// Drops the nulls that stand where a default would be allowed and null is not: what `kubectl apply` leaves behind.
///
/// Kubernetes does it right before [`default`] (`PruneNonNullableNullsWithoutDefaults` is its name for the other half): a
/// null property that is not nullable and has no default is removed, so that it counts as absent.
pub fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let Some(inner) = schema.child(name) else { return true };
                drop_nulls(value, inner);
                !(value.is_null() && !inner.nullable && inner.default.is_none())
            });
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls(item, inner));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_become_defaults_unless_they_mean_something() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "da"},
            "nn": {"type": "string", "nullable": true, "default": "dn"},
            "plain": {"type": "string"},
            "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "boolean", "default": true}}}},
            "absent": {"type": "object", "properties": {"q": {"type": "string", "default": "never"}}},
        }}))
        .unwrap();
        let mut value = json!({"a": null, "nn": null, "plain": null, "l": [{}, {"x": false}]});
        default(&mut value, &schema);
        drop_nulls(&mut value, &schema);
        assert_eq!(value, json!({"a": "da", "nn": null, "l": [{"x": true}, {"x": false}]}));
    }
}
