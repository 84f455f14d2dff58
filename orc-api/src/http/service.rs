//! The service: from a request to an answer.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use orc_core::env::Clock;
use orc_core::{ApiError, Revision};
use orc_store::NodeDialer;
use tower::Service;

use super::checks::Checks;
use super::negotiate;
use super::query::Query;
use super::renditions::Renditions;
use super::request::{RequestInfo, Resolved};
use super::{Body, Extras, compress, connect, encode, extra, made, measure, older, pretty, proxy, respond};
use crate::aggregation::{self, Aggregator};
use crate::audit::{Audit, notes};
use crate::fairness::Fairness;
use crate::identity::{Identity, TokenAuthenticator};
use crate::metrics::ApiMetrics;
use crate::registry::Registry;

/// What the service is made of.
pub struct ApiConfig {
    /// Objects.
    pub registry: Arc<Registry>,
    /// Ways to prove an identity by a bearer token, tried in order.
    pub tokens: Vec<Arc<dyn TokenAuthenticator>>,
    /// The way to the nodes, for logs.
    pub nodes: Arc<dyn NodeDialer>,
    /// The time.
    pub clock: Clock,
    /// Paths beside Kubernetes'.
    pub extras: Extras,
}

/// The API over HTTP. Cheap to clone.
#[derive(Clone)]
pub struct ApiService {
    config: Arc<ApiConfig>,
    audit: Option<Arc<Audit>>,
    fairness: Option<Arc<Fairness>>,
    aggregator: Option<Arc<Aggregator>>,
    renditions: Arc<Renditions>,
    checks: Arc<Checks>,
    metrics: Arc<ApiMetrics>,
    /// The first revision that a client of a new cluster can have seen.
    born: Revision,
}

/// Where the past of a cluster begins that was made in this process: what was written before there was a server is nobody's
/// to resume from, as upstream's watch cache begins with the server. Elsewhere the floors of the resources tell.
fn born(registry: &Registry) -> Revision {
    if registry.is_fresh() { registry.store().current() } else { Revision::ZERO }
}

/// One request on its way.
pub(super) struct Call {
    pub(super) who: Identity,
    pub(super) info: Resolved,
    pub(super) query: Query,
    pub(super) manager: String,
    pub(super) request: Request<Body>,
}

impl ApiService {
    /// A service.
    pub fn new(config: ApiConfig) -> Self {
        let born = born(&config.registry);
        let metrics = ApiMetrics::new(config.clock.clone());
        Self {
            config: Arc::new(config),
            audit: None,
            fairness: None,
            aggregator: None,
            renditions: Arc::default(),
            checks: Arc::default(),
            metrics,
            born,
        }
    }

    /// The same service with an audit log.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The same service, in which requests wait for their turn.
    #[must_use]
    pub fn with_fairness(mut self, fairness: Arc<Fairness>) -> Self {
        self.fairness = Some(fairness);
        self
    }

    /// The same service, which passes requests on to the servers that APIServices name.
    #[must_use]
    pub fn with_aggregator(mut self, aggregator: Arc<Aggregator>) -> Self {
        self.aggregator = Some(aggregator);
        self
    }

    /// The same service, whose health is judged by these checks.
    #[must_use]
    pub fn with_checks(mut self, checks: Checks) -> Self {
        self.checks = Arc::new(checks);
        self
    }

    /// What this service counts of its requests.
    pub fn metrics(&self) -> &Arc<ApiMetrics> {
        &self.metrics
    }

    pub(super) fn checks(&self) -> &Checks {
        &self.checks
    }

    /// The first revision that a client of a new cluster can have seen; zero where there were servers before.
    pub(super) fn born(&self) -> Revision {
        self.born
    }

    pub(super) fn aggregator(&self) -> Option<&Arc<Aggregator>> {
        self.aggregator.as_ref()
    }

    pub(super) fn fairness(&self) -> Option<&Fairness> {
        self.fairness.as_deref()
    }

