//! The transcripts of a real API server (`/work/shared/golden/crd.json`, `validation-other.json`), replayed on the pure
//! modules: the schemas and objects below are theirs, and so are the texts.

use orc_api::custom::definition::{check_schemas, versions};
use orc_api::custom::structural::{default, prune, validate};
use serde_json::{Value, json};

/// A definition with one version of that `spec` schema.
fn definition(spec: Value) -> Value {
    whole(json!({"type": "object", "properties": {"spec": spec}}))
}

fn whole(schema: Value) -> Value {
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({"spec": {"group": "example.com", "names": {"kind": "Widget"}, "versions": [version]}})
}

/// What the server does to a new object: the unknown fields, the object, the broken rules.
fn write(definition: &Value, object: Value, old: Option<&Value>) -> (Vec<String>, Value, Vec<String>) {
    assert_eq!(texts(check_schemas(definition)), Vec::<String>::new(), "the definition itself");
    let version = versions(definition).unwrap().remove(0);
    let mut object = object;
    let unknown = prune::prune(&mut object, &version.schema, true);
    default::drop_nulls(&mut object, &version.schema);
    default::default(&mut object, &version.schema);
    let mut errors = validate::validate(&object, &version.schema, None);
    errors.extend(validate::validate_lists(&object, &version.schema, None));
    errors.extend(validate::validate_embedded(&object, &version.schema, None));
    if let (true, Some(rules)) = (errors.is_empty(), &version.rules) {
        errors.extend(rules.validate(&object, old, &version.schema).errors);
    }
    (unknown, object, texts(errors))
}

fn texts(errors: Vec<orc_core::validation::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn refused(definition: &Value, spec: Value) -> Vec<String> {
    write(definition, widget(spec), None).2
}

#[test]
fn defaulting() {
    let crd = definition(json!({"type": "object", "properties": {
        "a": {"type": "string", "default": "da"},
        "o": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 5}}},
        "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "boolean", "default": true}}}},
        "p": {"type": "object", "properties": {"q": {"type": "string", "default": "never"}}},
        "nn": {"type": "string", "nullable": true, "default": "dn"}, "nd": {"type": "string", "default": "z"},
    }}));
    for (given, stored) in [
        (json!({}), json!({"a": "da", "nd": "z", "nn": "dn", "o": {"n": 5}})),
        (
            json!({"l": [{}, {"x": false}], "p": {}}),
            json!({"a": "da", "l": [{"x": true}, {"x": false}], "nd": "z", "nn": "dn", "o": {"n": 5}, "p": {"q": "never"}}),
        ),
        (json!({"a": null, "nn": null, "nd": null}), json!({"a": "da", "nd": "z", "nn": null, "o": {"n": 5}})),
    ] {
        let (_, object, errors) = write(&crd, widget(given), None);
        assert_eq!((&object["spec"], errors.len()), (&stored, 0));
    }
}

#[test]
fn pruning() {
    let crd = definition(json!({"type": "object", "properties": {
        "a": {"type": "string"},
        "keep": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"k": {"type": "object", "properties": {"z": {"type": "string"}}}}},
        "emb": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }}));
    for (given, unknown, stored) in [
        (json!({"a": "1", "zap": 1}), "spec.zap", json!({"a": "1"})),
        (
            json!({"keep": {"any": 1, "k": {"z": "1", "gone": 2}}}),
            "spec.keep.k.gone",
            json!({"keep": {"any": 1, "k": {"z": "1"}}}),
        ),
        (
            json!({"emb": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "bogus": 1}, "x": 2}}),
            "spec.emb.metadata.bogus",
            json!({"emb": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}, "x": 2}}),
        ),
    ] {
        let (lost, object, errors) = write(&crd, widget(given), None);
        assert_eq!((lost, &object["spec"], errors.len()), (vec![unknown.to_owned()], &stored, 0));
    }
    assert_eq!(refused(&crd, json!({"emb": {"kind": "X"}})), ["spec.emb.apiVersion: Required value"]);
    assert_eq!(prune::unknown_field("spec.zap"), "unknown field \"spec.zap\"");
}

