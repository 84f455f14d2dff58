//! The main job, with the real kubectl and the built binary: a Deployment behind a Service comes up, heals, scales, rolls.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::{As, Cluster, free_node_port, get, is_root, wait_for};

const NGINX: &str = include_str!("manifests/nginx.yaml");
const WEB: &str = include_str!("manifests/web.yaml");

fn service(node_port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{type: NodePort, selector: {{app: web}}, \
         ports: [{{port: 80, targetPort: 8080, nodePort: {node_port}}}]}}\n"
    )
}

/// The names of the pods that answer at an address.
fn answering(address: &str, wanted: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    wait_for("all pods answer", || {
        if let Ok(body) = get(address) {
            assert!(body.contains(" hello open-sesame "), "config and secret are in the answer: {body}");
            names.insert(body.split(' ').next().unwrap().to_owned());
        }
        (names.len() >= wanted).then_some(())
    });
    names
}

fn main_job(user: As) {
    let cluster = Cluster::up(user, &[]);
    let port = free_node_port();
    let at_node = format!("127.0.0.1:{port}");
    cluster.ok_with(&["apply", "-f", "-"], WEB);
    cluster.ok_with(&["apply", "-f", "-"], &service(port));
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    assert_eq!(answering(&at_node, 3).len(), 3, "the node port reaches all three");

    // The cluster IP, from a pod, and as root from the host.
    let ip = cluster.ok(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    if user == As::Me && is_root() {
        assert_eq!(answering(&format!("{ip}:80"), 3).len(), 3);
    }
    let ask = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: ask}}\nspec: {{restartPolicy: Never, containers: [{{name: c, image: host, \
         command: [python3, -c, 'import urllib.request; print(urllib.request.urlopen(\"http://{ip}/\").read().decode())']}}]}}\n"
    );
    cluster.ok_with(&["apply", "-f", "-"], &ask);
    cluster.until(&["get", "pod", "ask", "-o", "jsonpath={.status.phase}"], "the asking pod ends", |phase| {
        phase == "Succeeded"
    });
    assert!(cluster.ok(&["logs", "ask"]).contains("hello open-sesame"));

    // Scale.
    for replicas in ["5", "2"] {
        cluster.ok(&["scale", "deployment/web", &format!("--replicas={replicas}")]);
        cluster.until(
            &["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}/{.status.replicas}"],
            "scaled",
            |text| text == format!("{replicas}/{replicas}"),
        );
    }

    nginx_serves(&cluster);
    rolls_without_a_failed_request(&cluster, &at_node);
    heals(&cluster, &at_node);
    unknown_image(&cluster);
}

/// Debian's nginx, two of them on the port that the other server has as well.
fn nginx_serves(cluster: &Cluster) {
    if !std::path::Path::new("/usr/sbin/nginx").exists() {
        panic!("/usr/sbin/nginx is missing: tools/test setup installs it");
    }
    let port = free_node_port();
    cluster.ok_with(&["apply", "-f", "-"], &NGINX.replace("NODE_PORT", &port.to_string()));
    cluster.ok(&["rollout", "status", "deployment/nginx", "--timeout=90s"]);
    let mut names = BTreeSet::new();
    wait_for("both answer", || {
        names.extend(get(&format!("127.0.0.1:{port}")).ok());
        (names.len() == 2).then_some(())
    });
    assert_eq!(names.len(), 2, "{names:?}");
    cluster.ok(&["delete", "deployment/nginx", "service/nginx", "configmap/nginx"]);
}

fn rolls_without_a_failed_request(cluster: &Cluster, at_node: &str) {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = {
        let (stop, asked, at) = (stop.clone(), asked.clone(), at_node.to_owned());
        std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Err(error) = get(&at) {
                    failed.push(error.to_string());
                }
                asked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            failed
        })
    };
    cluster.ok(&["set", "env", "deployment/web", "RELEASE=2"]);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    wait_for("the new release answers", || get(at_node).ok().filter(|body| body.trim().ends_with(" 2")))
        .expect("release 2");
    cluster.ok(&["rollout", "undo", "deployment/web"]);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    stop.store(true, Ordering::Relaxed);
    let failed = load.join().unwrap();
    assert!(asked.load(Ordering::Relaxed) > 50);
    assert!(
        failed.is_empty(),
        "{} of {} requests failed: {:?}",
        failed.len(),
        asked.load(Ordering::Relaxed),
        failed.first()
    );
    wait_for("the old release is back", || get(at_node).ok().filter(|body| body.trim().ends_with(" 1")))
        .expect("release 1");
    let history = cluster.ok(&["rollout", "history", "deployment/web"]);
    assert!(history.contains('3'), "{history}");
}

/// The names of the pods that run and that nobody has asked to go.
const STAYING: &str = r#"go-template={{range .items}}{{if and (not .metadata.deletionTimestamp) (eq .status.phase "Running")}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}"#;

fn heals(cluster: &Cluster, at_node: &str) {
    // Pods of the last rollout may be on their way out still.
    let staying = ["get", "pods", "-l", "app=web", "-o", STAYING];
    let names = cluster.ok(&staying);
    let victim = names.lines().next().unwrap().to_owned();
    cluster.ok(&["delete", "pod", &victim, "--wait=false"]);
    cluster.until(&staying, "a pod was replaced", |text| text.lines().filter(|name| *name != victim).count() == 2);
    // A process that is killed comes back in the same pod.
    let pod = cluster.ok(&staying).lines().next().unwrap().to_owned();
    let restarts = ["get", "pod", &pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
    let before = cluster.ok(&restarts);
    let pid = server_of(&pod);
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    cluster.until(&restarts, "the container was started again", |count| count != before);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    assert_eq!(answering(at_node, 2).len(), 2);
}

/// The process that serves in a pod: the one whose host name is the pod's.
fn server_of(pod: &str) -> u32 {
    let is_server = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|entry| entry == format!("HOSTNAME={pod}").as_bytes())
            && command.windows(9).any(|window| window == b"server.py")
    };
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(is_server).unwrap_or_else(|| panic!("no process serves in {pod}"))
}

fn unknown_image(cluster: &Cluster) {
    cluster.ok(&["run", "stranger", "--image=nginx", "--restart=Never"]);
    let waiting = ["get", "pod", "stranger", "-o", "jsonpath={.status.containerStatuses[0].state.waiting}"];
    let said = cluster.until(&waiting, "the image is refused", |text| {
        text.contains("ErrImagePull") || text.contains("ImagePullBackOff")
    });
    assert!(said.contains("host"), "the remedy is told: {said}");
}

#[test]
fn the_main_job_as_whoever_runs_the_test() {
    main_job(As::Me);
}

#[test]
fn the_main_job_as_an_ordinary_user() {
    if !is_root() {
        eprintln!("skipped: the_main_job_as_an_ordinary_user (the other test did it: this is no root)");
        return;
    }
    main_job(As::Nobody);
}
