//! `Impersonate-*` headers: acting as somebody else, where roles allow that.

use http::HeaderMap;
use orc_core::ApiError;

use super::request::{RequestInfo, decode};
use super::service::ApiService;
use crate::identity::{ANONYMOUS, AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::rbac::Attributes;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const ACCOUNT: &str = "system:serviceaccount:";

impl ApiService {
    /// The identity that a request acts as: the asker's own unless headers name another one.
    ///
    /// # Errors
    /// 400 for headers without a user, 403 when the asker may not act as that identity.
    pub(super) fn impersonate(
        &self,
        headers: &HeaderMap,
        asker: Identity,
        info: &RequestInfo,
    ) -> Result<Identity, ApiError> {
        let Some(wanted) = wanted(headers)? else { return Ok(asker) };
        let authorizer = self.config().registry.authorizer();
        for asks in demands(&wanted) {
            let asks = Attributes {
                verb: "impersonate",
                group: asks.group,
                resource: asks.resource,
                subresource: &asks.sub,
                namespace: &asks.namespace,
                name: &asks.name,
                path: "",
                fields: None,
            };
            if !authorizer.permits(&asker, &asks) {
                let refused = info.attributes();
                let verb = format!("impersonate-on:user-info:{}", refused.verb);
                return Err(Attributes { verb: &verb, ..refused }.refuse(&asker));
            }
        }
        Ok(complete(wanted))
    }
}

/// What the headers ask for, `None` when there are none.
fn wanted(headers: &HeaderMap) -> Result<Option<Identity>, ApiError> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let first = |name: &str| texts(name).into_iter().next().unwrap_or_default();
    let mut who = Identity { user: first(USER), uid: first(UID), groups: texts(GROUP), ..Identity::default() };
    for name in headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA)) {
        let key = decode(name).unwrap_or_else(|| name.to_owned()).to_lowercase();
        who.extra.insert(key, texts(&format!("{EXTRA}{name}")));
    }
    if who == Identity::default() {
        return Ok(None);
    }
    if who.user.is_empty() {
        return Err(ApiError::bad_request(
            "requested to impersonate groups, a uid or extra fields without impersonating a user name",
        ));
    }
    Ok(Some(who))
}

struct Demand {
    group: &'static str,
    resource: &'static str,
    sub: String,
    namespace: String,
    name: String,
}

/// What the asker must be allowed to impersonate, part by part.
fn demands(who: &Identity) -> Vec<Demand> {
    let demand = |group, resource, name: &str| Demand {
        group,
        resource,
        sub: String::new(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    let user = match account(&who.user) {
        Some((namespace, name)) => Demand { namespace: namespace.to_owned(), ..demand("", "serviceaccounts", name) },
        None => demand("", "users", &who.user),
    };
    let mut all = vec![user];
    all.extend(who.groups.iter().map(|group| demand("", "groups", group)));
    if !who.uid.is_empty() {
        all.push(demand("authentication.k8s.io", "uids", &who.uid));
    }
    for (key, values) in &who.extra {
        all.extend(
            values
                .iter()
                .map(|value| Demand { sub: key.clone(), ..demand("authentication.k8s.io", "userextras", value) }),
        );
    }
    all
}

fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(ACCOUNT)?.split_once(':')
}

/// Adds the groups that go with the identity itself.
fn complete(mut who: Identity) -> Identity {
    if who.groups.is_empty()
        && let Some((namespace, _)) = account(&who.user)
    {
        who.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let own = if who.user == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !who.groups.iter().any(|group| group == own || group == UNAUTHENTICATED) {
        who.groups.push(own.to_owned());
    }
    who
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_an_identity() {
        let mut headers = HeaderMap::new();
        assert_eq!(wanted(&headers).unwrap(), None);
        headers.insert("impersonate-extra-acme.com%2fproject", "p".parse().unwrap());
        assert!(wanted(&headers).is_err());
        headers.insert(USER, "system:serviceaccount:d:a".parse().unwrap());
        let who = wanted(&headers).unwrap().unwrap();
        assert_eq!(who.extra["acme.com/project"], ["p"]);
        assert_eq!(demands(&who).iter().map(|d| d.resource).collect::<Vec<_>>(), ["serviceaccounts", "userextras"]);
        assert_eq!(
            complete(who).groups,
            ["system:serviceaccounts", "system:serviceaccounts:d", "system:authenticated"]
        );
        assert_eq!(complete(Identity { user: ANONYMOUS.to_owned(), ..Identity::default() }).groups, [UNAUTHENTICATED]);
    }
}
