//! A label selector: conditions that must all hold, or none at all.

use super::set::LabelMap;
use super::{Operator, Requirement, parse};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Why a selector was refused, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl SelectorError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        SelectorError(text.into())
    }
}

/// Which labels an object must have.
///
/// `Default` selects everything. A missing `LabelSelector` selects nothing, an empty one everything: Kubernetes' rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector(Option<Vec<Requirement>>);

impl Default for Selector {
    fn default() -> Self {
        Selector::everything()
    }
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Selector(Some(Vec::new()))
    }

    /// Selects no object.
    pub fn nothing() -> Self {
        Selector(None)
    }

    /// Conditions that must all hold.
    pub fn of(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let mut list: Vec<Requirement> = requirements.into_iter().collect();
        list.sort_by(|a, b| a.key().cmp(b.key()));
        Selector(Some(list))
    }

    /// The text form: `a=b,c!=d,e in (x,y),!f,g,h>1`.
    ///
    /// # Errors
    /// The text does not read as a selector, or a key or value in it is not valid.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Selector::of(parse::requirements(text)?))
    }

    /// Equality with each entry of a plain map: the selector of a Service or ReplicationController.
    /// The entries are taken as they are; an empty map selects everything.
    ///
    /// # Errors
    /// A key or value is not valid.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<Self, SelectorError> {
        let list = map.iter().map(|(k, v)| Requirement::new(k, Operator::Equals, [v.clone()]));
        Ok(Selector::of(list.collect::<Result<Vec<_>, _>>()?))
    }

    /// A `LabelSelector` of an object's spec; none selects nothing.
    ///
    /// # Errors
    /// An operator is unknown, or a key or value is not valid.
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Result<Self, SelectorError> {
        let Some(selector) = selector else { return Ok(Selector::nothing()) };
        let mut list = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            list.push(Requirement::new(key, Operator::Equals, [value.clone()])?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            list.push(Requirement::new(&expression.key, operator(&expression.operator)?, values)?);
        }
        Ok(Selector::of(list))
    }

    /// A `LabelSelector` in its JSON form; null selects nothing.
    ///
    /// # Errors
    /// As [`Self::from_label_selector`], or the JSON has another shape.
    pub fn from_value(value: &Value) -> Result<Self, SelectorError> {
        let selector: Option<LabelSelector> =
            serde_json::from_value(value.clone()).map_err(|e| SelectorError::new(e.to_string()))?;
        Self::from_label_selector(selector.as_ref())
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &impl LabelMap) -> bool {
        self.0.as_ref().is_some_and(|list| list.iter().all(|r| r.matches(labels)))
    }

    /// As [`Self::matches`], with labels looked up by the caller.
    pub fn matches_with<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.as_ref().is_some_and(|list| list.iter().all(|r| r.matches_value(lookup(r.key()))))
    }

    /// The labels that a selected object must have with one certain value, in the order of their keys.
    pub fn equals(&self) -> impl Iterator<Item = (&str, &str)> {
        let single = |r: &Requirement| matches!(r.operator(), Operator::In | Operator::Equals | Operator::DoubleEquals);
        let certain = self.0.iter().flatten().filter(move |r| single(r) && r.values().len() == 1);
        certain.filter_map(|r| Some((r.key(), r.values().first()?.as_str())))
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.0.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether no object is selected, whatever its labels.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// The conditions, by key.
    pub fn requirements(&self) -> &[Requirement] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Adds a condition; a selector of nothing stays one.
    pub fn and(mut self, requirement: Requirement) -> Self {
        if let Some(list) = &mut self.0 {
            list.push(requirement);
            list.sort_by(|a, b| a.key().cmp(b.key()));
        }
        self
    }
}

fn operator(text: &str) -> Result<Operator, SelectorError> {
    match text {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        other => Err(SelectorError::new(format!("\"{other}\" is not a valid label selector operator"))),
    }
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Selector::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn parses_and_matches() {
        let selector = Selector::parse("a=b, c!=d,e in (x,y),!f,g,h>1,i<5").unwrap();
        assert_eq!(selector.to_string(), "a=b,c!=d,e in (x,y),!f,g,h>1,i<5");
        let fit = labels(&[("a", "b"), ("e", "y"), ("g", ""), ("h", "2"), ("i", "-1")]);
        assert!(selector.matches(&fit));
        for (key, value) in [("a", "c"), ("c", "d"), ("e", "z"), ("f", ""), ("h", "1"), ("h", "x"), ("i", "5")] {
            let mut other = fit.clone();
            other.insert(key.into(), value.into());
            assert!(!selector.matches(&other), "{key}={value}");
        }
        assert!(Selector::parse("").unwrap().is_everything());
        assert!(Selector::parse("a=").unwrap().matches(&labels(&[("a", "")])));
        assert!(Selector::parse("in in (in)").unwrap().matches(&labels(&[("in", "in")])));
        assert_eq!(Selector::parse("a in (,)").unwrap().to_string(), "a in ()");
    }

    #[test]
    fn errors_read_like_kubernetes() {
        let text = |s: &str| Selector::parse(s).unwrap_err().to_string();
        assert_eq!(text("a b"), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        assert_eq!(text("=a"), "found '=', expected: !, identifier, or 'end of string'");
        assert_eq!(text("a,"), "found '', expected: identifier after ','");
        assert_eq!(text("a in b"), "unable to parse requirement: found 'b' expected: '('");
        assert!(text("a_=b").starts_with("unable to parse requirement: <nil>: Invalid value: \"a_\": name part must"));
        assert!(text("a=b_").starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b_\": a valid"));
        assert_eq!(
            text("a>b"),
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"
        );
    }

    #[test]
    fn from_json() {
        let value = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]});
        let selector = Selector::from_value(&value).unwrap();
        assert_eq!(selector.to_string(), "a=b,c");
        assert!(Selector::from_value(&Value::Null).unwrap().is_nothing());
        assert!(Selector::from_value(&json!({})).unwrap().is_everything());
        let bad = json!({"matchExpressions": [{"key": "c", "operator": "Odd"}]});
        assert_eq!(
            Selector::from_value(&bad).unwrap_err().to_string(),
            "\"Odd\" is not a valid label selector operator"
        );
    }

    proptest! {
        #[test]
        fn display_parses_back(text in "[a-c]{1,2}(=|!=|==| in \\(| notin \\()?[xy,]{0,3}\\)?(,!?[d-f])?") {
            // Kubernetes prints the set of one empty value as `()`, which does not parse back.
            let printable = |s: &Selector| !s.to_string().contains("()");
            if let Some(selector) = Selector::parse(&text).ok().filter(printable) {
                prop_assert_eq!(&Selector::parse(&selector.to_string()).unwrap(), &selector);
            }
        }
        #[test]
        fn parse_never_panics(text in "\\PC{0,24}") {
            let _ = Selector::parse(&text);
        }
    }
}