#[test]
fn list_types() {
    let crd = definition(json!({"type": "object", "properties": {
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
        "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    }}));
    let twice = json!({"m": [{"k": "a"}, {"k": "a"}]});
    assert_eq!(refused(&crd, twice), ["spec.m[1]: Duplicate value: {\"k\":\"a\"}"]);
    assert_eq!(refused(&crd, json!({"s": ["a", "a"]})), ["spec.s[1]: Duplicate value: \"a\""]);
    assert!(refused(&crd, json!({"m": [{"k": "a"}], "s": ["a", "b"]})).is_empty());
}

#[test]
fn values() {
    let crd = definition(json!({"type": "object", "required": ["must"], "properties": {
        "must": {"type": "string"}, "n": {"type": "integer", "minimum": 0, "maximum": 5, "multipleOf": 2},
        "e": {"type": "string", "enum": ["a", "b"]}, "t": {"type": "string", "maxLength": 2, "pattern": "^a"},
        "min": {"type": "string", "minLength": 2}, "d": {"type": "string", "format": "date-time"},
        "l": {"type": "array", "maxItems": 1, "items": {"type": "integer"}},
        "x": {"x-kubernetes-int-or-string": true},
        "one": {"type": "string", "oneOf": [{"minLength": 3}, {"pattern": "^z"}]},
    }}));
    let only = |field: &str, value: Value| refused(&crd, json!({"must": "", field: value}));
    assert_eq!(refused(&crd, json!({})), ["spec.must: Required value"]);
    for (field, value, text) in [
        ("n", json!("s"), "spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\""),
        ("n", json!(-2), "spec.n: Invalid value: -2: spec.n in body should be greater than or equal to 0"),
        ("n", json!(6), "spec.n: Invalid value: 6: spec.n in body should be less than or equal to 5"),
        ("n", json!(3), "spec.n: Invalid value: 3: spec.n in body should be a multiple of 2"),
        ("e", json!("c"), "spec.e: Unsupported value: \"c\": supported values: \"a\", \"b\""),
        ("t", json!("abc"), "spec.t: Too long: may not be more than 2 bytes"),
        ("t", json!("b"), "spec.t: Invalid value: \"b\": spec.t in body should match '^a'"),
        ("min", json!("a"), "spec.min: Invalid value: \"a\": spec.min in body should be at least 2 chars long"),
        ("d", json!("x"), "spec.d: Invalid value: \"x\": spec.d in body must be of type date-time: \"x\""),
        ("l", json!([1, 2]), "spec.l: Too many: 2: must have at most 1 item"),
        (
            "l",
            json!(["a"]),
            "spec.l[0]: Invalid value: \"string\": spec.l[0] in body must be of type integer: \"string\"",
        ),
        (
            "x",
            json!(true),
            "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
        ),
    ] {
        assert_eq!(only(field, value), [text]);
    }
    assert_eq!(
        only("one", json!("zzzz")),
        [
            "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
        ]
    );
    let none = only("one", json!("a"));
    assert_eq!(
        none[0],
        "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found none valid"
    );
    assert_eq!(none[1], "spec.one: Invalid value: \"a\": spec.one in body should be at least 3 chars long");
}

#[test]
fn rules_of_objects() {
    let crd = definition(json!({"type": "object",
    "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "n": {"type": "string", "maxLength": 20}},
    "x-kubernetes-validations": [
        {"rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "message": "min must not exceed max"},
        {"rule": "!has(self.n) || self.n.startsWith('a')", "messageExpression": "'name ' + self.n + ' is bad'",
            "fieldPath": ".n", "reason": "FieldValueForbidden"},
    ]}));
    assert!(refused(&crd, json!({"min": 1, "max": 2, "n": "abc"})).is_empty());
    assert_eq!(refused(&crd, json!({"min": 3, "max": 2})), ["spec: Invalid value: min must not exceed max"]);
    assert_eq!(refused(&crd, json!({"n": "zzz"})), ["spec.n: Forbidden: name zzz is bad"]);
    assert_eq!(
        refused(&crd, json!({"min": 3, "max": 2, "n": "z"})),
        ["spec: Invalid value: min must not exceed max", "spec.n: Forbidden: name z is bad"]
    );
}

#[test]
fn rules_of_lists_and_maps() {
    let crd = definition(json!({"type": "object", "properties": {
        "l": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10,
            "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}},
        "m": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": "self.all(k, self[k] > 0)"}]},
    }}));
    assert_eq!(
        refused(&crd, json!({"l": ["ok", "bad"]})),
        ["spec.l[1]: Invalid value: \"bad\": failed rule: self != 'bad'"]
    );
    assert_eq!(refused(&crd, json!({"m": {"a": 0}})), ["spec.m: Invalid value: failed rule: self.all(k, self[k] > 0)"]);
    assert!(refused(&crd, json!({"l": ["x"], "m": {"a": 1}})).is_empty());
}

#[test]
fn rules_with_library_functions() {
    let rules = [
        "!has(self.q) || quantity(self.q).isGreaterThan(quantity('1Gi'))",
        "!has(self.u) || url(self.u).getHost() == 'a.b'",
        "!has(self.d) || self.d > duration('1m')",
        "!has(self.ip) || isIP(self.ip)",
        "!has(self.f) || self.f.matches('^x+$')",
    ];
    let listed: Vec<Value> = rules.iter().map(|rule| json!({"rule": rule})).collect();
    let crd = definition(json!({"type": "object", "x-kubernetes-validations": listed, "properties": {
        "q": {"type": "string", "maxLength": 20}, "u": {"type": "string", "maxLength": 50},
        "d": {"type": "string", "format": "duration", "maxLength": 10}, "ip": {"type": "string", "maxLength": 40},
        "f": {"type": "string", "maxLength": 20},
    }}));
    let good = json!({"q": "2Gi", "u": "http://a.b/c", "d": "2m", "ip": "1.2.3.4", "f": "xx"});
    assert!(refused(&crd, good).is_empty());
    for (i, (field, value)) in
        [("q", "1Mi"), ("u", "http://z/"), ("d", "5s"), ("ip", "z"), ("f", "y")].into_iter().enumerate()
    {
        let text = format!("spec: Invalid value: failed rule: {}", rules[i]);
        assert_eq!(refused(&crd, json!({field: value})), [text]);
    }
    assert_eq!(
        refused(&crd, json!({"q": "notq"})),
        [format!(
            "spec: Invalid value: \"object\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: {}",
            rules[0]
        )]
    );
}

#[test]
fn rules_that_see_the_old_value() {
    let optional = json!([{"rule": "oldSelf.hasValue() || self == 'init'", "optionalOldSelf": true}]);
    let crd = definition(json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-validations": optional},
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
    }}));
    assert_eq!(
        refused(&crd, json!({"a": "zz"})),
        ["spec.a: Invalid value: \"zz\": failed rule: oldSelf.hasValue() || self == 'init'"]
    );
    assert!(refused(&crd, json!({"a": "init", "fixed": "x"})).is_empty());
    let old = widget(json!({"a": "init", "fixed": "x"}));
    let change = |spec: Value| write(&crd, widget(spec), Some(&old)).2;
    assert!(change(json!({"a": "zz", "fixed": "x"})).is_empty());
    assert_eq!(change(json!({"fixed": "y"})), ["spec.fixed: Invalid value: \"y\": is immutable"]);
}

#[test]
fn the_name_is_seen_at_the_root() {
    let crd = whole(json!({"type": "object", "properties": {"spec": {"type": "object"}},
        "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('ok-')"}]}));
    assert_eq!(refused(&crd, json!({})), ["<nil>: Invalid value: failed rule: self.metadata.name.startsWith('ok-')"]);
}

#[test]
fn unchanged_parts_only_warn() {
    let crd = definition(json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'old'"}]}, "b": {"type": "string"},
    }}));
    let version = versions(&crd).unwrap().remove(0);
    let (old, new) = (widget(json!({"a": "old"})), widget(json!({"a": "old", "b": "new"})));
    let found = version.rules.unwrap().validate(&new, Some(&old), &version.schema);
    assert_eq!(found.errors, []);
    assert_eq!(found.warnings, ["spec.a: Invalid value: \"old\": failed rule: self != 'old'"]);
}

#[test]
fn deprecated_versions_warn() {
    let mut crd = definition(json!({"type": "object"}));
    let schema = crd["spec"]["versions"][0]["schema"].clone();
    crd["spec"]["versions"].as_array_mut().unwrap().extend([
        json!({"name": "v1beta1", "served": true, "deprecated": true, "schema": schema}),
        json!({"name": "v2alpha1", "served": true, "deprecated": true, "deprecationWarning": "go away", "schema": schema}),
    ]);
    let warnings: Vec<Option<String>> = versions(&crd).unwrap().into_iter().map(|v| v.warning).collect();
    let told = "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget".to_owned();
    assert_eq!(warnings, [None, Some(told), Some("go away".to_owned())]);
}
