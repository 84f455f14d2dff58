//! The variables that expressions of policies and match conditions see.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Attributes, Operation};
use crate::cel::{self, Activation, Authority, Environment, Question, Type, Value};
use crate::identity::Identity;
use crate::rbac::{self, Authorizer};

/// What expressions may name; `params` and `namespaceObject` for policies only.
pub fn environment(policy: bool, params: bool) -> Environment {
    let mut environment = Environment::new();
    for name in ["object", "oldObject", "request", "authorizer", "authorizer.requestResource"] {
        environment = environment.with(name, Type::Dyn);
    }
    if policy {
        environment = environment.with("namespaceObject", Type::Dyn);
    }
    if params {
        environment = environment.with("params", Type::Dyn);
    }
    environment
}

/// The same with the literals of mutations: `Object{...}` and its parts, and `JSONPatch{...}`.
pub fn with_literals(environment: Environment) -> Environment {
    environment.with_literals("Object").with_literals("JSONPatch")
}

/// The values for one request; null stands for what is not there.
pub fn activation(ask: &Attributes<'_>, authorizer: &Arc<Authorizer>, namespace: Option<&Json>) -> Activation {
    let authority: Arc<dyn Authority> = Arc::new(Roles { authorizer: authorizer.clone(), who: ask.who.clone() });
    let about = Question {
        group: ask.info.group.to_string(),
        resource: ask.info.plural.clone(),
        subresource: ask.subresource.to_owned(),
        namespace: ask.key.namespace_str().to_owned(),
        name: ask.key.name.to_string(),
        ..Question::default()
    };
    Activation::new()
        .with_json("object", ask.new_value())
        .with_json("oldObject", ask.old_value())
        .with_json("request", &request(ask))
        .with("namespaceObject", namespace.map_or(Value::Null, cel::convert::from_json))
        .with("authorizer.requestResource", cel::authorizer(authority.clone(), about))
        .with("authorizer", cel::authorizer(authority, Question::default()))
}

fn request(ask: &Attributes<'_>) -> Json {
    let name = if ask.operation == Operation::Create && ask.name() == "Unknown" { "" } else { ask.name() };
    json!({
        "kind": ask.kind_json(), "resource": ask.resource_json(), "subResource": ask.subresource,
        "requestKind": ask.kind_json(), "requestResource": ask.resource_json(), "requestSubResource": ask.subresource,
        "name": name, "namespace": ask.key.namespace_str(), "operation": ask.operation.as_str(),
        "userInfo": ask.user_json(), "dryRun": ask.dry_run, "options": ask.options,
    })
}

/// Answers from roles, for who makes the request or for a service account.
struct Roles {
    authorizer: Arc<Authorizer>,
    who: Identity,
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roles({})", self.who.user)
    }
}

impl Authority for Roles {
    fn decide(&self, question: &Question) -> (bool, String) {
        let account = question.account.as_ref().map(|(namespace, name)| {
            let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            Identity::user(format!("system:serviceaccount:{namespace}:{name}"), &groups)
        });
        let asks = rbac::Attributes {
            verb: &question.verb,
            group: &question.group,
            resource: &question.resource,
            subresource: &question.subresource,
            namespace: &question.namespace,
            name: &question.name,
            path: question.path.as_deref().unwrap_or_default(),
            ..rbac::Attributes::default()
        };
        self.authorizer.explain(account.as_ref().unwrap_or(&self.who), &asks)
    }
}
