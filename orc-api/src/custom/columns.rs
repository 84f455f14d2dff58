//! The Table form of custom resources: `additionalPrinterColumns`.

use super::paths::{JsonPath, PathError};
use crate::kinds::tree::{get, int, list, text};
use crate::table;
use jiff::Timestamp;
use orc_core::validation::go_json;
use serde_json::{Value, json};

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of a version: the name, then those it lists, or the age when it lists none.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    definition: Value,
    kind: String,
    path: JsonPath,
}

impl Columns {
    /// Reads the columns of a version of a definition.
    ///
    /// # Errors
    /// When a column's path is not one; the definition's own check lets some such paths through, as Kubernetes' does.
    pub fn parse(version: &Value) -> Result<Self, PathError> {
        let listed = list(version, "additionalPrinterColumns");
        if listed.is_empty() {
            let age =
                json!({"name": "Age", "type": "date", "description": AGE, "jsonPath": ".metadata.creationTimestamp"});
            return Ok(Self { columns: vec![Column::parse(&age)?] });
        }
        Ok(Self { columns: listed.iter().map(Column::parse).collect::<Result<_, _>>()? })
    }

    /// `columnDefinitions` of a Table.
    pub fn definitions(&self) -> Vec<Value> {
        let name = json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
        std::iter::once(name).chain(self.columns.iter().map(|column| column.definition.clone())).collect()
    }

    /// The cells of an object, one for each column; null where the object has nothing to show.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = Value::from(text(get(object, "metadata"), "name"));
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, now))).collect()
    }
}

impl Column {
    fn parse(column: &Value) -> Result<Self, PathError> {
        let path = text(column, "jsonPath");
        let described = match text(column, "description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            text => text.to_owned(),
        };
        let definition = json!({
            "name": text(column, "name"), "type": text(column, "type"), "format": text(column, "format"),
            "description": described, "priority": int(column, "priority").unwrap_or(0),
        });
        Ok(Self { definition, kind: text(column, "type").to_owned(), path: JsonPath::parse(path)? })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.find(object);
        let Some(value) = found.first() else { return Value::Null };
        match (self.kind.as_str(), value) {
            ("string", Value::String(_)) => (*value).clone(),
            ("string", Value::Null) => Value::Null,
            ("string", value) => go_json(value).into(),
            ("integer", Value::Number(n)) => {
                n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Null, |f| Value::from(f as i64)), Value::from)
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*value).clone(),
            ("date", Value::String(text)) if text.parse::<Timestamp>().is_err() => "<invalid>".into(),
            ("date", value @ Value::String(_)) => table::age(Some(value), now).into(),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_their_types() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Tags", "type": "string", "jsonPath": ".spec.tags", "priority": 1},
            {"name": "Wrong", "type": "boolean", "jsonPath": ".spec.replicas"},
            {"name": "Since", "type": "date", "jsonPath": ".status.since"},
            {"name": "Never", "type": "date", "jsonPath": ".status.never"},
        ]});
        let columns = Columns::parse(&version).unwrap();
        let object = json!({"metadata": {"name": "w"}, "spec": {"replicas": 3, "tags": ["a"]},
            "status": {"since": "2024-01-01T00:00:00Z", "never": "x"}});
        let now = "2024-01-01T01:00:00Z".parse().unwrap();
        let cells = columns.cells(&object, now);
        assert_eq!(cells, [json!("w"), json!(3), json!("[\"a\"]"), Value::Null, json!("60m"), json!("<invalid>")]);
        assert_eq!(columns.definitions()[2]["priority"], 1);
        assert_eq!(Columns::parse(&json!({})).unwrap().definitions()[1]["description"], AGE);
    }
}
