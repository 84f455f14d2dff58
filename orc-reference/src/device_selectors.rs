//! CEL for the scheduler's device claims: which devices the expressions of classes and claims choose.
//!
//! The variable `device` is Kubernetes': `driver`, and `attributes` and `capacity` by domain and name. A name without a domain
//! is in the driver's. A domain that an expression looks up and a device does not have is an empty map, as upstream, so
//! that `has(device.attributes["other.example.com"].model)` is false and no error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute};
use orc_api::cel::{Activation, Budget, Environment, Key, ObjectType, Opaque, Program, Type, Value};
use orc_sched::plugins::{DeviceSelector, DeviceSelectors, DynamicResources};
use parking_lot::Mutex;

/// Expressions that are remembered. A cluster has some dozens; when there are more, all are compiled anew.
const KEPT: usize = 1024;

static DEVICE: LazyLock<Environment> = LazyLock::new(|| {
    let by_domain = |value: Type| Type::map(Type::text(), Type::map(Type::text(), value));
    let fields = [
        ("driver", Type::text()),
        ("attributes", by_domain(Type::Dyn)),
        ("capacity", by_domain(Type::Opaque(Opaque::Quantity))),
        ("allowMultipleAllocations", Type::Bool),
    ];
    let fields = fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    Environment::new()
        .with("device", Type::Object(Arc::new(ObjectType { name: "kubernetes.DRADevice".to_owned(), fields })))
});

/// Makes values of CEL's own functions, such as `quantity`, of texts.
struct Maker(Result<Program, String>);

static QUANTITY: LazyLock<Maker> = LazyLock::new(|| Maker::new("quantity(text)"));
static SEMVER: LazyLock<Maker> = LazyLock::new(|| Maker::new("semver(text)"));

impl Maker {
    fn new(source: &str) -> Self {
        let text = Environment::new().with("text", Type::text());
        Self(Program::compile(source, &text).map_err(|error| error.to_string()))
    }

    fn make(&self, text: &str) -> Result<Value, String> {
        let program = self.0.as_ref().map_err(Clone::clone)?;
        let value = program.evaluate(&Activation::new().with("text", Value::string(text)), &mut Budget::default());
        value.map_err(|error| error.to_string())
    }
}

/// The scheduler's plugin with CEL.
pub fn plugin() -> DynamicResources {
    static ALL: LazyLock<Arc<Cel>> = LazyLock::new(Arc::default);
    DynamicResources::new(ALL.clone())
}

type Compiled = Result<Arc<dyn DeviceSelector>, String>;

/// Compiles with the API server's CEL, once each.
#[derive(Default)]
struct Cel(Mutex<HashMap<String, Compiled>>);

impl DeviceSelectors for Cel {
    fn compile(&self, expression: &str) -> Compiled {
        let mut kept = self.0.lock();
        if let Some(found) = kept.get(expression) {
            return found.clone();
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let compiled = Expression::compile(expression);
        kept.insert(expression.to_owned(), compiled.clone());
        compiled
    }
}

struct Expression {
    program: Program,
    /// The domains that it looks up.
    domains: BTreeSet<String>,
}

impl Expression {
    fn compile(source: &str) -> Compiled {
        let program = Program::compile(source, &DEVICE).map_err(|error| error.to_string())?;
        if !matches!(program.kind(), Type::Bool | Type::Dyn) {
            return Err("must evaluate to bool or the unknown type".to_owned());
        }
        Ok(Arc::new(Self { program, domains: domains(source) }))
    }
}

/// The texts that stand in brackets right behind something: `attributes["here"]`.
fn domains(source: &str) -> BTreeSet<String> {
    let quoted = |rest: &str| {
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let (text, after) = rest[1..].split_once(quote)?;
        after.trim_start().starts_with(']').then(|| text.to_owned())
    };
    source.split('[').skip(1).filter_map(quoted).collect()
}

impl DeviceSelector for Expression {
    fn matches(&self, driver: &str, device: &Device) -> Result<bool, String> {
        let mut attributes = ByDomain::new(&self.domains);
        for (name, attribute) in device.attributes.iter().flatten() {
            attributes.put(driver, name, value(attribute)?);
        }
        let mut capacity = ByDomain::new(&self.domains);
        for (name, amount) in device.capacity.iter().flatten() {
            capacity.put(driver, name, QUANTITY.make(&amount.value.0)?);
        }
        let device = map([
            ("driver", Value::string(driver)),
            ("attributes", attributes.value()),
            ("capacity", capacity.value()),
            ("allowMultipleAllocations", Value::Bool(device.allow_multiple_allocations == Some(true))),
        ]);
        let answer = self.program.evaluate(&Activation::new().with("device", device), &mut Budget::default());
        let answer = answer.map_err(|error| error.to_string())?;
        answer.as_bool().ok_or_else(|| format!("expected a bool, got {}", answer.type_name()))
    }
}

fn map<'a>(all: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(Arc::new(all.into_iter().map(|(key, value)| (Key::String(key.into()), value)).collect()))
}

