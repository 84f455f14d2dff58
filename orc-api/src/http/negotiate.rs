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

/// What the server can make, as its refusal lists it.
const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Picks the first accepted form, in the order of the header, that the server can make.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return Ok(Form::Object) };
    accept.split(',').find_map(offer).ok_or_else(|| {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {OFFERED}");
        ApiError::new(Reason::NotAcceptable, message).with_details(Default::default())
    })
}

fn offer(clause: &str) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    if !matches!(parts.next()?, "*/*" | "application/json") {
        return None;
    }
    let (mut form, mut meta_v1) = (Form::Object, false);
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) => form = Form::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => form = Form::Metadata,
            Some(("as", _)) => return None,
            Some(("g", group)) => meta_v1 = group == "meta.k8s.io",
            Some(("v", version)) if version != "v1" => return None,
            _ => {}
        }
    }
    (form == Form::Object || meta_v1).then_some(form)
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
    }
}
