//! The Swagger document in protobuf, as gnostic's `OpenAPIv2.proto` defines it; client-go reads no other form of it.
//!
//! Carries what clients look up in it: the definitions and the operations, with their `x-` marks. kubectl up to 1.26 looks
//! for the parameter `dryRun` of a kind's patch before it asks for a dry run.

use serde_json::{Map, Value};

/// Encodes a Swagger document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document["swagger"].as_str().unwrap_or_default());
    let mut info = Message::default();
    info.text(1, document["info"]["title"].as_str().unwrap_or_default());
    info.text(2, document["info"]["version"].as_str().unwrap_or_default());
    out.message(2, &info);
    out.message(8, &paths(document["paths"].as_object()));
    out.message(9, &named_schemas(document["definitions"].as_object()));
    out.0
}

/// A protobuf message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u64, set: bool) {
        if set {
            self.varint(field << 3);
            self.0.push(1);
        }
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}

/// The methods of a path, with their numbers in `PathItem`.
const METHODS: [(&str, u64); 7] =
    [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8)];

fn paths(all: Option<&Map<String, Value>>) -> Message {
    let mut out = Message::default();
    for (at, path) in all.into_iter().flatten() {
        let mut item = Message::default();
        for (method, number) in METHODS {
            if let Some(one) = path.get(method) {
                item.message(number, &operation(one));
            }
        }
        for asked in path["parameters"].as_array().into_iter().flatten() {
            item.message(9, &parameter(asked));
        }
        let mut named = Message::default();
        named.text(1, at);
        named.message(2, &item);
        out.message(2, &named);
    }
    out
}

fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    let texts = |name: &str| value[name].as_array().into_iter().flatten().filter_map(Value::as_str);
    texts("tags").for_each(|tag| out.text(1, tag));
    out.text(3, value["description"].as_str().unwrap_or_default());
    out.text(5, value["operationId"].as_str().unwrap_or_default());
    texts("produces").for_each(|form| out.text(6, form));
    texts("consumes").for_each(|form| out.text(7, form));
    for asked in value["parameters"].as_array().into_iter().flatten() {
        out.message(8, &parameter(asked));
    }
    let mut responses = Message::default();
    for (code, answer) in value["responses"].as_object().into_iter().flatten() {
        let mut response = Message::default();
        response.text(1, answer["description"].as_str().unwrap_or_default());
        if let Some(of) = answer.get("schema") {
            response.message(2, &single(1, &schema(of)));
        }
        let mut named = Message::default();
        named.text(1, code);
        named.message(2, &single(1, &response));
        responses.message(1, &named);
    }
    out.message(9, &responses);
    texts("schemes").for_each(|scheme| out.text(10, scheme));
    for (name, mark) in value.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
        out.message(13, &extension(name, mark));
    }
    out
}

/// A `ParametersItem`: a reference, a body, or a parameter of the query or the path.
fn parameter(value: &Value) -> Message {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    if value.get("$ref").is_some() {
        let mut reference = Message::default();
        reference.text(1, text("$ref"));
        return single(2, &reference);
    }
    let mut own = Message::default();
    if text("in") == "body" {
        own.text(1, text("description"));
        own.text(2, text("name"));
        own.text(3, text("in"));
        own.flag(4, value["required"] == true);
        own.message(5, &schema(&value["schema"]));
        return single(1, &single(1, &own));
    }
    own.flag(1, value["required"] == true);
    own.text(2, text("in"));
    own.text(3, text("description"));
    own.text(4, text("name"));
    let path = text("in") == "path";
    own.text(if path { 5 } else { 6 }, text("type"));
    single(1, &single(2, &single(if path { 4 } else { 3 }, &own)))
}

/// `Definitions` and `Properties` have the same form: named schemas.
fn named_schemas(schemas: Option<&Map<String, Value>>) -> Message {
    let mut all = Message::default();
    for (name, value) in schemas.into_iter().flatten() {
        let mut named = Message::default();
        named.text(1, name);
        named.message(2, &schema(value));
        all.message(1, &named);
    }
    all
}

fn schema(value: &Value) -> Message {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let mut out = Message::default();
    out.text(1, text("$ref"));
    out.text(2, text("format"));
    out.text(4, text("description"));
    for required in value["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.text(19, required);
    }
    if let Some(inner) = value.get("additionalProperties") {
        out.message(21, &single(1, &schema(inner)));
    }
    if !text("type").is_empty() {
        let mut kind = Message::default();
        kind.text(1, text("type"));
        out.message(22, &kind);
    }
    if let Some(items) = value.get("items") {
        out.message(23, &single(1, &schema(items)));
    }
    if let Some(properties) = value["properties"].as_object() {
        out.message(25, &named_schemas(Some(properties)));
    }
    for (name, mark) in value.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
        out.message(31, &extension(name, mark));
    }
    out
}

fn single(field: u64, inner: &Message) -> Message {
    let mut out = Message::default();
    out.message(field, inner);
    out
}

/// A mark, its value as YAML (JSON is YAML).
fn extension(name: &str, value: &Value) -> Message {
    let mut any = Message::default();
    any.text(2, &value.to_string());
    let mut out = Message::default();
    out.text(1, name);
    out.message(2, &any);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Splits a message into its length-delimited fields.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        }
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            assert_eq!(key & 7, 2, "only length-delimited fields are written");
            let length = usize::try_from(varint(&mut bytes)).unwrap();
            all.push((key >> 3, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        all
    }

    fn field(bytes: &[u8], number: u64) -> Vec<u8> {
        fields(bytes).into_iter().find(|(of, _)| *of == number).unwrap().1
    }

    #[test]
    fn what_is_written_reads_back_by_the_numbers_of_gnostic() {
        let document = json!({"swagger": "2.0", "info": {"title": "K", "version": "1"}, "definitions": {
            "A": {"type": "object", "x-mark": [1], "properties": {"b": {"$ref": "#/definitions/B"}}}}});
        let made = encode(&document);
        assert_eq!(field(&made, 1), b"2.0");
        let named = field(&field(&made, 9), 1);
        assert_eq!(field(&named, 1), b"A");
        let schema = field(&named, 2);
        assert_eq!(field(&field(&schema, 22), 1), b"object");
        assert_eq!(field(&field(&schema, 31), 1), b"x-mark");
        let property = field(&field(&schema, 25), 1);
        assert_eq!(field(&field(&property, 2), 1), b"#/definitions/B");
    }

    #[test]
    fn a_dry_run_is_found_where_old_clients_look_for_it() {
        let asked = json!([{"$ref": "#/parameters/x"}, {"name": "dryRun", "in": "query", "type": "string"}]);
        let patch = json!({"operationId": "patchX", "parameters": asked, "x-kubernetes-action": "patch"});
        let document =
            json!({"swagger": "2.0", "info": {"title": "K", "version": "1"}, "paths": {"/x": {"patch": patch}}});
        let path = field(&field(&encode(&document), 8), 2);
        assert_eq!(field(&path, 1), b"/x");
        let operation = field(&field(&path, 2), 8);
        assert_eq!(field(&operation, 5), b"patchX");
        let parameters: Vec<Vec<u8>> =
            fields(&operation).into_iter().filter(|(of, _)| *of == 8).map(|(_, value)| value).collect();
        assert_eq!(field(&field(&parameters[0], 2), 1), b"#/parameters/x");
        let query = field(&field(&field(&parameters[1], 1), 2), 3);
        assert_eq!(field(&query, 4), b"dryRun");
    }
}
