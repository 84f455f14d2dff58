//! Which form of an answer a client wants.

use http::HeaderMap;
use http::header::ACCEPT;
use orc_core::{ApiError, Reason};

/// The form of an object in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// The object.
    Object,
    /// A `meta.k8s.io/v1` Table.
    Table,
    /// Only metadata.
    Metadata,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// What the server can make, as its refusal lists it.
const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Picks the first accepted form, in the order of the header, that the server can make.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    picked(headers).map(|(form, _)| form).ok_or_else(|| refuse(headers, OFFERED))
}

/// As [`form`], for a watch, which has media types of its own.
pub(super) fn watch_form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let offered = format!("{OFFERED}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    picked(headers).map(|(form, _)| form).ok_or_else(|| refuse(headers, &offered))
}

/// 406. A known media type in an unknown form is told differently from an unknown media type.
fn refuse(headers: &HeaderMap, offered: &str) -> ApiError {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = accept.split(',').any(|clause| clause.split(';').next().is_some_and(|bare| offer(bare).is_some()));
    if known {
        return ApiError::new(Reason::NotAcceptable, format!("only the following media types are accepted: {OFFERED}"));
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {offered}");
    ApiError::new(Reason::NotAcceptable, message).with_details(Default::default())
}

/// How the picked form is to be written; JSON where nothing fits.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    picked(headers).map_or(Encoding::Json, |(_, encoding)| encoding)
}

fn picked(headers: &HeaderMap) -> Option<(Form, Encoding)> {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Some((Form::Object, Encoding::Json));
    };
    accept.split(',').find_map(offer)
}

/// The kind that the picked form is asked for by, and whether in the older version of `meta.k8s.io`.
pub(super) fn asked(headers: &HeaderMap) -> (Option<String>, bool) {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(clause) = accept.split(',').find(|clause| offer(clause).is_some()) else { return (None, false) };
    let value = |name: &str| {
        let parts = clause.split(';').filter_map(|part| part.trim().split_once('='));
        parts.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next_back()
    };
    let kind = value("as");
    let older = kind.is_some() && value("v").is_some_and(|version| version == "v1beta1");
    (kind, older)
}

fn offer(clause: &str) -> Option<(Form, Encoding)> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "*/*" | "application/json" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        "application/vnd.kubernetes.protobuf" => Encoding::Protobuf,
        _ => return None,
    };
    let (mut form, mut meta_v1) = (Form::Object, false);
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) => form = Form::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => form = Form::Metadata,
            Some(("as", _)) => return None,
            Some(("g", group)) => meta_v1 = group == "meta.k8s.io",
            Some(("v", version)) if !matches!(version, "v1" | "v1beta1") => return None,
            _ => {}
        }
    }
    (form == Form::Object || meta_v1).then_some((form, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_made_wins() {
        let pick = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            form(&headers).ok()
        };
        assert_eq!(pick("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Some(Form::Table));
        assert_eq!(pick("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Object));
        assert_eq!(pick("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), Some(Form::Metadata));
        assert_eq!(pick("application/*"), None);
        assert_eq!(pick("text/html"), None);
        assert_eq!(form(&HeaderMap::new()).ok(), Some(Form::Object));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "application/vnd.kubernetes.protobuf,application/json".parse().unwrap());
        assert_eq!(encoding(&headers), Encoding::Protobuf);
    }
}
