//! Paths of an embedder's own beside Kubernetes', such as a backup or a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};

use super::Body;

/// Answers requests to one path. They are authenticated, and authorized as a non-resource URL (`nonResourceURLs` of a role),
/// before they come here.
#[async_trait]
pub trait Extra: Send + Sync + 'static {
    /// Answers a request. A failure is an answer.
    async fn answer(&self, request: Request<Body>) -> Response<Body>;
}

/// Extra paths: `/backup` is that path, `/ui/` every path below it. They come before Kubernetes' own.
pub type Extras = BTreeMap<String, Arc<dyn Extra>>;

/// What answers a path.
pub(super) fn of<'a>(extras: &'a Extras, path: &str) -> Option<&'a Arc<dyn Extra>> {
    extras.get(path).or_else(|| {
        let below = |prefix: &str| prefix.ends_with('/') && path.starts_with(prefix);
        extras.iter().rev().find(|(prefix, _)| below(prefix)).map(|(_, extra)| extra)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    #[async_trait]
    impl Extra for Nothing {
        async fn answer(&self, _: Request<Body>) -> Response<Body> {
            super::super::respond::nothing()
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let names = ["/backup", "/ui/", "/ui/deep/"];
        let extras: Extras = names.map(|name| (name.to_owned(), Arc::new(Nothing) as Arc<dyn Extra>)).into();
        let found = |path: &str| {
            let extra = of(&extras, path)?;
            extras.iter().find(|(_, other)| Arc::ptr_eq(other, extra)).map(|(name, _)| name.as_str())
        };
        assert_eq!(
            [found("/backup"), found("/backup/x"), found("/ui/deep/a"), found("/ui/a"), found("/ui")],
            [Some("/backup"), None, Some("/ui/deep/"), Some("/ui/"), None]
        );
    }
}
