//! Priority and fairness in a whole API service: who is marked how, who waits for whom, and what it costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use orc_api::fairness::{Fairness, FairnessOptions};
use orc_api::http::Body;
use orc_api::testing::ApiServer;
use orc_api::{ApiService, Identity};
use orc_core::env::System;
use serde_json::{Value, json};

const LEVEL: &str = "x-kubernetes-pf-prioritylevel-uid";
const SCHEMA: &str = "x-kubernetes-pf-flowschema-uid";

fn request(who: &Identity, method: &str, path: &str, body: Value) -> Request<Body> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Request::builder().method(method).uri(path).header("content-type", kind).extension(who.clone()).body(body).unwrap()
}

async fn ask(service: &ApiService, who: &Identity, method: &str, path: &str, body: Value) -> Response<Body> {
    service.answer(request(who, method, path, body)).await
}

async fn get(service: &ApiService, path: &str) -> Value {
    let response = ask(service, &Identity::admin(), "GET", path, Value::Null).await;
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

struct World {
    server: ApiServer,
    service: ApiService,
    fairness: Arc<Fairness>,
}

async fn world(seats: u32) -> World {
    let server = ApiServer::start().await.unwrap();
    // Nothing is borrowed, so that a level has the seats that its share says, whatever the others do.
    let path = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/global-default";
    let patch = json!({"spec": {"limited": {"borrowingLimitPercent": 0}}});
    assert_eq!(ask(server.service(), &Identity::admin(), "PATCH", path, patch).await.status(), 200);
    let options = FairnessOptions { seats, patience: Duration::from_secs(60) };
    let fairness = Fairness::start(server.registry(), options, &System::real()).await.unwrap();
    let service = server.service().clone().with_fairness(fairness.clone());
    World { server, service, fairness }
}

impl World {
    /// Lets some users read config maps.
    async fn permit(&self, users: &[&str]) {
        let api = "rbac.authorization.k8s.io";
        let subjects: Vec<Value> =
            users.iter().map(|user| json!({"kind": "User", "name": user, "apiGroup": api})).collect();
        let binding = json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": subjects});
        let path = format!("/apis/{api}/v1/clusterrolebindings");
        assert_eq!(ask(&self.service, &Identity::admin(), "POST", &path, binding).await.status(), 201);
        // The index of roles follows the store by a task.
        loop {
            let who = Identity::user(users[0], &[]);
            if ask(self.server.service(), &who, "GET", "/api/v1/nodes", Value::Null).await.status() == 200 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn requests_are_marked_with_their_schema_and_level() {
    let world = world(600).await;
    let base = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let uids = |list: &Value| -> BTreeMap<String, String> {
        let items = list["items"].as_array().unwrap().iter();
        let text = |object: &Value, name: &str| object["metadata"][name].as_str().unwrap().to_owned();
        items.map(|object| (text(object, "uid"), text(object, "name"))).collect()
    };
    let (schemas, levels) = (
        get(&world.service, &format!("{base}/flowschemas")).await,
        get(&world.service, &format!("{base}/prioritylevelconfigurations")).await,
    );
    let (schemas, levels) = (uids(&schemas), uids(&levels));
    assert_eq!((schemas.len(), levels.len()), (11, 8));
    let account = "system:serviceaccount:kube-system:x";
    let asked = [
        (Identity::admin(), "/api/v1/pods", "exempt", "exempt"),
        (Identity::anonymous(), "/livez", "probes", "exempt"),
        (Identity::user("alice", &[]), "/api/v1/pods", "global-default", "global-default"),
        (Identity::user("alice", &[]), "/no/such/path", "global-default", "global-default"),
        (Identity::user("system:node:n", &["system:nodes"]), "/api/v1/nodes/n", "system-node-high", "node-high"),
        (Identity::user("system:node:n", &["system:nodes"]), "/api/v1/pods", "system-nodes", "system"),
        (Identity::user("system:kube-scheduler", &[]), "/api/v1/pods", "kube-scheduler", "workload-high"),
        (
            Identity::user(account, &["system:serviceaccounts"]),
            "/api/v1/pods",
            "kube-system-service-accounts",
            "workload-high",
        ),
        (
            Identity::user("system:serviceaccount:a:x", &["system:serviceaccounts"]),
            "/api/v1/pods",
            "service-accounts",
            "workload-low",
        ),
    ];
    for (who, path, schema, level) in asked {
        let response = ask(&world.service, &who, "GET", path, Value::Null).await;
        let uid = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (schemas[&uid(SCHEMA)].as_str(), levels[&uid(LEVEL)].as_str()),
            (schema, level),
            "{path} as {}",
            who.user
        );
    }
}

#[tokio::test]
async fn shipped_objects_come_back_and_status_is_told() {
    let world = world(600).await;
    let (admin, base) = (Identity::admin(), "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas");
    let patch = json!({"spec": {"matchingPrecedence": 77}});
    ask(&world.service, &admin, "PATCH", &format!("{base}/probes"), patch.clone()).await;
    let own =
        json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": patch["spec"]});
    ask(&world.service, &admin, "PATCH", &format!("{base}/service-accounts"), own).await;
    let mine = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "mine"},
        "spec": {"priorityLevelConfiguration": {"name": "no-such"}, "matchingPrecedence": 5}});
    assert_eq!(ask(&world.service, &admin, "POST", base, mine).await.status(), 201);
    orc_api::fairness::bootstrap::ensure(&world.server.registry().client(admin, "orc")).await.unwrap();
    assert_eq!(get(&world.service, &format!("{base}/probes")).await["spec"]["matchingPrecedence"], 2);
    assert_eq!(get(&world.service, &format!("{base}/service-accounts")).await["spec"]["matchingPrecedence"], 77);
    for (name, status, reason) in [("mine", "True", "NotFound"), ("probes", "False", "Found")] {
        let condition = loop {
            let told = get(&world.service, &format!("{base}/{name}")).await;
            match told.pointer("/status/conditions/0") {
                Some(condition) => break condition.clone(),
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!((&condition["status"], &condition["reason"]), (&json!(status), &json!(reason)), "{name}");
    }
}

/// A level's seats are all held; 500 lists of one user pile up; another user's gets come through as soon as seats go round.
#[tokio::test]
async fn a_noisy_client_does_not_hold_up_another() {
    let world = world(60).await;
    world.permit(&["noisy", "quiet"]).await;
    let (noisy, quiet) = (Identity::user("noisy", &[]), Identity::user("quiet", &[]));
    let plan = world.fairness.plan();
    let level = plan.levels["global-default"].level.clone().unwrap();
    // Stand for slow lists of the noisy client: they keep their seats until the test gives them back.
    let flow = orc_api::fairness::deal::hash(["global-default", "noisy"]);
    let mut slow: Vec<_> = std::iter::from_fn(|| level.try_admit(flow, 1)).collect();
    assert!(!slow.is_empty());
    let (told, mut order) = tokio::sync::mpsc::channel(1000);
    let start = |who: &Identity, path: &'static str, name: &'static str| {
        let (service, request, told) = (world.service.clone(), request(who, "GET", path, Value::Null), told.clone());
        tokio::spawn(async move {
            let status = service.answer(request).await.status().as_u16();
            told.send((name, status)).await.unwrap();
        })
    };
    let noise: Vec<_> = (0..500).map(|_| start(&noisy, "/api/v1/configmaps", "noisy")).collect();
    let mut refused = 0;
    // As many as fit wait in the flow's six queues of fifty; the rest are refused at once.
    while refused < 500 - 6 * 50 {
        assert_eq!(order.recv().await.unwrap(), ("noisy", 429));
        refused += 1;
    }
    let gets: Vec<_> = (0..5).map(|_| start(&quiet, "/api/v1/namespaces/default/configmaps/none", "quiet")).collect();
    while level.demand().1 < 305 {
        tokio::task::yield_now().await;
    }
    assert!(order.recv().now_or_never().is_none(), "nothing runs while all seats are held");
    slow.clear();
    let mut ended = Vec::new();
    while ended.len() < 305 {
        ended.push(order.recv().await.unwrap());
    }
    let served = ended.iter().position(|e| e.0 == "quiet").unwrap();
    let last = ended.iter().rposition(|e| e.0 == "quiet").unwrap();
    assert_eq!(ended.iter().filter(|e| **e == ("quiet", 404)).count(), 5);
    assert_eq!(ended.iter().filter(|e| **e == ("noisy", 200)).count(), 300);
    // The hands of the two may share queues, so a get may stand behind some of the noise, but never behind all of it.
    assert!(served < 60 && last < 120, "the gets came at {served} to {last} of 305");
    for task in noise.into_iter().chain(gets) {
        task.await.unwrap();
    }
    assert_eq!(level.demand(), (0, 0));
}

#[tokio::test]
async fn a_refusal_reads_as_kube_apiservers() {
    let world = world(10).await;
    world.permit(&["noisy"]).await;
    let level = world.fairness.plan().levels["catch-all"].level.clone().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| level.try_admit(1, 1)).collect();
    assert!(!held.is_empty());
    // In none of the groups that schemas name, and so the last one's.
    let nobody = Identity { user: "noisy".into(), ..Identity::default() };
    let response = ask(&world.service, &nobody, "GET", "/api/v1/nodes", Value::Null).await;
    assert_eq!(response.status(), 429);
    assert_eq!(
        (&response.headers()["retry-after"], &response.headers()["content-type"]),
        (&"1".parse().unwrap(), &"text/plain; charset=utf-8".parse().unwrap())
    );
    assert!(!response.headers()[LEVEL].is_empty());
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "Too many requests, please try again later.\n");
    drop(held);
    assert_eq!(ask(&world.service, &nobody, "GET", "/api/v1/nodes", Value::Null).await.status(), 200);
}

