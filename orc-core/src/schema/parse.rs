//! Reads `data/schema.txt`.
//!
//! One line an entry, tokens apart by one space:
//! - `@alias package group`: the messages that follow are of this package (`+`: the core group, `-`: no kinds here);
//! - `=Name [a] [k]`: a message; `a` atomic, `k` a kind with `kind` and `apiVersion`;
//! - `json number type presence marks...`: a field; `~` is an inlined part.
//!
//! Types: `s b i l d y` for string, bool, int32, int64, double, bytes; `.Name` or `alias.Name` for messages; `*` before
//! for a list, `%` for a map. Presence: see [`Presence`], `A N o p`. Marks: `a` atomic, `S` set, `g` granular, `K:a,b` map
//! list keys, `m:key` merge, `r` replace, `k` retain keys.
//!
//! The file is part of the program: a mistake in it is a programmer's error and panics at first use, which a unit test does.

use std::collections::HashMap;

use super::table::{
    Cardinality, Field, ListType, MapType, Message, PatchStrategy, Presence, Schema, Shape, Type, by_length,
};

struct Package {
    name: &'static str,
    group: Option<&'static str>,
}

pub(super) fn parse(text: &'static str) -> Schema {
    let names = index(text);
    let mut messages: Vec<Message> = Vec::with_capacity(names.len());
    let mut by_kind = HashMap::new();
    let mut package = Package { name: "", group: None };
    let mut alias = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('@') {
            (alias, package) = read_package(rest);
        } else if let Some(rest) = line.strip_prefix('=') {
            let message = read_message(rest, &package);
            if let Some(group) = package.group {
                let version = package.name.rsplit_once('.').map_or("", |(_, v)| v);
                by_kind.insert((group, version, message.short_name()), messages.len());
            }
            messages.push(message);
        } else {
            let message = messages.last_mut().expect("a field follows its message");
            message.wire.push(read_field(line, alias, &names));
        }
    }
    for at in 0..messages.len() {
        let mut fields = Vec::new();
        resolve(&messages, at, &mut fields);
        let mut by_json: Vec<u16> = (0..fields.len()).map(|i| u16::try_from(i).expect("few fields")).collect();
        by_json.sort_by_key(|&i| by_length(fields[usize::from(i)].json));
        let is_always =
            |i: &u16| matches!(fields[usize::from(*i)].presence, Presence::Always | Presence::AlwaysNullable);
        let mut always: Vec<u16> = by_json.iter().copied().filter(is_always).collect();
        always.sort_unstable();
        let message = &mut messages[at];
        (message.fields, message.by_json, message.always) = (fields, by_json, always);
    }
    let by_name = messages.iter().enumerate().map(|(at, m)| (m.name, at)).collect();
    Schema { messages, by_name, by_kind }
}

/// `alias.Name` of every message to its position.
fn index(text: &'static str) -> HashMap<(&'static str, &'static str), u16> {
    let (mut names, mut alias) = (HashMap::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('@') {
            alias = rest.split(' ').next().expect("an alias");
        } else if let Some(rest) = line.strip_prefix('=') {
            let at = u16::try_from(names.len()).expect("few messages");
            names.insert((alias, rest.split(' ').next().expect("a name")), at);
        }
    }
    names
}

fn read_package(rest: &'static str) -> (&'static str, Package) {
    let mut parts = rest.split(' ');
    let (alias, name, group) = (parts.next(), parts.next(), parts.next());
    let group = match group.expect("a group") {
        "-" => None,
        "+" => Some(""),
        group => Some(group),
    };
    (alias.expect("an alias"), Package { name: name.expect("a package"), group })
}

fn read_message(rest: &'static str, package: &Package) -> Message {
    let mut parts = rest.split(' ');
    let short = parts.next().expect("a name");
    let flags: Vec<_> = parts.collect();
    let is_kind = flags.contains(&"k");
    let mut message = Message {
        name: Box::leak(format!("{}.{short}", package.name).into_boxed_str()),
        shape: shape(package.name, short),
        atomic: flags.contains(&"a"),
        is_kind,
        wire: Vec::new(),
        fields: Vec::new(),
        by_json: Vec::new(),
        always: Vec::new(),
    };
    if is_kind {
        message.wire.push(type_field("kind"));
        message.wire.push(type_field("apiVersion"));
    }
    message
}

