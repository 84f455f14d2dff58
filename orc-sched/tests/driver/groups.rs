//! Groups of pods that start whole or not at all.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::common::{node, pod, with};
use crate::{Cluster, condition, node_of};

fn member(name: &str, least: usize, priority: i32, cpu: i64) -> Pod {
    with(
        &pod(name, cpu),
        json!({"metadata": {"labels": {"scheduling.x-k8s.io/pod-group": "g"},
                            "annotations": {"scheduling.x-k8s.io/pod-group-min-member": least.to_string()}},
               "spec": {"priority": priority}}),
    )
}

fn told(pod: &Pod, text: &str) -> bool {
    condition(pod).is_some_and(|found| found.message.as_deref().unwrap_or_default().contains(text))
}

#[tokio::test(start_paused = true)]
async fn a_group_starts_whole_or_not_at_all() {
    let cluster = Cluster::with_nodes(14, &[("n1", 1000)]).await;
    let member = |name: &str| member(name, 3, 0, 400);
    cluster.pods.create(&member("a")).await.unwrap();
    let waiting = cluster.until("a", |pod| condition(pod).is_some()).await;
    assert!(condition(&waiting).unwrap().message.as_deref().unwrap().contains("2 more pods are needed"));
    for name in ["b", "c"] {
        cluster.pods.create(&member(name)).await.unwrap();
    }
    let whole = |pod: &Pod| told(pod, "does not fit as a whole");
    for name in ["a", "b", "c"] {
        let waiting = cluster.until(name, whole).await;
        assert_eq!(node_of(&waiting), None);
    }
    cluster.nodes.create(&node("n2", 1000, 4, 10)).await.unwrap();
    for name in ["a", "b", "c"] {
        cluster.until(name, |pod| node_of(pod).is_some()).await;
    }
}

/// Three nodes, each with a pod that takes nearly all of it.
async fn full(seed: u64) -> Cluster {
    let cluster = Cluster::with_nodes(seed, &[("n1", 1000), ("n2", 1000), ("n3", 1000)]).await;
    for number in 0..3 {
        let name = format!("low-{number}");
        cluster.pods.create(&pod(&name, 900)).await.unwrap();
        cluster.until(&name, |pod| node_of(pod).is_some()).await;
    }
    cluster
}

async fn left(cluster: &Cluster) -> usize {
    let mut left = 0;
    for number in 0..3 {
        left += usize::from(cluster.pods.get_opt(&format!("low-{number}")).await.unwrap().is_some());
    }
    left
}

#[tokio::test(start_paused = true)]
async fn an_urgent_group_takes_the_places_of_others() {
    let cluster = full(18).await;
    for name in ["a", "b", "c"] {
        cluster.pods.create(&member(name, 3, 10, 500)).await.unwrap();
    }
    for name in ["a", "b", "c"] {
        cluster.until(name, |pod| node_of(pod).is_some()).await;
    }
    assert_eq!(left(&cluster).await, 1, "two of the three had to leave");
    assert_eq!(cluster.status.read().victims, 2);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_would_not_fit_even_then_takes_nobodys_place() {
    let cluster = full(19).await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        cluster.pods.create(&member(name, 4, 10, 600)).await.unwrap();
    }
    for name in names {
        let waiting = cluster.until(name, |pod| told(pod, "does not fit as a whole")).await;
        assert_eq!(node_of(&waiting), None);
    }
    cluster.world.env.clock.sleep(Duration::from_secs(60)).await;
    assert_eq!((left(&cluster).await, cluster.status.read().preemptions), (3, 0));
    cluster.nodes.create(&node("n4", 1000, 4, 10)).await.unwrap();
    for name in names {
        cluster.until(name, |pod| node_of(pod).is_some()).await;
    }
    assert_eq!(left(&cluster).await, 0);
}
