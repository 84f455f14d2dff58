//! What a definition's schema may say, with the texts of a real API server (`validation-other.json`).

use orc_api::custom::definition::check_schemas;
use serde_json::{Value, json};

fn errors(schema: Value) -> Vec<String> {
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    check_schemas(&json!({"spec": {"versions": [version]}})).iter().map(ToString::to_string).collect()
}

fn of_field(schema: Value) -> Vec<String> {
    errors(json!({"type": "object", "properties": {"a": schema}}))
}

const ROOT: &str = "spec.validation.openAPIV3Schema";

#[test]
fn recorded_texts() {
    assert_eq!(
        errors(json!({"type": "string"})),
        [format!("{ROOT}.type: Invalid value: \"string\": must be object at the root")]
    );
    for (schema, text) in [
        (
            json!({"type": "integer", "default": "x"}),
            ".default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (json!({"$ref": "#/x"}), ".$ref: Forbidden: $ref is not supported"),
        (
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "string", "pattern": "("}),
            ".pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`",
        ),
    ] {
        assert_eq!(of_field(schema), [format!("{ROOT}.properties[a]{text}")]);
    }
    let at = |rest: &str| format!("{ROOT}.properties[a]{rest}");
    assert_eq!(
        of_field(json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
        [
            at(".anyOf[0].type: Forbidden: must be empty to be structural"),
            at(".anyOf[1].type: Forbidden: must be empty to be structural"),
            at(".type: Required value: must not be empty for specified object fields"),
        ]
    );
}

#[test]
fn recorded_texts_about_rules() {
    let rule = |rule: &str| errors(json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}]}));
    let at = format!("{ROOT}.x-kubernetes-validations[0].rule");
    assert_eq!(rule("1"), [format!("{at}: Invalid value: \"1\": cel expression must evaluate to a bool")]);
    let syntax = rule("self.x (");
    assert!(
        syntax[0].starts_with(&format!("{at}: Invalid value: \"self.x (\": compilation failed: ERROR: <input>:1:"))
    );
    assert_eq!(
        rule("self.nope == 1"),
        [format!(
            "{at}: Invalid value: \"self.nope == 1\": compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 1\n | ....^"
        )]
    );
    let costly = errors(json!({"type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}},
        "x-kubernetes-validations": [{"rule": "self.a.all(x, x.all(y, self.a.all(z, z.all(w, w == y))))"}]}));
    let hint = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
    assert_eq!(
        costly,
        [
            format!("{at}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {hint}"),
            format!(
                "{at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            ),
            format!(
                "{ROOT}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x {hint}"
            ),
        ]
    );
}

#[test]
fn structural_rules() {
    let at = |rest: &str| format!("{ROOT}.properties[a]{rest}");
    for (schema, text) in [
        (json!({"type": "array"}), ".items: Required value: must be specified"),
        (
            json!({"type": "string", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
            ".type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            ".x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"x": {"minimum": 1}}}]}),
            ".properties[x]: Required value: because it is defined in spec.validation.openAPIV3Schema.properties[a].anyOf[0].properties[x]",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "default": {"c": 1}}),
            ".default: Invalid value: {\"c\":1}: must not have unknown fields",
        ),
        (
            json!({"type": "wrong"}),
            ".type: Unsupported value: \"wrong\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
    ] {
        assert_eq!(of_field(schema), [at(text)]);
    }
    let mixed = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
    assert!(of_field(mixed).is_empty());
    let metadata = json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}});
    assert_eq!(
        errors(metadata),
        [format!(
            "{ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        )]
    );
}

#[test]
fn rules_see_old_values_only_where_these_can_be_told() {
    let item = json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]});
    let list = of_field(json!({"type": "array", "maxItems": 5, "items": item}));
    assert_eq!(list.len(), 1);
    assert!(list[0].ends_with(&format!(
        "oldSelf cannot be used on the uncorrelatable portion of the schema within {ROOT}.properties[a]"
    )));
}

/// Rules of the Gateway API's listeners: Kubernetes accepts them at their real bounds, so the estimate must.
#[test]
fn rules_of_the_field_fit_the_cost_limits() {
    let name =
        json!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"});
    let listeners = json!({"type": "array", "minItems": 1, "maxItems": 64,
    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    "items": {"type": "object", "required": ["name", "port", "protocol"], "properties": {
        "name": name, "hostname": name, "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
        "protocol": {"type": "string", "maxLength": 255},
        "tls": {"type": "object", "properties": {"mode": {"type": "string", "enum": ["Terminate", "Passthrough"]}}}}},
    "x-kubernetes-validations": [
        {"rule": "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)", "message": "tls must not be specified"},
        {"rule": "self.all(l1, self.exists_one(l2, l1.name == l2.name))", "message": "names must be unique"},
        {"rule": "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
            "message": "port, protocol and hostname must be unique"},
    ]});
    let gateway =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"listeners": listeners}}}});
    assert_eq!(errors(gateway), Vec::<String>::new());
}

/// Rules of Kubernetes' documentation at the form in which people write them.
#[test]
fn rules_of_the_documentation_compile() {
    for rule in [
        "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
        "'Available' in self.stateCounts",
        "(self.list1.size() == 0) != (self.list2.size() == 0)",
        "self.expired && self.created + self.ttl < timestamp('2030-01-01T00:00:00Z') || !self.expired",
        "self.health.startsWith('ok')",
        "self.widgets.exists(w, w.key == 'x' && w.foo < 10)",
        "type(self.mixed) == string ? self.mixed == '99%' : self.mixed == 42",
        "self.stateCounts.all(key, key.matches('^[a-zA-Z]*$'))",
        "self.__namespace__ == 'x' && self.x__dash__prop > 0 && self.redact__underscores__d > 0",
        "self.widgets.map(w, w.foo).sum() < 100 && self.set1 == self.set2",
        "quantity(self.health).isLessThan(quantity('100Mi')) || self.health.split(',').isSorted()",
    ] {
        let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
            "minReplicas": {"type": "integer"}, "replicas": {"type": "integer"}, "maxReplicas": {"type": "integer"},
            "stateCounts": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "integer"}},
            "list1": {"type": "array", "items": {"type": "string"}}, "list2": {"type": "array", "items": {"type": "string"}},
            "expired": {"type": "boolean"}, "created": {"type": "string", "format": "date-time"},
            "ttl": {"type": "string", "format": "duration"}, "health": {"type": "string", "maxLength": 100},
            "mixed": {"x-kubernetes-int-or-string": true},
            "widgets": {"type": "array", "maxItems": 10, "items": {"type": "object",
                "properties": {"key": {"type": "string", "maxLength": 10}, "foo": {"type": "integer"}}}},
            "namespace": {"type": "string"}, "x-prop": {"type": "integer"}, "redact__d": {"type": "integer"},
            "set1": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 9}},
            "set2": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 9}},
        }});
        assert_eq!(errors(schema), Vec::<String>::new(), "{rule}");
    }
}
