//! Objects that fit a message, made from the schema table.

use serde_json::{Map, Value, json};

use crate::env::Rng;
use crate::schema::{Cardinality, Field, MessageRef, Presence, Schema, Shape, Type};

/// What a made object holds. Values must be canonical (not zero where zero is left out), so that the object reads back as it is.
pub trait Values {
    /// Whether to fill in a field of a message at a depth (0: the object's own fields).
    fn keep(&mut self, message: MessageRef, field: &Field, depth: usize) -> bool;
    /// How many elements a list or map has.
    fn count(&mut self, field: &Field) -> usize;
    /// A value of a scalar field.
    fn scalar(&mut self, field: &Field) -> Value;
    /// A number to choose among the forms of a message whose JSON is no object of fields.
    fn choose(&mut self, among: usize) -> usize;
}

/// An object of a message.
pub fn sample(message: MessageRef, values: &mut dyn Values) -> Value {
    make(message, values, 0)
}

fn make(message: MessageRef, values: &mut dyn Values, depth: usize) -> Value {
    let among = |values: &mut dyn Values, forms: &[Value]| forms[values.choose(forms.len())].clone();
    match message.shape {
        Shape::Object => object(message, values, depth),
        Shape::Quantity => among(values, &[json!("1"), json!("500m"), json!("2Gi")]),
        Shape::IntOrString => among(values, &[json!(-7), json!("50%"), json!(0)]),
        Shape::Time => among(
            values,
            &[json!("1969-12-31T23:59:59Z"), json!("2024-02-29T01:02:03Z"), json!("1970-01-01T00:00:00Z")],
        ),
        Shape::MicroTime => {
            among(values, &[json!("2024-02-29T01:02:03.000045Z"), json!("1970-01-01T00:00:00.000000Z")])
        }
        Shape::Duration => among(values, &[json!("1m30s"), json!("-1.5µs")]),
        Shape::Json => among(values, &[json!({"any": [1, null, "x"]}), json!({})]),
        Shape::Strings => json!(["a", "b"]),
        Shape::SchemaOrArray => among(values, &[json!({"type": "string"}), json!([{"type": "string"}, {"type": "x"}])]),
        Shape::SchemaOrBool => among(values, &[json!(true), json!(false), json!({"type": "string"})]),
        Shape::SchemaOrStrings => among(values, &[json!(["a"]), json!({"type": "string"})]),
    }
}

fn object(message: MessageRef, values: &mut dyn Values, depth: usize) -> Value {
    let mut map = Map::new();
    for field in &message.fields {
        if field.number != 0 && values.keep(message, field, depth) {
            map.insert(field.json.to_owned(), filled(field, values, depth));
        }
    }
    Value::Object(map)
}

fn filled(field: &Field, values: &mut dyn Values, depth: usize) -> Value {
    let one = |values: &mut dyn Values| match field.message() {
        Some(inner) => make(inner, values, depth + 1),
        None => values.scalar(field),
    };
    let count = values.count(field);
    match field.cardinality {
        Cardinality::One => one(values),
        Cardinality::List => (0..count).map(|_| one(values)).collect(),
        Cardinality::Map => Value::Object((0..count).map(|at| (format!("key-{at}"), one(values))).collect()),
    }
}

/// Random values: a quarter of the fields, to a depth, with the edges of every type.
#[derive(Debug)]
pub struct Sampler {
    rng: Rng,
    deepest: usize,
}

impl Sampler {
    /// Objects from a seed, with messages nested so deep at most.
    pub fn new(seed: u64, deepest: usize) -> Self {
        Self { rng: Rng::seeded(seed), deepest }
    }

    /// An object of some message of the table that stands alone on the wire, with its message.
    pub fn any(&mut self) -> (MessageRef, Value) {
        let messages: Vec<_> =
            Schema::builtin().messages().filter(|message| !message.name.ends_with("runtime.Unknown")).collect();
        let at = self.choose(messages.len());
        let message = Schema::builtin().message(messages[at].name).expect("a message of the table");
        (message, sample(message, self))
    }
}

impl Values for Sampler {
    fn keep(&mut self, _: MessageRef, field: &Field, depth: usize) -> bool {
        self.rng.below(4) == 0 && (depth < self.deepest || field.message().is_none())
    }

    fn count(&mut self, _: &Field) -> usize {
        1 + self.choose(2)
    }

    fn scalar(&mut self, field: &Field) -> Value {
        let may_be_zero = field.presence != Presence::NonZero || field.cardinality != Cardinality::One;
        let form = self.choose(if may_be_zero { 3 } else { 2 });
        match field.kind {
            Type::Bool => (form < 2).into(),
            Type::Int32 => [i32::MIN, i32::MAX, 0][form].into(),
            Type::Int64 => [i64::MIN, i64::MAX, 0][form].into(),
            Type::Double => [-1.5, 1e300, 0.0][form].into(),
            Type::String => ["ü\u{1f600}\"\\\n", "plain", ""][form].into(),
            Type::Bytes => ["AAH/", "/w==", ""][form].into(),
            Type::Message(_) => Value::Null,
        }
    }

    fn choose(&mut self, among: usize) -> usize {
        self.rng.below(among as u64) as usize
    }
}
