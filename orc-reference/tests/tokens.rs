//! Secrets that hold a service account's token, end to end with the real kubectl: filled, used, and gone with the account.

mod support;

use base64::Engine as _;
use support::{As, Cluster};

const SECRET: &str = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\nmetadata:\n  name: robot-token\n  \
    annotations: {kubernetes.io/service-account.name: robot}\n";

#[test]
fn a_secret_is_given_a_token_that_lives_as_long_as_both() {
    let cluster = Cluster::up(As::Me, &["--nodes", "0"]);
    cluster.ok(&["create", "serviceaccount", "robot"]);
    cluster.ok(&["create", "rolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot"]);
    cluster.ok_with(&["apply", "-f", "-"], SECRET);
    let held =
        |field: &str| ["get", "secret", "robot-token", "-o"].map(str::to_owned).into_iter().chain([field.to_owned()]);
    let read = |field: &str, what: &str| {
        let args: Vec<String> = held(field).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let text = cluster.until(&args, what, |text| !text.is_empty());
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()).unwrap()
    };
    let token = read("jsonpath={.data.token}", "the secret is filled");
    assert_eq!(read("jsonpath={.data.namespace}", "the namespace is told"), "default");
    assert!(read("jsonpath={.data.ca\\.crt}", "the authority is told").contains("BEGIN CERTIFICATE"));

    cluster.ok(&["config", "set-credentials", "robot", "--token", &token]);
    cluster
        .until(&["--user", "robot", "get", "pods"], "the robot may look", |text| text.contains("No resources found"));
    assert!(
        cluster.refused(&["--user", "robot", "get", "secrets"], "").contains("system:serviceaccount:default:robot")
    );

    cluster.ok(&["delete", "serviceaccount", "robot"]);
    cluster.until(&["get", "secrets", "-o", "name"], "the secret is gone", |text| !text.contains("robot-token"));
    let refused = cluster.refused(&["--user", "robot", "get", "pods"], "");
    assert!(refused.contains("Unauthorized") || refused.contains("logged in"), "{refused}");
}
