//! A `kube::Client` over the service itself.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::Service;

use crate::http::Body;
use crate::{ApiService, Identity};

/// A client whose requests are calls.
pub(super) fn over(service: ApiService, who: Identity) -> kube::Client {
    kube::Client::new(InProcess { service, who }, "default")
}

/// Puts the caller's identity into each request.
#[derive(Clone)]
struct InProcess {
    service: ApiService,
    who: Identity,
}

impl Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        request.extensions_mut().insert(self.who.clone());
        let service = self.service.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
