//! `/healthz`, `/livez` and `/readyz`: named checks, with kube-apiserver's texts and options (KEP-1965).
//!
//! `?verbose` lists the checks, `?exclude=NAME` leaves one out, `/readyz/NAME` asks for one alone. Whoever may ask for the whole
//! may be anybody, so an answer never says why a check failed; the log does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use http::Response;
use orc_core::env::Clock;

use super::query::Query;
use super::{Body, respond};

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that can be well or not.
#[async_trait]
pub trait Check: Send + Sync + 'static {
    /// Looks. Must not change anything; may be asked by many at once, and is dropped when it takes too long.
    ///
    /// # Errors
    /// What is wrong, for the log.
    async fn check(&self) -> Result<(), String>;
}

/// Which of the three paths a check counts for; `/healthz` has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matters {
    /// A failure says that the process should be started again: `/livez`, and the two others.
    Live,
    /// A failure says that no requests should be sent here now: `/readyz` and `/healthz`.
    Ready,
}

struct Named {
    name: &'static str,
    matters: Matters,
    check: Arc<dyn Check>,
}

/// The checks of a server, in the order in which they are listed. `ping`, which says that requests are answered, comes first.
#[derive(Default)]
pub struct Checks(Vec<Named>);

impl Checks {
    /// The same with another check.
    #[must_use]
    pub fn with(mut self, name: &'static str, matters: Matters, check: Arc<dyn Check>) -> Self {
        self.0.push(Named { name, matters, check });
        self
    }

    /// Answers a path; `None` when it is none of these.
    pub(super) async fn answer(&self, path: &str, query: &Query, clock: &Clock) -> Option<Response<Body>> {
        let (kind, only) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        let counts = |named: &&Named| kind != "livez" || named.matters == Matters::Live;
        if !matches!(kind, "healthz" | "livez" | "readyz") {
            return None;
        }
        if only == "ping" {
            return Some(plain(200, "ok"));
        }
        if !only.is_empty() {
            let named = self.0.iter().filter(counts).find(|named| named.name == only)?;
            return Some(match run(named, clock).await {
                Ok(()) => plain(200, "ok"),
                Err(error) => plain(500, format!("internal server error: {error}\n")),
            });
        }
        let (excluded, asked): (Vec<&Named>, Vec<&Named>) =
            self.0.iter().filter(counts).partition(|named| query.all("exclude").contains(&named.name));
        let results = join_all(asked.iter().map(|named| run(named, clock))).await;
        let failed: Vec<&str> = asked.iter().zip(&results).filter(|(_, r)| r.is_err()).map(|(n, _)| n.name).collect();
        let mut text =
            if query.all("exclude").contains(&"ping") { "[+]ping excluded: ok\n" } else { "[+]ping ok\n" }.to_owned();
        for named in self.0.iter().filter(counts) {
            let left_out = excluded.iter().any(|out| out.name == named.name);
            text.push_str(&match (left_out, failed.contains(&named.name)) {
                (true, _) => format!("[+]{} excluded: ok\n", named.name),
                (false, false) => format!("[+]{} ok\n", named.name),
                (false, true) => format!("[-]{} failed: reason withheld\n", named.name),
            });
        }
        text.push_str(&unmatched(query, &excluded));
        Some(match (failed.is_empty(), query.has("verbose")) {
            (false, _) => plain(500, format!("{text}{kind} check failed\n")),
            (true, false) => plain(200, "ok"),
            (true, true) => plain(200, format!("{text}{kind} check passed\n")),
        })
    }
}

/// Names to exclude that no check has.
fn unmatched(query: &Query, excluded: &[&Named]) -> String {
    let mut unknown: Vec<&str> = query.all("exclude");
    unknown.retain(|name| *name != "ping" && !excluded.iter().any(|named| named.name == *name));
    unknown.sort_unstable();
    unknown.dedup();
    if unknown.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
    format!("warn: some health checks cannot be excluded: no matches for {}\n", quoted.join(", "))
}

async fn run(named: &Named, clock: &Clock) -> Result<(), String> {
    let result = tokio::select! {
        biased;
        result = named.check.check() => result,
        () = clock.sleep(PATIENCE) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
    };
    if let Err(error) = &result {
        tracing::warn!(check = named.name, error, "a health check failed");
    }
    result
}

fn plain(code: u16, text: impl Into<String>) -> Response<Body> {
    let mut response = respond::text(code, text);
    response.headers_mut().insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    struct Is(Result<(), &'static str>);

    #[async_trait]
    impl Check for Is {
        async fn check(&self) -> Result<(), String> {
            self.0.map_err(str::to_owned)
        }
    }

    struct Never;

    #[async_trait]
    impl Check for Never {
        async fn check(&self) -> Result<(), String> {
            std::future::pending().await
        }
    }

    async fn ask(checks: &Checks, path: &str) -> (u16, String) {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let clock = Clock::following_tokio("2026-01-01T00:00:00Z".parse().unwrap());
        let Some(response) = checks.answer(path, &Query::parse(query), &clock).await else {
            return (404, String::new());
        };
        let code = response.status().as_u16();
        (code, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn answers_read_as_upstream_writes_them() {
        let checks = Checks::default().with("loops", Matters::Live, Arc::new(Is(Ok(())))).with(
            "store",
            Matters::Ready,
            Arc::new(Is(Err("the disk is full"))),
        );
        assert_eq!(ask(&checks, "/livez").await, (200, "ok".into()));
        let listed = ask(&checks, "/livez?verbose").await;
        assert_eq!(listed, (200, "[+]ping ok\n[+]loops ok\nlivez check passed\n".into()));
        let failed = ask(&checks, "/readyz").await;
        let want = "[+]ping ok\n[+]loops ok\n[-]store failed: reason withheld\nreadyz check failed\n";
        assert_eq!(failed, (500, want.into()));
        let without = ask(&checks, "/readyz?verbose&exclude=store&exclude=no").await;
        let want = "[+]ping ok\n[+]loops ok\n[+]store excluded: ok\n\
                    warn: some health checks cannot be excluded: no matches for \"no\"\nreadyz check passed\n";
        assert_eq!(without, (200, want.into()));
        assert_eq!(ask(&checks, "/readyz/loops").await, (200, "ok".into()));
        assert_eq!(ask(&checks, "/readyz/store").await, (500, "internal server error: the disk is full\n".into()));
        assert_eq!(ask(&checks, "/livez/store").await.0, 404, "it does not count there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let checks = Checks::default().with("stuck", Matters::Live, Arc::new(Never));
        assert_eq!(ask(&checks, "/healthz").await.0, 500);
    }
}
