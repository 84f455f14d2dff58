//! `pods/log`: passed on to the node that runs the pod.

use http::{Request, Response};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use orc_core::ApiError;
use orc_core::validation::{FieldError, FieldPath};

use super::connect::uri;
use super::query::Query;
use super::service::{ApiService, Call};
use super::{Body, respond};

impl ApiService {
    pub(super) async fn logs(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let options = LogOptions::read(&call.query)?;
        let errors = options.validate();
        if !errors.is_empty() {
            return Err(ApiError::invalid("", "PodLogOptions", &call.info.name, &errors));
        }
        let pod = self.pod_of(&call).await?;
        let container = container(&pod, call.query.get("container"))?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        if node.is_empty() {
            // Nothing ran yet: an answer without content, as a location that is empty gives.
            return Ok(respond::no_content());
        }
        let path = format!("/containerLogs/{}/{}/{container}", call.info.namespace, call.info.name);
        let mut request = Request::new(respond::full(bytes::Bytes::new()));
        *request.uri_mut() = uri(&path, &options.to_query())?;
        self.ask_node(&node, request).await
    }
}

/// `PodLogOptions`. `insecureSkipTLSVerifyBackend` is taken and changes nothing: a node is never reached without a proof.
#[derive(Debug, Default, PartialEq)]
struct LogOptions {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

const STREAMS: [&str; 3] = ["All", "Stderr", "Stdout"];

impl LogOptions {
    fn read(query: &Query) -> Result<Self, ApiError> {
        let number = |name: &str| -> Result<Option<i64>, ApiError> {
            let wrong = |text: &str| format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            query.get(name).map(|text| text.parse().map_err(|_| ApiError::bad_request(wrong(text)))).transpose()
        };
        let time = |text: &str| {
            text.parse().map_err(|_| {
                let layout = "2006-01-02T15:04:05Z07:00";
                ApiError::bad_request(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""))
            })
        };
        // Old clients write the whole word, others what is in a URL.
        let stream = query.get("stream").map(str::to_owned);
        Ok(Self {
            follow: query.bool("follow"),
            previous: query.bool("previous"),
            timestamps: query.bool("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time: query.get("sinceTime").map(time).transpose()?,
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
            stream,
        })
    }

    /// `ValidatePodLogOptions` of `pkg/apis/core/validation`, with the choice of a stream allowed.
    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let positive = "must be greater than 0";
        if let Some(lines) = self.tail_lines.filter(|lines| *lines < 0) {
            let at = FieldPath::new("tailLines");
            errors.push(FieldError::invalid(&at, lines, "must be greater than or equal to 0"));
        }
        if let Some(bytes) = self.limit_bytes.filter(|bytes| *bytes < 1) {
            errors.push(FieldError::invalid(&FieldPath::new("limitBytes"), bytes, positive));
        }
        if self.since_seconds.is_some() && self.since_time.is_some() {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden(&FieldPath::new(""), why));
        } else if let Some(seconds) = self.since_seconds.filter(|seconds| *seconds < 1) {
            errors.push(FieldError::invalid(&FieldPath::new("sinceSeconds"), seconds, positive));
        }
        if let Some(stream) = &self.stream {
            if !STREAMS.contains(&stream.as_str()) {
                errors.push(FieldError::not_supported(&FieldPath::new("stream"), stream.as_str(), &STREAMS));
            }
            if stream != "All" && self.tail_lines.is_some() {
                let why = "`tailLines` and specific `stream` are mutually exclusive for now";
                errors.push(FieldError::forbidden(&FieldPath::new(""), why));
            }
        }
        errors
    }

    /// The kubelet's parameters.
    fn to_query(&self) -> String {
        let flags = [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)];
        let flags = flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| format!("{name}=true"));
        let numbers =
            [("sinceSeconds", self.since_seconds), ("tailLines", self.tail_lines), ("limitBytes", self.limit_bytes)];
        let numbers = numbers.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        let time = self.since_time.map(|time| format!("sinceTime={time}"));
        let stream = self.stream.as_ref().map(|stream| format!("stream={stream}"));
        flags.chain(numbers).chain(time).chain(stream).collect::<Vec<_>>().join("&")
    }
}

/// The container that is meant: the one named, or the only one.
///
/// # Errors
/// 400 when the pod has no such container, or several and none is named.
pub(super) fn container(pod: &Pod, named: Option<&str>) -> Result<String, ApiError> {
    let Some(spec) = &pod.spec else { return Err(ApiError::internal("a pod has no spec")) };
    let plain: Vec<&str> = spec.containers.iter().map(|c| c.name.as_str()).collect();
    let init: Vec<&str> = spec.init_containers.iter().flatten().map(|c| c.name.as_str()).collect();
    let ephemeral: Vec<&str> = spec.ephemeral_containers.iter().flatten().map(|c| c.name.as_str()).collect();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let refuse = |why: String| Err(ApiError::bad_request(why));
    match named {
        Some(named) if [&plain, &init, &ephemeral].into_iter().any(|list| list.contains(&named)) => {
            Ok(named.to_owned())
        }
        Some(named) => refuse(format!("container {named} is not valid for pod {name}")),
        None => match plain.as_slice() {
            [only] => Ok((*only).to_owned()),
            many => {
                let mut why =
                    format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "));
                for (what, list) in [("init containers", init), ("ephemeral containers", ephemeral)] {
                    if !list.is_empty() {
                        why.push_str(&format!(" or one of the {what}: [{}]", list.join(" ")));
                    }
                }
                refuse(why)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<LogOptions, ApiError> {
        LogOptions::read(&Query::parse(Some(query)))
    }

    #[test]
    fn options_pass_through() {
        let query = "follow=true&timestamps=false&tailLines=5&sinceTime=2026-01-01T00:00:00Z&stream=All";
        let options = read(query).unwrap();
        assert!(options.validate().is_empty());
        assert_eq!(options.to_query(), "follow=true&tailLines=5&sinceTime=2026-01-01T00:00:00Z&stream=All");
        assert_eq!(read("tailLines=x").unwrap_err().code(), 400);
        assert_eq!(read("sinceTime=yesterday").unwrap_err().code(), 400);
    }

    #[test]
    fn options_are_validated_in_kubernetes_words() {
        let said = |query: &str| {
            let errors = read(query).unwrap().validate();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said("tailLines=-1"), "tailLines: Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(said("limitBytes=0"), "limitBytes: Invalid value: 0: must be greater than 0");
        assert_eq!(said("sinceSeconds=0"), "sinceSeconds: Invalid value: 0: must be greater than 0");
        assert!(said("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z").contains("at most one of `sinceTime`"));
        assert_eq!(
            said("stream=x"),
            "stream: Unsupported value: \"x\": supported values: \"All\", \"Stderr\", \"Stdout\""
        );
        assert!(said("stream=Stdout&tailLines=1").contains("mutually exclusive"));
        assert_eq!(said("stream=Stdout"), "");
    }
}