fn type_field(json: &'static str) -> Field {
    Field {
        json,
        number: 0,
        kind: Type::String,
        cardinality: Cardinality::One,
        presence: Presence::NonZero,
        list_type: None,
        map_type: None,
        patch: PatchStrategy::default(),
    }
}

fn shape(package: &str, short: &str) -> Shape {
    let meta = package.contains("apimachinery");
    match short {
        "Quantity" | "QuantityValue" if meta => Shape::Quantity,
        "IntOrString" if meta => Shape::IntOrString,
        "Time" | "Timestamp" if meta => Shape::Time,
        "MicroTime" if meta => Shape::MicroTime,
        "Duration" if meta => Shape::Duration,
        "FieldsV1" | "RawExtension" if meta => Shape::Json,
        "JSON" => Shape::Json,
        "Verbs" | "ExtraValue" => Shape::Strings,
        "JSONSchemaPropsOrArray" => Shape::SchemaOrArray,
        "JSONSchemaPropsOrBool" => Shape::SchemaOrBool,
        "JSONSchemaPropsOrStringArray" => Shape::SchemaOrStrings,
        _ => Shape::Object,
    }
}

fn read_field(line: &'static str, alias: &str, names: &HashMap<(&str, &str), u16>) -> Field {
    let mut parts = line.split(' ');
    let mut next = || parts.next().unwrap_or_else(|| panic!("a short line in schema.txt: {line}"));
    let (json, number, kind, presence) = (next(), next(), next(), next());
    let (cardinality, kind) = read_type(kind, alias, names);
    let mut field = Field {
        json: if json == "~" { "" } else { json },
        number: number.parse().expect("a field number"),
        kind,
        cardinality,
        presence: match presence {
            "A" => Presence::Always,
            "N" => Presence::AlwaysNullable,
            "o" => Presence::NonZero,
            "p" => Presence::Given,
            other => panic!("no such presence in schema.txt: {other}"),
        },
        list_type: None,
        map_type: None,
        patch: PatchStrategy::default(),
    };
    for mark in parts {
        read_mark(mark, &mut field);
    }
    field
}

fn read_type(token: &'static str, alias: &str, names: &HashMap<(&str, &str), u16>) -> (Cardinality, Type) {
    let (cardinality, token) = match (token.strip_prefix('*'), token.strip_prefix('%')) {
        (Some(rest), _) => (Cardinality::List, rest),
        (_, Some(rest)) => (Cardinality::Map, rest),
        _ => (Cardinality::One, token),
    };
    let kind = match token {
        "s" => Type::String,
        "b" => Type::Bool,
        "i" => Type::Int32,
        "l" => Type::Int64,
        "d" => Type::Double,
        "y" => Type::Bytes,
        name => {
            let (home, short) = name.rsplit_once('.').expect("a message type has a dot");
            let home = if home.is_empty() { alias } else { home };
            Type::Message(*names.get(&(home, short)).unwrap_or_else(|| panic!("no such message: {home}.{short}")))
        }
    };
    (cardinality, kind)
}

fn read_mark(mark: &'static str, field: &mut Field) {
    match mark {
        "a" if field.cardinality == Cardinality::List => field.list_type = Some(ListType::Atomic),
        "a" => field.map_type = Some(MapType::Atomic),
        "S" => field.list_type = Some(ListType::Set),
        "g" => field.map_type = Some(MapType::Granular),
        "r" => field.patch.replace = true,
        "k" => field.patch.retain_keys = true,
        _ => match mark.split_once(':') {
            Some(("K", keys)) => field.list_type = Some(ListType::Map(keys.split(',').collect())),
            Some(("m", key)) => {
                field.patch.merge = true;
                field.patch.merge_key = Some(key).filter(|k| !k.is_empty());
            }
            _ => panic!("no such mark in schema.txt: {mark}"),
        },
    }
}

/// The JSON fields of a message: its own, and those of its inlined parts in their place.
fn resolve(messages: &[Message], at: usize, out: &mut Vec<Field>) {
    if messages[at].shape != Shape::Object {
        return;
    }
    for field in &messages[at].wire {
        match (field.json, field.kind) {
            ("", Type::Message(part)) => resolve(messages, usize::from(part), out),
            ("", _) => {}
            _ => out.push(field.clone()),
        }
    }
}
