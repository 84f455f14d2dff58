//! Query parameters, with Kubernetes' names and errors.

use orc_core::labels::{FieldSelector, Selector};
use orc_core::{ApiError, Revision};
use orc_store::client::{Continue, Freshness, ListOptions, Selection};

use super::request::decode;

/// The parameters of one request, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Splits a query string. A part that does not decode is taken as it stands.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let plain = |part: &str| {
            let spaced = part.replace('+', " ");
            decode(&spaced).unwrap_or(spaced)
        };
        let pairs = text.unwrap_or_default().split('&').filter(|part| !part.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (plain(k), plain(v))).collect())
    }

    /// Parameters that stand for themselves.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The first value of a name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a name is there at all, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Whether a flag is set: `true`, `1` or present without a value.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && matches!(value.as_str(), "true" | "1" | "" | "True" | "t"))
    }

    /// An option of type bool as Kubernetes' conversion of queries reads it: anything but `false` and `0` is true, also nothing.
    pub(super) fn bool(&self, name: &str) -> bool {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                ApiError::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax in query parameter {name}"
                ))
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// `labelSelector` and `fieldSelector`.
    pub(crate) fn selection(&self) -> Result<Selection, ApiError> {
        let labels = self.get("labelSelector").unwrap_or_default();
        let labels = Selector::parse(labels).map_err(|e| ApiError::bad_request(e.to_string()))?;
        let fields = self.get("fieldSelector").unwrap_or_default();
        let fields = FieldSelector::parse(fields).map_err(|e| ApiError::bad_request(e.to_string()))?;
        Ok(Selection { labels, fields })
    }

    /// `resourceVersion`; `None` when it is absent.
    pub(super) fn revision(&self) -> Result<Option<Revision>, ApiError> {
        let Some(text) = self.get("resourceVersion") else { return Ok(None) };
        let wrong = || {
            let why = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
            ApiError::bad_request(format!("resourceVersion: {why}"))
        };
        Revision::parse(text).map(Some).ok_or_else(wrong)
    }

    /// The parameters of a list.
    pub(super) fn list(&self) -> Result<ListOptions, ApiError> {
        let limit = self.number("limit")?.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
        super::options::list(self, false)?;
        let next = self.get("continue").map(decode_continue).transpose()?;
        let revision = self.revision()?;
        if next.is_some() && revision.is_some_and(|revision| revision > Revision::ZERO) {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        let freshness = match (self.get("resourceVersionMatch"), revision) {
            (Some("Exact"), Some(at)) => Freshness::Exact(at),
            (_, Some(Revision::ZERO)) => Freshness::Any,
            (_, Some(at)) => Freshness::AtLeast(at),
            (_, None) => Freshness::Latest,
        };
        Ok(ListOptions { select: self.selection()?, freshness, limit, next })
    }

    /// `timeoutSeconds`.
    pub(super) fn timeout(&self) -> Result<Option<u64>, ApiError> {
        Ok(self.number("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok()))
    }
}

/// Writes a continue token: URL-safe base64 of `revision:key`.
pub(super) fn encode_continue(next: &Continue) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{}:{}", next.at, next.after))
}

pub(super) fn decode_continue(token: &str) -> Result<Continue, ApiError> {
    use base64::Engine as _;
    let wrong = || ApiError::bad_request("continue key is not valid: it was not made by this server");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (at, after) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Continue { at: Revision::parse(at).ok_or_else(wrong)?, after: after.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_decode() {
        let query = Query::parse(Some("labelSelector=a%3Db&limit=5&watch=1&dryRun=All&x"));
        assert!(query.flag("watch") && query.flag("x") && query.all("dryRun") == ["All"]);
        assert_eq!(query.list().unwrap().limit, Some(5));
        assert!(Query::parse(Some("limit=a")).list().is_err());
        assert!(Query::parse(Some("resourceVersion=x")).list().is_err());
    }

    #[test]
    fn continue_tokens_read_back() {
        let next = Continue { at: Revision(7), after: "/pods/d/a".into() };
        assert_eq!(decode_continue(&encode_continue(&next)).unwrap(), next);
        assert!(decode_continue("nonsense").is_err());
    }
}