#[tokio::test]
async fn a_watch_holds_no_seat_once_it_runs_and_one_that_went_away_holds_none() {
    let world = world(10).await;
    world.permit(&["noisy"]).await;
    let who = Identity::user("noisy", &[]);
    let level = world.fairness.plan().levels["global-default"].level.clone().unwrap();
    let watch = ask(&world.service, &who, "GET", "/api/v1/configmaps?watch=1", Value::Null).await;
    assert_eq!((watch.status().as_u16(), level.demand()), (200, (0, 0)));
    let held: Vec<_> = std::iter::from_fn(|| level.try_admit(1, 1)).collect();
    {
        let mut gone = Box::pin(ask(&world.service, &who, "GET", "/api/v1/configmaps", Value::Null));
        while level.demand().1 == 0 {
            assert!(gone.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(level.demand(), (held.len() as u64, 0));
}

/// `cargo test --release -p orc-api --features testing --test fairness cost -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn cost() {
    let world = world(600).await;
    let who = Identity::user("alice", &[]);
    let asks =
        orc_api::rbac::Attributes { verb: "get", resource: "pods", namespace: "d", name: "a", ..Default::default() };
    let rounds = 200_000_u32;
    let now = std::time::Instant::now;
    let start = now();
    for _ in 0..rounds {
        drop(world.fairness.admit(&who, &asks, |_| 1).await);
    }
    println!("{:?} a request", start.elapsed() / rounds);
}
