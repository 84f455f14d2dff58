//! Where requests meet priority and fairness.

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response};
use orc_core::ResourceId;

use super::query::Query;
use super::request::RequestInfo;
use super::service::ApiService;
use super::{Body, respond};
use crate::fairness::Admission;
use crate::fairness::plan::Priority;
use crate::identity::Identity;
use crate::rbac::Attributes;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Objects of a list that make a seat (upstream's `ObjectsPerSeat`).
const OBJECTS_PER_SEAT: usize = 100;

/// A request's turn; its seats are given back when this is dropped.
pub(super) struct Turn(Option<Admission>);

impl ApiService {
    /// Waits until a request may run.
    pub(super) async fn turn(&self, who: &Identity, info: &RequestInfo, asks: &Attributes<'_>, query: &Query) -> Turn {
        let Some(fairness) = self.fairness() else { return Turn(None) };
        // Streams last as long as their clients like; only the start of a watch is work.
        if matches!(asks.subresource, "exec" | "attach" | "portforward" | "proxy" | "log") {
            return Turn(None);
        }
        Turn(fairness.admit(who, asks, |level| self.width(info, asks, query, level)).await)
    }

    /// The seats of a request: those of a list grow with the objects that it reads.
    fn width(&self, info: &RequestInfo, asks: &Attributes<'_>, query: &Query, level: &Priority) -> u32 {
        let initial = asks.verb == "watch" && query.flag("sendInitialEvents");
        let RequestInfo::Resource(info) = info else { return 1 };
        if !asks.name.is_empty() || !(asks.verb == "list" || initial) {
            return 1;
        }
        let registry = &self.config().registry;
        let catalogue = registry.catalogue();
        // What another server serves costs little here.
        let Some(known) = catalogue.resource(&info.group, &info.resource) else { return 1 };
        let id = known.id.clone().unwrap_or_else(|| ResourceId::new(&info.group, &info.resource));
        let seats = registry.store().count(&id).div_ceil(OBJECTS_PER_SEAT);
        u32::try_from(seats).unwrap_or(u32::MAX).clamp(1, level.widest)
    }
}

impl Turn {
    /// The answer to a request that may not run.
    pub(super) fn refusal(&self) -> Option<Response<Body>> {
        self.0.as_ref()?.outcome.as_ref().err()?;
        let mut response = respond::text(429, "Too many requests, please try again later.\n");
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        self.mark(&mut response);
        Some(response)
    }

    /// Says in an answer how its request was judged. By uids, as the names may tell more than clients should know.
    pub(super) fn mark(&self, response: &mut Response<Body>) {
        if let Some(Admission { flow_schema, priority_level, .. }) = &self.0 {
            response.headers_mut().insert(SCHEMA_UID, flow_schema.clone());
            response.headers_mut().insert(LEVEL_UID, priority_level.clone());
        }
    }
}
