//! What the API server measures, under kube-apiserver's names (`component-base/metrics` of Kubernetes 1.36).
//!
//! [`ApiMetrics`] counts requests, [`MeteredBackend`] times what the store's backend does, and [`of_store`] reads sizes off the
//! store when somebody asks. [`page`] answers `/metrics` with everything that a list of sources shows.

mod backend;
mod labels;
mod requests;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, Response, header};
use orc_core::metrics::{Collect, Kind, Sources, Text};
use orc_store::Store;

use crate::http::health::{KUBERNETES_MINOR, git_version};
use crate::http::{Body, Extra, plain};

pub use backend::MeteredBackend;
pub(crate) use labels::Labels;
pub use requests::ApiMetrics;
pub(crate) use requests::Measured;

/// Where the page is. Who may read it is whoever has `get` on this non-resource URL.
pub const PATH: &str = "/metrics";

/// The page of what these sources show, in Prometheus' text format.
pub fn page(sources: Sources) -> Arc<dyn Extra> {
    Arc::new(Page(sources))
}

struct Page(Sources);

#[async_trait]
impl Extra for Page {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(405, "metrics are read by GET\n");
        }
        let mut response = plain(200, self.0.read());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(Text::MEDIA_TYPE));
        response
    }
}

/// How many objects of each resource a store holds, and at which revision it is.
pub fn of_store(store: Arc<Store>) -> Arc<dyn Collect> {
    Arc::new(move |text: &mut Text| {
        let mut counts: Vec<_> = store.resources().into_iter().map(|id| (store.count(&id) as f64, id)).collect();
        counts.sort_by(|(_, a), (_, b)| a.cmp(b));
        text.family("apiserver_storage_objects", Kind::Gauge, "Objects that are stored, by resource.");
        counts.iter().for_each(|(count, id)| text.sample(&[("resource", id.as_ref())], *count));
        text.family("apiserver_resource_objects", Kind::Gauge, "Objects that are stored, by group and resource.");
        for (count, id) in &counts {
            text.sample(&[("group", id.group()), ("resource", id.plural())], *count);
        }
        let revision = store.current().0 as f64;
        text.one("orc_store_revision", Kind::Gauge, "The latest revision that the server shows.", revision);
    })
}

/// Which version the server is: what dashboards join others' series with.
pub fn of_build() -> Arc<dyn Collect> {
    Arc::new(|text: &mut Text| {
        text.family("kubernetes_build_info", Kind::Gauge, "The version of the server; always 1.");
        text.sample(&[("major", "1"), ("minor", KUBERNETES_MINOR), ("git_version", &git_version())], 1.0);
    })
}