    pub(super) fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }

    pub(super) fn renditions(&self) -> &Arc<Renditions> {
        &self.renditions
    }

    pub(super) fn config(&self) -> &ApiConfig {
        &self.config
    }

    /// Whether the answer to a request lasts for as long as somebody has something to say: watches, logs, and what becomes a
    /// stream (kube-apiserver's long-running requests).
    pub(crate) fn lasts<B>(&self, request: &Request<B>) -> bool {
        let watch = Query::parse(request.uri().query()).flag("watch");
        let info = RequestInfo::resolve(request.method(), request.uri().path(), watch);
        let asks = info.attributes();
        asks.verb == "watch" || matches!(asks.subresource, "log" | "exec" | "attach" | "portforward" | "proxy")
    }

    /// Answers a request. Never fails: failures are answers.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let query = Query::parse(request.uri().query());
        let info = RequestInfo::resolve(request.method(), request.uri().path(), query.flag("watch"));
        let measured = self.measure(&request, &info, &query);
        let read = pretty::asked(request.headers(), &query);
        let mut user = String::new();
        let handled = AssertUnwindSafe(self.handle(request, query, info, &mut user)).catch_unwind().await;
        let response = match handled {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => respond::failure(&error),
            // A defect of ours must not take the client's connection, and its other requests, with it.
            Err(_) => {
                respond::failure(&ApiError::internal("the request could not be handled; the server's log says why"))
            }
        };
        let refused = response.status().is_client_error() || response.status().is_server_error();
        measured.answered(if read && refused { pretty::finished(response) } else { response }, &user)
    }

    async fn handle(
        &self,
        mut request: Request<Body>,
        query: Query,
        info: RequestInfo,
        user: &mut String,
    ) -> Result<Response<Body>, ApiError> {
        let selection = query.selection().unwrap_or_default();
        let asks = info.attributes().selecting(&selection.fields);
        let proven = match self.authenticate_parts(&mut request).await {
            Ok(asker) => self
                .impersonate(request.headers(), asker.clone(), &info)
                .map(|who| (asker.clone(), who))
                .map_err(|error| (asker, error)),
            Err(error) => Err((Identity::default(), error)),
        };
        let (asker, who) = match proven {
            Ok(both) => both,
            Err((asker, error)) => {
                return match self.trail(&request, &asker, &asker, &info, &asks) {
                    Some(trail) => Ok(trail.answered(Err(error)).await),
                    None => Err(error),
                };
            }
        };
        if measure::is_logged() {
            user.clone_from(&who.user);
        }
        let mut trail = self.trail(&request, &asker, &who, &info, &asks);
        let turn = self.turn(&who, &info, &asks, &query).await;
        if let Some(refusal) = turn.refusal() {
            return match trail {
                Some(trail) => Ok(trail.answered(Ok(refusal)).await),
                None => Ok(refusal),
            };
        }
        let allowed = self.config().registry.authorizer().decide(&who, &asks).await;
        if let Some(trail) = &mut trail {
            trail.decided(allowed, &self.config().registry.authorizer().explain(&who, &asks).1);
            trail.received(&mut request).await?;
        }
        let answer = match (allowed, &mut trail) {
            (false, _) => Err(asks.refuse(&who)),
            (true, None) => self.dispatch(who, info, query, request).await,
            (true, Some(trail)) => {
                let (answer, found) = notes::gather(self.dispatch(who, info, query, request)).await;
                trail.noted(&found);
                answer
            }
        };
        let mut response = match trail {
            Some(trail) => trail.answered(answer).await,
            None => answer.unwrap_or_else(|error| respond::failure(&error)),
        };
        turn.mark(&mut response);
        Ok(response)
    }

    /// Answers a request that is permitted.
    async fn dispatch(
        &self,
        who: Identity,
        info: RequestInfo,
        query: Query,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiError> {
        if let Some(route) = self.route(&info) {
            return self.delegate(&route, &who, request).await;
        }
        match info {
            RequestInfo::Path { path, .. } => match extra::of(&self.config().extras, &path) {
                Some(extra) => Ok(extra.clone().answer(request).await),
                None => match self.health(&path, &query, &request.method().clone()).await {
                    Some(response) => Ok(response),
                    None => self.path(&path, &request),
                },
            },
            RequestInfo::Resource(info) => {
                let manager = manager(&request, &query);
                let mut deprecated = deprecated(&info);
                deprecated.extend(self.warning(&info).await?);
                // Watches encode each event, and what a backend answers is passed on as it is.
                let streams = info.verb == "watch" || proxy::is_proxy(&info.group, &info.resource, &info.subresource);
                let encoding = negotiate::encoding(request.headers());
                // Logs may be followed, and must not wait in a compressor.
                let whole = matches!(info.verb, "get" | "list") && info.subresource.is_empty();
                let gzip = whole && compress::accepts(request.headers());
                let read = !streams && pretty::asked(request.headers(), &query);
                let (kind, older) = negotiate::asked(request.headers());
                let (verb, shown) = (info.verb, made::go_type(&info.group, &info.resource, info.verb == "list"));
                let answer = self.resource(Call { who, info, query, manager, request }).await;
                let answer = match answer {
                    Ok(response) if matches!(verb, "get" | "list" | "create" | "update" | "patch") => {
                        made::fits(kind.as_deref(), verb == "list", &shown).map(|()| response)
                    }
                    other => other,
                };
                let answer = match answer {
                    Ok(response) if older && verb == "watch" => Ok(older::watch(response)),
                    Ok(response) if older && !streams => older::finished(response).await,
                    other => other,
                };
                let mut response = match answer {
                    Ok(response) if streams => response,
                    Ok(response) => encode::finished(response, encoding).await?,
                    Err(error) => encode::finished(respond::failure(&error), encoding).await?,
                };
                respond::warn(&mut response, &deprecated);
                let response = if read { pretty::finished(response) } else { response };
                Ok(if gzip && !streams { compress::when_long(response).await } else { response })
            }
        }
    }

    /// Takes the parts apart: a body cannot be held across an await by reference.
    async fn authenticate_parts(&self, request: &mut Request<Body>) -> Result<Identity, ApiError> {
        let (headers, extensions) = (request.headers().clone(), request.extensions().clone());
        self.authenticate(&headers, &extensions).await
    }

    async fn resource(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let Some(served) = self.served(&call.info).await? else {
            let elsewhere = aggregation::refusal(self.config().registry.store(), &call.info.group, &call.info.version);
            return elsewhere.map_or_else(|| Ok(respond::no_page()), Err);
        };
        if proxy::is_proxy(&call.info.group, &call.info.resource, &call.info.subresource) {
            let admitted = self.admit_stream(&call).await?;
            let mut response = self.proxy(call, admitted.changed.as_ref()).await?;
            respond::warn(&mut response, &admitted.warnings);
            return Ok(response);
        }
        check_timeout(&call.query)?;
        if call.info.name.is_empty() && matches!(call.info.verb, "update" | "patch") {
            return Err(respond::method_not_allowed());
        }
        if call.info.resource == "pods" && call.info.group.is_empty() && call.info.subresource == "log" {
            return self.logs(call).await;
        }
        if connect::is_remote(&call.info.group, &call.info.resource, &call.info.subresource) {
            return self.connect(call).await;
        }
        match call.info.verb {
            "get" => self.get(call, &served).await,
            "list" => self.list(call, &served).await,
            "watch" => self.watch(call, &served).await,
            "create" => self.create(call, &served).await,
            "update" => self.update(call, &served).await,
            "patch" => self.patch(call, &served).await,
            "delete" => self.delete(call, &served).await,
            "deletecollection" => self.delete_collection(call, &served).await,
            other => Err(ApiError::method_not_allowed(&call.info.group, &call.info.resource, other)),
        }
    }
}

/// Warnings that go with every answer about a resource on its way out.
fn deprecated(info: &Resolved) -> Vec<String> {
    let text = match (info.group.as_str(), info.resource.as_str()) {
        ("", "endpoints") => "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ("", "componentstatuses") => "v1 ComponentStatus is deprecated in v1.19+",
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

/// `timeout` must be a Go duration; it bounds nothing here beyond the service's own deadlines.
fn check_timeout(query: &Query) -> Result<(), ApiError> {
    let Some(text) = query.get("timeout") else { return Ok(()) };
    let valid =
        text.ends_with(['s', 'm', 'h']) && text.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text == "0";
    if valid {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {text:?}"
        )))
    }
}

/// Who manages the fields that a request writes: the parameter, else the first part of the user agent.
fn manager(request: &Request<Body>, query: &Query) -> String {
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    let agent = agent.and_then(|text| text.split('/').next()).unwrap_or("unknown");
    query.get("fieldManager").unwrap_or(agent).chars().take(128).collect()
}

impl Service<Request<Body>> for ApiService {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
