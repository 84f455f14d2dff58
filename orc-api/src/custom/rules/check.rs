//! What the rules of a definition must hold to, with Kubernetes' texts.

use super::super::structural::{ListType, Rule, Schema};
use super::compile::{environment, expression, message};
use super::declare::declare;
use super::field_path;
use crate::cel::Type;
use crate::cel::budget::{RULE_ESTIMATE_LIMIT, SCHEMA_ESTIMATE_LIMIT};
use crate::kinds::tree::Errors;
use orc_core::validation::{FieldErrors, FieldPath};

const RULES: &str = "x-kubernetes-validations";
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// So many of the most expensive rules are named when the total is too high.
const NAMED: usize = 4;

/// Checks the rules of a schema that stands at `path`; the schema itself was found to be structural.
pub fn check(schema: &Schema, path: &FieldPath<'_>) -> FieldErrors {
    let mut run = Run { errors: FieldErrors::new(), total: 0, costs: Vec::new() };
    run.node(schema, true, &Around { times: 1, blind: None }, path);
    run.finish(path);
    run.errors
}

/// What stands around a schema.
struct Around {
    /// How many values of it an object may hold.
    times: u64,
    /// The list whose items cannot be told apart, if one is around.
    blind: Option<String>,
}

struct Run {
    errors: FieldErrors,
    total: u64,
    costs: Vec<(u64, String)>,
}

fn over(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        f if f > 100.0 => "more than 100x".to_owned(),
        f if f < 1.5 => format!("{f:.6}x"),
        f => format!("{f:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

impl Run {
    fn node(&mut self, schema: &Schema, root: bool, around: &Around, path: &FieldPath<'_>) {
        if !schema.has_rules() {
            return;
        }
        let kind = declare(schema, root);
        let rules = path.child(RULES);
        for (i, rule) in schema.rules.iter().enumerate() {
            self.rule(rule, schema, kind.as_ref(), around, &rules.index(i));
        }
        let times = around.times.saturating_mul(kind.as_ref().map_or(1, Type::max));
        if let Some(items) = &schema.items {
            let blind = match (&around.blind, schema.list_type) {
                (None, ListType::Map) => None,
                (None, _) => Some(path.to_string()),
                (Some(list), _) => Some(list.clone()),
            };
            self.node(items, items.embedded, &Around { times, blind }, &path.child("items"));
        }
        let properties = path.child("properties");
        for (name, inner) in &schema.properties {
            let around = Around { times: around.times, blind: around.blind.clone() };
            self.node(inner, inner.embedded, &around, &properties.key(name));
        }
        if let Some(inner) = schema.value_schema() {
            let around = Around { times, blind: around.blind.clone() };
            self.node(inner, inner.embedded, &around, &path.child("additionalProperties"));
        }
    }

    fn rule(&mut self, rule: &Rule, schema: &Schema, kind: Option<&Type>, around: &Around, path: &FieldPath<'_>) {
        self.texts(rule, schema, path);
        if rule.rule.trim().is_empty() {
            return;
        }
        let (at, environment) = (path.child("rule"), environment(kind.cloned(), rule));
        match expression(rule, &environment) {
            Ok(program) => {
                if let (true, Some(list)) = (program.uses("oldSelf"), &around.blind) {
                    let text =
                        format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
                    self.errors.invalid(&at, &rule.rule, text);
                }
                if rule.optional_old_self && !program.uses("oldSelf") {
                    let text = "may not be set if oldSelf is not used in rule";
                    self.errors.invalid(&path.child("optionalOldSelf"), true, text);
                }
                self.cost("estimated rule cost", program.estimated_cost(), around, &at);
            }
            Err(error) => self.errors.invalid(&at, &rule.rule, error.to_string()),
        }
        let at = path.child("messageExpression");
        match message(rule, &environment) {
            Ok(None) => {}
            Ok(Some(program)) => self.cost("estimated messageExpression cost", program.estimated_cost(), around, &at),
            Err(error) => self.errors.invalid(&at, &rule.message_expression, error.to_string()),
        }
    }

    fn cost(&mut self, what: &str, each: u64, around: &Around, path: &FieldPath<'_>) {
        let cost = each.saturating_mul(around.times);
        if cost > RULE_ESTIMATE_LIMIT {
            self.errors.forbidden(path, over(what, cost, RULE_ESTIMATE_LIMIT));
        }
        self.total = self.total.saturating_add(cost);
        self.costs.push((cost, path.to_string()));
    }

    fn finish(&mut self, path: &FieldPath<'_>) {
        if self.total <= SCHEMA_ESTIMATE_LIMIT {
            return;
        }
        self.costs.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        for (_, rule) in self.costs.iter().take(NAMED) {
            let text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.errors.forbidden(&FieldPath::new(rule), text);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.errors.forbidden(path, over(what, self.total, SCHEMA_ESTIMATE_LIMIT));
    }

    /// The parts of a rule that are no expressions.
    fn texts(&mut self, rule: &Rule, schema: &Schema, path: &FieldPath<'_>) {
        let e = &mut self.errors;
        if rule.rule.trim().is_empty() {
            e.required(&path.child("rule"), "rule is not specified");
        }
        let (message, at) = (rule.message.as_str(), path.child("message"));
        if !message.is_empty() && message.trim().is_empty() {
            e.invalid(&at, message, "message must be non-empty if specified");
        } else if message.contains('\n') {
            e.invalid(&at, message, "message must not contain line breaks");
        } else if message.is_empty() && rule.message_expression.is_empty() && rule.rule.trim().contains('\n') {
            e.required(&at, "message must be specified if rule contains line breaks");
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            e.required(&path.child("messageExpression"), "must be non-empty if specified");
        }
        if let Some(reason) = &rule.reason {
            e.supported(&path.child("reason"), reason, &REASONS);
        }
        if rule.field_path.is_empty() {
            return;
        }
        if let Err(why) = field_path::resolve(&rule.field_path, schema) {
            let text = format!("fieldPath must be a valid path: {why}");
            e.invalid(&path.child("fieldPath"), &rule.field_path, text);
        }
    }
}