/// Values by domain and name.
struct ByDomain(BTreeMap<String, BTreeMap<String, Value>>);

impl ByDomain {
    fn new(domains: &BTreeSet<String>) -> Self {
        Self(domains.iter().map(|domain| (domain.clone(), BTreeMap::new())).collect())
    }

    fn put(&mut self, driver: &str, name: &str, value: Value) {
        let (domain, name) = name.split_once('/').unwrap_or((driver, name));
        self.0.entry(domain.to_owned()).or_default().insert(name.to_owned(), value);
    }

    fn value(self) -> Value {
        let inner = |names: BTreeMap<String, Value>| map(names.iter().map(|(name, value)| (&**name, value.clone())));
        let all: Vec<(String, Value)> = self.0.into_iter().map(|(domain, names)| (domain, inner(names))).collect();
        map(all.iter().map(|(domain, value)| (&**domain, value.clone())))
    }
}

fn value(attribute: &DeviceAttribute) -> Result<Value, String> {
    let DeviceAttribute { string, int, bool, version, strings, ints, bools, versions } = attribute;
    let versioned = |all: &Vec<String>| all.iter().map(|text| SEMVER.make(text)).collect::<Result<Vec<_>, _>>();
    if let Some(text) = string {
        return Ok(Value::string(text));
    }
    if let Some(text) = version {
        return SEMVER.make(text);
    }
    if let Some(all) = versions {
        return versioned(all).map(Value::list);
    }
    let one = int.map(Value::Int).or(bool.map(Value::Bool));
    let list = || {
        let texts = strings.as_ref().map(|all| all.iter().map(Value::string).collect());
        let numbers = || ints.as_ref().map(|all| all.iter().copied().map(Value::Int).collect());
        let truths = || bools.as_ref().map(|all| all.iter().copied().map(Value::Bool).collect());
        texts.or_else(numbers).or_else(truths).map(Value::list)
    };
    one.or_else(list).ok_or_else(|| "an attribute has no value that is known".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(source: &str) -> Result<bool, String> {
        let device = json!({"name": "a", "attributes": {
            "model": {"string": "x"}, "other.example.com/numa": {"int": 1}, "driverVersion": {"version": "1.10.0"}},
            "capacity": {"memory": {"value": "16Gi"}}});
        Cel::default().compile(source)?.matches("gpu.example.com", &serde_json::from_value(device).unwrap())
    }

    #[test]
    fn expressions_read_devices() {
        for (source, expected) in [
            ("device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].model == 'x'", true),
            ("device.attributes['other.example.com'].numa == 0", false),
            ("device.capacity['gpu.example.com'].memory.compareTo(quantity('10Gi')) >= 0", true),
            ("device.capacity['gpu.example.com'].memory.isLessThan(quantity('16Gi'))", false),
            ("device.attributes[\"gpu.example.com\"].driverVersion.isGreaterThan(semver('1.9.0'))", true),
            ("has(device.attributes['none.example.com'].model)", false),
            ("'none.example.com' in device.attributes", false),
        ] {
            assert_eq!(matches(source), Ok(expected), "{source}");
        }
        assert!(matches("device.attributes['gpu.example.com'].nothing == 1").is_err());
        assert!(matches("device.zap").is_err());
        assert!(matches("device.driver").unwrap_err().contains("must evaluate to bool"));
    }
}
