//! Who asks: identities and the ways to prove one.

mod certificate;
pub(crate) mod keys;
pub mod legacy;
pub mod service_account;
mod static_token;

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use certificate::from_certificate;
pub use static_token::{StaticTokens, TokenFileError};

/// The group of the superusers.
pub const MASTERS: &str = "system:masters";
/// The group of everyone who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of those who did not say who they are.
pub const ANONYMOUS: &str = "system:anonymous";

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The user's uid, often empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Further facts, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A user with groups, counted as authenticated.
    pub fn user(name: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        groups.push(AUTHENTICATED.to_owned());
        Self { user: name.into(), groups, ..Self::default() }
    }

    /// An administrator.
    pub fn admin() -> Self {
        Self::user("system:admin", &[MASTERS])
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self { user: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// Turns a bearer token into an identity.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// The identity that the token proves, `None` when the token is not of this kind or not valid.
    async fn authenticate(&self, token: &str) -> Option<Identity>;

    /// As [`TokenAuthenticator::authenticate`], for a token that is meant for one of `audiences`; returns those that it is
    /// meant for. Tokens that name no audience are meant for the API itself, whose audiences are `own`.
    async fn authenticate_for(
        &self,
        token: &str,
        audiences: &[String],
        own: &[String],
    ) -> Option<(Identity, Vec<String>)> {
        let common: Vec<String> = audiences.iter().filter(|wanted| own.contains(wanted)).cloned().collect();
        if common.is_empty() {
            return None;
        }
        self.authenticate(token).await.map(|who| (who, common))
    }
}
