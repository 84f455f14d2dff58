//! Config maps, secrets and service accounts.

use super::rules::Kind;
use super::tree::*;
use base64::Engine;
use orc_core::validation::{FieldError, FieldErrors, FieldPath, names};
use serde_json::Value;

/// The rules of `configmaps`.
pub(super) static CONFIG_MAP: Kind =
    Kind { validate: config_map, validate_update: config_map_update, revalidates_meta: true, ..Kind::NAMESPACED };

/// The rules of `secrets`.
pub(super) static SECRET: Kind = Kind {
    default: secret_default,
    prepare_create: drop_string_data,
    prepare_update: secret_prepare,
    validate: secret,
    validate_update: secret_update,
    fields: secret_fields,
    revalidates_meta: true,
    ..Kind::NAMESPACED
};

/// The rules of `serviceaccounts`.
pub(super) static SERVICE_ACCOUNT: Kind = Kind { revalidates_meta: true, ..Kind::NAMESPACED };

/// Most bytes of all values together.
const LIMIT: usize = 1024 * 1024;

fn keys(object: &Value, field: &str, other: &str, binary: bool, e: &mut FieldErrors) -> usize {
    let path = FieldPath::new(field);
    let mut size = 0;
    for (key, value) in entries(object, field) {
        e.each(&path.key(key), key, names::config_map_key(key));
        if !other.is_empty() && has(get(object, other), key) {
            e.invalid(&path.key(key), key, format!("duplicate of key present in {other}"));
        }
        let value = value.as_str().unwrap_or("");
        size += if binary { decoded(value).len() } else { value.len() };
    }
    size
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

fn config_map(map: &Value, e: &mut FieldErrors) {
    let size = keys(map, "data", "binaryData", false, e) + keys(map, "binaryData", "", true, e);
    if size > LIMIT {
        e.add(FieldError::too_long(&FieldPath::new("[]"), LIMIT));
    }
}

/// What `immutable` freezes.
fn frozen(new: &Value, old: &Value, fields: &[&str], e: &mut FieldErrors) {
    if !flag(old, "immutable") {
        return;
    }
    const RULE: &str = "field is immutable when `immutable` is set";
    if !flag(new, "immutable") {
        e.forbidden(&FieldPath::new("immutable"), RULE);
    }
    for field in fields {
        if !same(get(new, field), get(old, field)) {
            e.forbidden(&FieldPath::new(field), RULE);
        }
    }
}

fn config_map_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    frozen(new, old, &["data", "binaryData"], e);
    config_map(new, e);
}

/// Text given as `stringData` becomes data and is never stored itself.
fn secret_default(secret: &mut Value) {
    put_text(secret, "type", "Opaque");
    let Some(plain) = get(secret, "stringData").as_object().cloned() else { return };
    if plain.is_empty() {
        return remove(secret, "stringData");
    }
    let data = ensure(secret, "data");
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or(""));
        put(data, &key, encoded);
    }
    remove(secret, "stringData");
}

fn drop_string_data(secret: &mut Value) {
    secret_default(secret);
}

fn secret_prepare(new: &mut Value, old: &Value) {
    // A type left out stays what it was.
    let kind = text(old, "type").to_owned();
    put_text(new, "type", &kind);
}

fn need(secret: &Value, key: &str, e: &mut FieldErrors) -> bool {
    let there = has(get(secret, "data"), key);
    if !there {
        e.required(&FieldPath::new("data").key(key), "");
    }
    there
}

fn secret(secret: &Value, e: &mut FieldErrors) {
    if keys(secret, "data", "", true, e) > LIMIT {
        e.add(FieldError::too_long(&FieldPath::new("data"), LIMIT));
    }
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if text(at(secret, "metadata.annotations"), NAME).is_empty() {
                let meta = FieldPath::new("metadata");
                e.required(&meta.child("annotations").key(NAME), "");
            }
        }
        "kubernetes.io/dockercfg" => json_value(secret, ".dockercfg", e),
        "kubernetes.io/dockerconfigjson" => json_value(secret, ".dockerconfigjson", e),
        "kubernetes.io/basic-auth" => {
            let data = get(secret, "data");
            if !has(data, "username") && !has(data, "password") {
                need(secret, "username", e);
                need(secret, "password", e);
            }
        }
        "kubernetes.io/ssh-auth" => {
            let empty = text(get(secret, "data"), "ssh-privatekey").is_empty();
            if empty {
                e.required(&FieldPath::new("data").key("ssh-privatekey"), "");
            }
        }
        "kubernetes.io/tls" => {
            need(secret, "tls.crt", e);
            need(secret, "tls.key", e);
        }
        _ => {}
    }
}

fn json_value(secret: &Value, key: &str, e: &mut FieldErrors) {
    if !need(secret, key, e) {
        return;
    }
    let bytes = decoded(text(get(secret, "data"), key));
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        let path = FieldPath::new("data");
        e.invalid(&path.key(key), "<secret contents redacted>", go_json_error(&bytes, &error));
    }
}

/// The words of Go's decoder for the commonest mistakes, else our decoder's.
fn go_json_error(bytes: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let text = String::from_utf8_lossy(bytes);
    let trimmed = text.trim_start();
    for literal in ["null", "true", "false"] {
        let same = trimmed.chars().zip(literal.chars()).take_while(|(a, b)| a == b).count();
        if let Some(bad) = trimmed.chars().nth(same).filter(|_| (1..literal.len()).contains(&same)) {
            let expected = &literal[same..=same];
            return format!("invalid character '{bad}' in literal {literal} (expecting '{expected}')");
        }
    }
    match trimmed.chars().next() {
        Some(bad) if !"{[\"-0123456789tfn".contains(bad) => {
            format!("invalid character '{bad}' looking for beginning of value")
        }
        _ => error.to_string(),
    }
}

fn secret_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    e.immutable(&FieldPath::new("type"), get(new, "type"), get(old, "type"));
    frozen(new, old, &["data"], e);
    secret(new, e);
}

fn secret_fields(secret: &Value) -> Vec<(&'static str, String)> {
    vec![("type", text(secret, "type").to_owned())]
}
