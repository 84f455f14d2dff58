//! What the server answers to a client that asks for protobuf, read by the peer's types; and what such a client writes.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use k8s_pb::api::{apps::v1 as apps, coordination::v1 as coordination, core::v1 as core};
use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_pb::apimachinery::pkg::runtime::{TypeMeta, Unknown};
use orc_api::testing::ApiServer;
use orc_api::{ApiService, Identity};
use orc_store::dialer::Body;
use prost::Message;
use serde_json::{Value, json};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn body(bytes: Vec<u8>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn request(method: Method, path: &str, media: &str, bytes: Vec<u8>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, media).header(ACCEPT, PROTOBUF);
    request.extension(Identity::admin()).body(body(bytes)).unwrap()
}

/// Code, media type and body of an answer.
async fn ask(service: &ApiService, request: Request<Body>) -> (u16, String, Vec<u8>) {
    let answer = service.answer(request).await;
    let media = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let code = answer.status().as_u16();
    (code, media, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Opens an envelope: which kind it says it holds, and that.
fn open<M: Message + Default>(bytes: &[u8]) -> (String, String, M) {
    let inner = bytes.strip_prefix(b"k8s\0").expect("the magic number");
    let unknown = Unknown::decode(inner).unwrap();
    let TypeMeta { api_version, kind } = unknown.type_meta.unwrap();
    (api_version.unwrap(), kind.unwrap(), M::decode(unknown.raw.unwrap().as_slice()).unwrap())
}

/// Wraps a message as client-go does.
fn seal(api_version: &str, kind: &str, message: &impl Message) -> Vec<u8> {
    let type_meta = Some(TypeMeta { api_version: Some(api_version.into()), kind: Some(kind.into()) });
    let unknown = Unknown { type_meta, raw: Some(message.encode_to_vec()), ..Default::default() };
    [b"k8s\0", unknown.encode_to_vec().as_slice()].concat()
}

async fn make(service: &ApiService, path: &str, object: Value) {
    let answer = ask(service, request(Method::POST, path, "application/json", object.to_string().into_bytes())).await;
    assert_eq!(answer.0, 201, "{}", String::from_utf8_lossy(&answer.2));
}

async fn get<M: Message + Default>(service: &ApiService, path: &str, version: &str, kind: &str) -> M {
    let (code, media, bytes) = ask(service, request(Method::GET, path, "application/json", Vec::new())).await;
    assert_eq!((code, media.as_str()), (200, PROTOBUF));
    let (told_version, told_kind, message) = open(&bytes);
    assert_eq!((told_version.as_str(), told_kind.as_str()), (version, kind));
    message
}

fn named(meta: &Option<meta::ObjectMeta>) -> (&str, bool, bool) {
    let meta = meta.as_ref().unwrap();
    let dated = meta.creation_timestamp.as_ref().is_some_and(|time| time.seconds() > 1_600_000_000);
    let versioned = meta.resource_version().parse::<u64>().is_ok_and(|revision| revision > 0);
    (meta.name(), dated && !meta.uid().is_empty(), versioned)
}

#[tokio::test]
async fn objects_and_lists_are_what_the_peer_expects() {
    let server = ApiServer::start().await.unwrap();
    let service = server.service();
    let space = "/api/v1/namespaces/default";
    let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": "web", "path": "/x"}}, "resources": {"limits": {"cpu": "1500m"}}});
    make(
        service,
        &format!("{space}/pods"),
        json!({"metadata": {"name": "a", "labels": {"l": ""}},
        "spec": {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}}),
    )
    .await;
    let pod: core::Pod = get(service, &format!("{space}/pods/a"), "v1", "Pod").await;
    assert_eq!(named(&pod.metadata), ("a", true, true));
    assert_eq!(pod.metadata.as_ref().unwrap().labels["l"], "");
    let spec = pod.spec.as_ref().unwrap();
    let first = &spec.containers[0];
    assert_eq!((first.name(), first.ports[0].container_port(), first.ports[0].protocol()), ("c", 80, "TCP"));
    assert_eq!(first.resources.as_ref().unwrap().limits["cpu"].string(), "1500m");
    let port = first.liveness_probe.as_ref().unwrap().handler.as_ref().unwrap().http_get.as_ref().unwrap();
    assert_eq!(
        (port.path(), port.port.as_ref().unwrap().r#type(), port.port.as_ref().unwrap().str_val()),
        ("/x", 1, "web")
    );
    assert!(spec.volumes[0].volume_source.as_ref().unwrap().empty_dir.is_some());
    assert_eq!((spec.restart_policy(), spec.termination_grace_period_seconds()), ("Always", 30));
    assert_eq!(pod.status.as_ref().unwrap().phase(), "Pending");

    make(
        service,
        &format!("{space}/services"),
        json!({"metadata": {"name": "s"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": 8080}]}}),
    )
    .await;
    let made: core::Service = get(service, &format!("{space}/services/s"), "v1", "Service").await;
    let spec = made.spec.as_ref().unwrap();
    assert_eq!((spec.ports[0].port(), spec.ports[0].target_port.as_ref().unwrap().int_val()), (80, 8080));
    assert!(spec.cluster_ip().starts_with("10."), "{}", spec.cluster_ip());

    make(
        service,
        "/api/v1/nodes",
        json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
    )
    .await;
    let node: core::Node = get(service, "/api/v1/nodes/n", "v1", "Node").await;
    assert_eq!(
        (named(&node.metadata), node.spec.as_ref().unwrap().taints[0].effect()),
        (("n", true, true), "NoExecute")
    );

    make(service, &format!("{space}/events"), json!({"metadata": {"name": "e"}, "reason": "R", "count": 3,
        "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"}, "eventTime": "2024-01-01T00:00:00.000007Z",
        "reportingComponent": "t", "reportingInstance": "t", "action": "x", "type": "Normal"})).await;
    let event: core::Event = get(service, &format!("{space}/events/e"), "v1", "Event").await;
    assert_eq!((event.reason(), event.count(), event.involved_object.as_ref().unwrap().name()), ("R", 3, "a"));
    assert_eq!(event.event_time.as_ref().map(|time| (time.seconds(), time.nanos())), Some((1_704_067_200, 7000)));

    make(
        service,
        &format!("{space}/configmaps"),
        json!({"metadata": {"name": "m"}, "data": {"k": "ü"}, "binaryData": {"b": "AP8="}}),
    )
    .await;
    let map: core::ConfigMap = get(service, &format!("{space}/configmaps/m"), "v1", "ConfigMap").await;
    assert_eq!((map.data["k"].as_str(), map.binary_data["b"].as_slice()), ("ü", &[0, 255][..]));

    make(service, &format!("{space}/secrets"), json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}})).await;
    let secret: core::Secret = get(service, &format!("{space}/secrets/s"), "v1", "Secret").await;
    assert_eq!((secret.data["k"].as_slice(), secret.r#type()), (&b"v"[..], "Opaque"));

    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    make(
        service,
        "/apis/apps/v1/namespaces/default/deployments",
        json!({"metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}}),
    )
    .await;
    let path = "/apis/apps/v1/namespaces/default/deployments/d";
    let deployment: apps::Deployment = get(service, path, "apps/v1", "Deployment").await;
    let spec = deployment.spec.as_ref().unwrap();
    assert_eq!(
        (spec.replicas, spec.selector.as_ref().unwrap().match_labels["a"].as_str()),
        (Some(0), "b"),
        "zero is said"
    );
    let surge = spec.strategy.as_ref().unwrap().rolling_update.as_ref().unwrap().max_surge.as_ref().unwrap();
    assert_eq!(surge.str_val(), "25%");

    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    make(service, leases, json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "h", "renewTime": "2024-01-01T00:00:00.5Z".replace(".5Z", ".500000Z")}})).await;
    let lease: coordination::Lease = get(service, &format!("{leases}/l"), "coordination.k8s.io/v1", "Lease").await;
    let spec = lease.spec.as_ref().unwrap();
    assert_eq!((spec.holder_identity(), spec.renew_time.as_ref().unwrap().nanos()), ("h", 500_000_000));

    let list: core::PodList = get(service, "/api/v1/pods", "v1", "PodList").await;
    assert_eq!(list.items, [pod], "an item of a list is the object");
    assert!(list.metadata.unwrap().resource_version().parse::<u64>().is_ok());
    let list: core::NodeList = get(service, "/api/v1/nodes?limit=1", "v1", "NodeList").await;
    assert_eq!(list.items.len(), 1);
    let list: core::SecretList = get(service, &format!("{space}/secrets?labelSelector=no"), "v1", "SecretList").await;
    assert!(list.items.is_empty());
}

#[tokio::test]
async fn failures_are_a_status() {
    let server = ApiServer::start().await.unwrap();
    let path = "/api/v1/namespaces/default/pods/none";
    let (code, media, bytes) = ask(server.service(), request(Method::GET, path, "application/json", Vec::new())).await;
    assert_eq!((code, media.as_str()), (404, PROTOBUF));
    let (version, kind, status): (_, _, meta::Status) = open(&bytes);
    assert_eq!((version.as_str(), kind.as_str(), status.code(), status.reason()), ("v1", "Status", 404, "NotFound"));
    assert_eq!((status.status(), status.message()), ("Failure", r#"pods "none" not found"#));
    assert_eq!((status.details.as_ref().unwrap().name(), status.details.as_ref().unwrap().kind()), ("none", "pods"));
    let bad = core::Pod { metadata: Some(Default::default()), ..Default::default() };
    let bytes = seal("v1", "Pod", &bad);
    let (code, _, bytes) =
        ask(server.service(), request(Method::POST, "/api/v1/namespaces/default/pods", PROTOBUF, bytes)).await;
    let (_, _, status): (_, _, meta::Status) = open(&bytes);
    assert_eq!((code, status.reason()), (422, "Invalid"));
    let causes = status.details.unwrap().causes;
    assert!(causes.iter().any(|cause| cause.field() == "spec.containers"), "{causes:?}");
}

#[tokio::test]
async fn what_the_peer_writes_is_stored() {
    let server = ApiServer::start().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let mut map = core::ConfigMap {
        data: [("k".to_owned(), "v".to_owned())].into(),
        immutable: Some(false),
        ..Default::default()
    };
    map.metadata = Some(meta::ObjectMeta {
        name: Some("m".into()),
        labels: [("a".into(), "b".into())].into(),
        ..Default::default()
    });
    map.binary_data.insert("b".into(), vec![0, 255]);
    let (code, _, bytes) =
        ask(server.service(), request(Method::POST, maps, PROTOBUF, seal("v1", "ConfigMap", &map))).await;
    let (_, _, mut made): (_, _, core::ConfigMap) = open(&bytes);
    assert_eq!((code, &made.data, &made.binary_data), (201, &map.data, &map.binary_data));
    made.data.insert("k".into(), "w".into());
    let path = format!("{maps}/m");
    let (code, _, bytes) =
        ask(server.service(), request(Method::PUT, &path, PROTOBUF, seal("v1", "ConfigMap", &made))).await;
    let (_, _, changed): (_, _, core::ConfigMap) = open(&bytes);
    assert_eq!((code, changed.data["k"].as_str()), (200, "w"));
    let (code, ..) = ask(server.service(), request(Method::PUT, &path, PROTOBUF, seal("v1", "ConfigMap", &made))).await;
    assert_eq!(code, 409, "its revision is old");
    let options = meta::DeleteOptions { propagation_policy: Some("Background".into()), ..Default::default() };
    let sealed = seal("v1", "DeleteOptions", &options);
    assert_eq!(ask(server.service(), request(Method::DELETE, &path, PROTOBUF, sealed)).await.0, 200);
}

/// The next frame of a watch: its event, and the object in it.
async fn next<M: Message + Default>(frames: &mut Body, left: &mut Vec<u8>) -> (String, String, M) {
    loop {
        if let Some((length, rest)) = left.split_first_chunk::<4>()
            && let Some((event, _)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        {
            let event = meta::WatchEvent::decode(event).unwrap();
            left.drain(..4 + u32::from_be_bytes(*length) as usize);
            let (_, kind, object) = open(event.object.as_ref().unwrap().raw());
            return (event.r#type().to_owned(), kind, object);
        }
        let frame = frames.frame().await.expect("the watch goes on").unwrap();
        left.extend_from_slice(&frame.into_data().unwrap());
    }
}

#[tokio::test]
async fn watches_are_framed_events() {
    let server = ApiServer::start().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    make(server.service(), maps, json!({"metadata": {"name": "a"}, "data": {"k": "1"}})).await;
    let watch =
        format!("{maps}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let mut asked = request(Method::GET, &watch, "application/json", Vec::new());
    asked.headers_mut().insert(ACCEPT, "application/vnd.kubernetes.protobuf;stream=watch".parse().unwrap());
    let answer = server.service().answer(asked).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/vnd.kubernetes.protobuf;stream=watch");
    let (mut frames, mut left) = (answer.into_body(), Vec::new());
    let seen = |(event, kind, map): (String, String, core::ConfigMap)| {
        (event, kind, map.metadata.as_ref().unwrap().name().to_owned(), map.data.get("k").cloned().unwrap_or_default())
    };
    let told = |event: &str, name: &str, data: &str| {
        (event.to_owned(), "ConfigMap".to_owned(), name.to_owned(), data.to_owned())
    };
    assert_eq!(seen(next(&mut frames, &mut left).await), told("ADDED", "a", "1"));
    let (event, kind, mark): (_, _, core::ConfigMap) = next(&mut frames, &mut left).await;
    assert_eq!((event.as_str(), kind.as_str()), ("BOOKMARK", "ConfigMap"));
    assert_eq!(mark.metadata.unwrap().annotations["k8s.io/initial-events-end"], "true");
    let merge =
        request(Method::PATCH, &format!("{maps}/a"), "application/merge-patch+json", br#"{"data":{"k":"2"}}"#.to_vec());
    assert_eq!(ask(server.service(), merge).await.0, 200);
    assert_eq!(seen(next(&mut frames, &mut left).await), told("MODIFIED", "a", "2"));
    let delete = request(Method::DELETE, &format!("{maps}/a"), "application/json", Vec::new());
    assert_eq!(ask(server.service(), delete).await.0, 200);
    assert_eq!(seen(next(&mut frames, &mut left).await), told("DELETED", "a", "2"));
}
