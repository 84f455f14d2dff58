//! Checks of one value, without its parts.

use super::super::format;
use super::super::schema::{Schema, SchemaType};
use super::Place;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, go_json, go_quote};
use serde_json::{Map, Number, Value};

/// The JSON type of a value, with whole doubles as numbers.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    }
}

/// Checks the type and says whether to go on.
pub(super) fn kind(value: &Value, schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) -> bool {
    if value.is_null() && schema.nullable {
        return true;
    }
    if schema.int_or_string {
        let fits = matches!(value, Value::String(_)) || whole(value);
        if !fits {
            wrong_type(value, "integer,string", place, e);
        }
        return fits;
    }
    let Some(kind) = schema.kind else { return true };
    let fits = match kind {
        SchemaType::Object => value.is_object(),
        SchemaType::Array => value.is_array(),
        SchemaType::String => value.is_string(),
        SchemaType::Boolean => value.is_boolean(),
        SchemaType::Number => value.is_number(),
        SchemaType::Integer => whole(value),
    };
    if !fits {
        wrong_type(value, kind.as_str(), place, e);
    }
    fits
}

/// Whether a value is a whole number; `1.0` is one.
fn whole(value: &Value) -> bool {
    match value {
        Value::Number(n) => !n.is_f64() || n.as_f64().is_some_and(|f| f.fract() == 0.0 && f.abs() < 9.0e15),
        _ => false,
    }
}

fn wrong_type(value: &Value, wanted: &str, place: &Place<'_>, e: &mut FieldErrors) {
    let found = type_name(value);
    let text = format!("{} in body must be of type {wanted}: {}", place.text(), go_quote(found));
    place.at(|path| e.push(FieldError::type_invalid(path, found, text)));
}

/// Adds "NAME in body RULE" about a value.
fn broken(value: &Value, rule: &str, place: &Place<'_>, e: &mut FieldErrors) {
    let text = format!("{} in body {rule}", place.text());
    place.at(|path| e.push(FieldError::invalid(path, value, text)));
}

/// `enum`
pub(super) fn allowed(value: &Value, schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) {
    if schema.allowed.is_empty() || schema.allowed.iter().any(|one| same(one, value)) {
        return;
    }
    let words = schema.allowed.iter().map(|one| one.as_str().map_or_else(|| go_json(one), str::to_owned));
    let words: Vec<String> = words.collect();
    place.at(|path| e.push(FieldError::not_supported(path, value, &words)));
}

/// Equality of JSON values, with numbers by value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64() && (x.is_f64() || y.is_f64()),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// `minLength`, `maxLength`, `pattern` and `format` of a text
pub(super) fn text(text: &str, schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) {
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    if let Some(max) = schema.length.max.filter(|max| length > *max) {
        place.at(|path| e.push(FieldError::too_long(path, usize::try_from(max).unwrap_or(usize::MAX))));
    }
    if let Some(min) = schema.length.min.filter(|min| length < *min) {
        broken(&value, &format!("should be at least {min} chars long"), place, e);
    }
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        broken(&value, &format!("should match '{}'", pattern.source()), place, e);
    }
    if !format::fits(&schema.format, text) {
        let rule = format!("{} in body must be of type {}: {}", place.text(), schema.format, go_quote(text));
        place.at(|path| e.push(FieldError::type_invalid(path, text, rule)));
    }
}

/// A double as Go's `%v` prints it.
fn shown(number: f64) -> String {
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if !(-4..21).contains(&exponent) {
        let text = format!("{number:e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let power: i32 = power.parse().unwrap_or(0);
        return format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs());
    }
    number.to_string()
}

/// `minimum`, `maximum`, `multipleOf` and the range of the `format` of a number
pub(super) fn number(number: &Number, schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) {
    let (value, bounds) = (Value::Number(number.clone()), &schema.number);
    let Some(actual) = number.as_f64() else { return };
    if !in_range(number, schema) {
        let (kind, format) = (schema.kind.map_or("integer", SchemaType::as_str), &schema.format);
        let text = format!("Checked value must be of type {kind} with format {format} in {}", place.text());
        e.push(FieldError::invalid(&FieldPath::nil(), "", text));
    }
    if let Some(factor) = bounds.multiple_of.filter(|factor| *factor > 0.0 && !multiple(number, *factor)) {
        broken(&value, &format!("should be a multiple of {}", shown(factor)), place, e);
    }
    if let Some(max) = bounds.max {
        if bounds.exclusive_max && actual >= max {
            broken(&value, &format!("should be less than {}", shown(max)), place, e);
        } else if actual > max {
            broken(&value, &format!("should be less than or equal to {}", shown(max)), place, e);
        }
    }
    if let Some(min) = bounds.min {
        if bounds.exclusive_min && actual <= min {
            broken(&value, &format!("should be greater than {}", shown(min)), place, e);
        } else if actual < min {
            broken(&value, &format!("should be greater than or equal to {}", shown(min)), place, e);
        }
    }
}

fn multiple(number: &Number, factor: f64) -> bool {
    match number.as_i64() {
        // Whole factors are compared without rounding.
        Some(whole) if factor.fract() == 0.0 && factor < 9.0e15 => whole % (factor as i64) == 0,
        _ => (number.as_f64().unwrap_or(f64::NAN) / factor).fract() == 0.0,
    }
}

fn in_range(number: &Number, schema: &Schema) -> bool {
    match (schema.kind, schema.format.as_str()) {
        (Some(SchemaType::Integer), "int32") => {
            number.as_i64().map_or(!number.is_u64(), |n| i32::try_from(n).is_ok())
                && number.as_f64().is_some_and(|f| f.abs() <= f64::from(i32::MAX) + 1.0)
        }
        (Some(SchemaType::Integer), "int64") => number.is_f64() || number.as_i64().is_some(),
        (Some(SchemaType::Number), "float") => number.as_f64().is_some_and(|f| f.abs() <= f64::from(f32::MAX)),
        _ => true,
    }
}

/// `minItems`, `maxItems` and `uniqueItems`
pub(super) fn item_count(items: &[Value], schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) {
    let count = items.len() as u64;
    if let Some(min) = schema.item_count.min.filter(|min| count < *min) {
        let rule = format!("should have at least {min} items");
        let text = format!("{} in body {rule}", place.text());
        place.at(|path| e.push(FieldError::invalid(path, count, text)));
    }
    if let Some(max) = schema.item_count.max.filter(|max| count > *max) {
        place.at(|path| e.push(FieldError::too_many(path, items.len(), usize::try_from(max).unwrap_or(usize::MAX))));
    }
    if schema.unique_items {
        let mut texts: Vec<String> = items.iter().map(Value::to_string).collect();
        texts.sort_unstable();
        if texts.windows(2).any(|two| two[0] == two[1]) {
            let text = format!("{} in body shouldn't contain duplicates", place.text());
            place.at(|path| e.push(FieldError::invalid(path, "", text)));
        }
    }
}

/// `minProperties` and `maxProperties`
pub(super) fn property_count(map: &Map<String, Value>, schema: &Schema, place: &Place<'_>, e: &mut FieldErrors) {
    let count = map.len() as u64;
    if let Some(min) = schema.property_count.min.filter(|min| count < *min) {
        let text = format!("{} in body should have at least {min} properties", place.text());
        place.at(|path| e.push(FieldError::invalid(path, count, text)));
    }
    if let Some(max) = schema.property_count.max.filter(|max| count > *max) {
        place.at(|path| e.push(FieldError::too_many(path, map.len(), usize::try_from(max).unwrap_or(usize::MAX))));
    }
}
