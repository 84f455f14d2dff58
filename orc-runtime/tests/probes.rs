//! Probes against real servers in pods: gRPC and HTTPS, for startup, readiness and liveness.
//!
//! The server is this test program itself, which pods can run as any program of the host.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use cluster::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::{Event, Pod};
use orc_store::client::{DeleteOptions, ListOptions};
use orc_store::{Api, Env};
use serde_json::{Value, json};
use support::*;
use tokio::net::TcpListener;

/// Makes this program the server of the tests' pods.
const SERVE: &str = "ORC_TEST_SERVE";

fn before_main() {
    if std::env::var_os(SERVE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::join!(serve_health(), serve_https()) });
        std::process::exit(1);
    }
}

/// `grpc.health.v1.Health` that knows one sick service.
async fn serve_health() {
    let listener = TcpListener::bind("0.0.0.0:9000").await.unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = service_fn(|request: Request<Incoming>| async move {
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            let status = if asked.ends_with(b"sick") { 2 } else { 1 };
            let body = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, status])).with_trailers(async {
                Some(Ok::<_, Infallible>(
                    [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect(),
                ))
            });
            Ok::<_, Infallible>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
        });
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), answer).await });
    }
}

/// HTTPS with a certificate that nobody signed.
async fn serve_https() {
    let made = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:9443").await.unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = tls.accept(stream).await else { continue };
        let answer = service_fn(|request: Request<Incoming>| async move {
            let good = request.uri().path() == "/healthz" && request.headers()["x-probe"] == "yes";
            let code = if good { 200 } else { 500 };
            Ok::<_, Infallible>(Response::builder().status(code).body(Full::new(Bytes::new())).unwrap())
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), answer).await });
    }
}

fn server(probes: Value) -> Value {
    let program = std::env::current_exe().unwrap();
    let mut container = json!({"name": "c", "image": "host", "command": [program], "env": [{"name": SERVE, "value": "1"}],
        "ports": [{"name": "secure", "containerPort": 9443}]});
    container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
    json!({"terminationGracePeriodSeconds": 30, "containers": [container]})
}

fn restarts(pod: &Pod) -> i32 {
    let mut all = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    all.next().map_or(0, |status| status.restart_count)
}

async fn told(env: &Env, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
    let all = events.list(&ListOptions::default()).await.unwrap().items;
    let own = all.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(pod));
    own.map(|event| format!("{} {}", event.reason.clone().unwrap(), event.message.clone().unwrap())).collect()
}

async fn until_told(env: &Env, pod: &str, wanted: &str) {
    eventually(wanted, || async {
        let told = told(env, pod).await;
        told.iter().any(|one| one.starts_with(wanted)).then_some(())
    })
    .await;
}

#[test]
fn grpc_and_https_probes_ask_the_pods_servers() {
    on_a_node(|node| async move {
        let env = env().await;
        let running = agent(&node, &env).await;
        let https = json!({"path": "/healthz", "port": "secure", "scheme": "HTTPS",
            "httpHeaders": [{"name": "X-Probe", "value": "yes"}]});
        let well = server(json!({
            "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 30},
            "readinessProbe": {"httpGet": https, "periodSeconds": 1, "timeoutSeconds": 5},
            "livenessProbe": {"grpc": {"port": 9000, "service": "web"}, "periodSeconds": 1, "timeoutSeconds": 5},
        }));
        let pods = create(&env, "well", well).await;
        // The probe's own grace counts: the pod's half a minute would be longer than this test waits.
        let sick = server(json!({"livenessProbe": {"grpc": {"port": 9000, "service": "sick"}, "periodSeconds": 1,
            "timeoutSeconds": 5, "failureThreshold": 1, "terminationGracePeriodSeconds": 1}}));
        create(&env, "sick", sick).await;
        let wrong =
            json!({"path": "/", "port": 9443, "scheme": "HTTPS", "httpHeaders": [{"name": "X-Probe", "value": "no"}]});
        create(
            &env,
            "wrong",
            server(json!({"readinessProbe": {"httpGet": wrong, "periodSeconds": 1, "timeoutSeconds": 5}})),
        )
        .await;
        let well = until(&pods, "well", is_ready).await;
        until(&pods, "sick", |pod| restarts(pod) > 0).await;
        until_told(&env, "sick", "Unhealthy Liveness probe failed: service unhealthy (responded with \"NOT_SERVING\")")
            .await;
        until_told(&env, "sick", "Killing Container c failed liveness probe, will be restarted").await;
        until_told(&env, "wrong", "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 500").await;
        assert!(!is_ready(&pods.get("wrong").await.unwrap()));
        assert_eq!(restarts(&well), 0);
        let of = |pod: &str, kind: &str, result: &str| {
            let uid = format!("pod=\"{pod}\",pod_uid=");
            let rest = format!("probe_type=\"{kind}\",result=\"{result}\"}} ");
            move |line: &&str| line.starts_with("prober_probe_total") && line.contains(&uid) && line.contains(&rest)
        };
        let text = logs(&running.service, "/metrics/probes").await;
        assert!(text.lines().any(|line| of("well", "Startup", "successful")(&line)), "{text}");
        assert!(text.lines().any(|line| of("wrong", "Readiness", "failed")(&line)), "{text}");
        assert!(!text.lines().any(|line| of("wrong", "Readiness", "successful")(&line)), "{text}");
        let took = "prober_probe_duration_seconds_count{container=\"c\",namespace=\"default\",pod=\"well\",probe_type=\"Readiness\"}";
        assert!(text.contains(took) && text.contains("le=\"+Inf\""), "{text}");
        // A pod's numbers go with it.
        let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
        pods.delete("wrong", now).await.unwrap();
        eventually("its numbers are gone", || async {
            let text = logs(&running.service, "/metrics/probes").await;
            (!text.contains("pod=\"wrong\"")).then_some(())
        })
        .await;
        running.stop.cancel();
        running.task.await.unwrap();
    });
}
