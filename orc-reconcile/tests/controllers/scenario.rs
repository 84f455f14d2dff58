//! The life of a deployment in a namespace, with what must hold at every moment.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use orc_store::Api;
use orc_store::client::{DeleteOptions, Propagation};
use serde_json::json;

use crate::cluster::{Cluster, is_ready};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    None,
    Some,
}

/// Runs the scenario in virtual time and gives its trace.
pub fn run(seed: u64, faults: Faults) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::start(seed, (faults == Faults::Some).then_some(5)).await;
        Scenario { cluster: &cluster }.play().await;
        cluster.stop.cancel();
        cluster.trace()
    })
}

struct Scenario<'a> {
    cluster: &'a Cluster,
}

fn deployment(replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "one", "ports": [{"name": "http", "containerPort": 8080}]}]}
            }
        }
    }))
    .unwrap()
}

impl Scenario<'_> {
    async fn play(&self) {
        self.cluster.namespace("app").await;
        let deployments: Api<Deployment> = self.cluster.api("app");
        self.given_to_every_namespace().await;
        deployments.create(&deployment(3)).await.unwrap();
        self.complete("one", 3, 2).await;
        self.serve().await;
        for size in [5, 2, 4] {
            deployments.modify("web", |d| d.spec.get_or_insert_default().replicas = Some(size)).await.unwrap();
            self.complete("one", size, 1).await;
        }
        self.set_image("two").await;
        self.complete("two", 4, 3).await;
        assert_eq!(self.revision().await, "2");
        self.set_image("one").await;
        self.complete("one", 4, 3).await;
        assert_eq!(self.revision().await, "3", "an undo is a new revision of the old set");
        assert_eq!(self.cluster.list::<ReplicaSet>("app").await.len(), 2);
        self.kill_one().await;
        self.silence().await;
        self.delete_foreground().await;
        self.delete_background().await;
        self.end_namespace().await;
    }

    async fn given_to_every_namespace(&self) {
        self.cluster
            .until("the namespace has its account and certificate", async || {
                let accounts: Vec<Arc<ServiceAccount>> = self.cluster.list("app").await;
                let maps: Vec<Arc<ConfigMap>> = self.cluster.list("app").await;
                accounts.len() == 1 && maps.len() == 1 && maps[0].data.as_ref().unwrap()["ca.crt"] == "a certificate"
            })
            .await;
    }

    async fn set_image(&self, image: &str) {
        let change = |d: &mut Deployment| {
            d.spec.get_or_insert_default().template.spec.get_or_insert_default().containers[0].image =
                Some(image.to_owned());
        };
        self.cluster.api::<Deployment>("app").modify("web", change).await.unwrap();
    }

    async fn revision(&self) -> String {
        let deployment = self.cluster.api::<Deployment>("app").get("web").await.unwrap();
        deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"].clone()
    }

    /// Waits for what `kubectl rollout status` waits for; never are there too many pods, nor, once up, too few.
    async fn complete(&self, image: &str, size: i32, never_below: usize) {
        let mut most_ready = 0;
        self.cluster
            .until(&format!("{size} pods of {image}"), async || {
                let pods: Vec<Arc<Pod>> = self.cluster.list("app").await;
                let alive: Vec<_> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
                let ready = alive.iter().filter(|pod| is_ready(pod)).count();
                most_ready = most_ready.max(ready);
                if most_ready >= never_below {
                    assert!(ready >= never_below.min(size as usize), "{ready} ready pods are too few");
                }
                assert!(alive.len() <= 6, "{} pods are too many", alive.len());
                let of_image =
                    |pod: &&&Arc<Pod>| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some(image);
                let all = alive.iter().filter(of_image).count() == size as usize && pods.len() == size as usize;
                all && self.is_told(size).await
            })
            .await;
    }

    async fn is_told(&self, size: i32) -> bool {
        let deployment = self.cluster.api::<Deployment>("app").get("web").await.unwrap();
        let Some(status) = deployment.status.clone() else { return false };
        let progress = status.conditions.iter().flatten().find(|c| c.type_ == "Progressing");
        status.observed_generation == deployment.metadata.generation
            && [status.replicas, status.updated_replicas, status.available_replicas].iter().all(|n| *n == Some(size))
            && progress.is_some_and(|c| c.reason.as_deref() == Some("NewReplicaSetAvailable"))
    }

    /// A service gets one endpoint for each pod, in both forms.
    async fn serve(&self) {
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.0.10",
            "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}}))
            .unwrap();
        self.cluster.api::<Service>("app").create(&service).await.unwrap();
        self.cluster
            .until("the service has its endpoints", async || {
                let slices: Vec<Arc<EndpointSlice>> = self.cluster.list("app").await;
                let objects: Vec<Arc<Endpoints>> = self.cluster.list("app").await;
                assert!(slices.len() <= 1, "one slice is enough");
                let (Some(slice), Some(object)) = (slices.first(), objects.first()) else { return false };
                let port = slice.ports.as_ref().and_then(|ports| ports.first()?.port);
                let subset = object.subsets.as_ref().and_then(|subsets| subsets.first());
                slice.endpoints.as_ref().is_some_and(|endpoints| endpoints.len() == 3)
                    && port == Some(8080)
                    && subset
                        .is_some_and(|subset| subset.addresses.as_ref().is_some_and(|addresses| addresses.len() == 3))
            })
            .await;
    }

    /// The node falls silent: its pods are not ready and, as they tolerate nothing, are deleted. Then it is heard of again.
    async fn silence(&self) {
        self.cluster.beats.store(false, std::sync::atomic::Ordering::SeqCst);
        let nodes: Api<Node> = Api::all(self.cluster.env.client.clone());
        let unreachable = async || {
            let node = nodes.get("node-1").await.unwrap();
            node.spec
                .iter()
                .flat_map(|spec| spec.taints.iter().flatten())
                .filter(|t| t.key == "node.kubernetes.io/unreachable")
                .count()
        };
        let before = self.cluster.list::<Pod>("app").await;
        self.cluster.until("the node is unreachable", async || unreachable().await == 2).await;
        let uids: Vec<_> = before.iter().map(|pod| pod.metadata.uid.clone()).collect();
        self.cluster
            .until("its pods are evicted", async || {
                self.cluster.list::<Pod>("app").await.iter().all(|pod| !uids.contains(&pod.metadata.uid))
            })
            .await;
        self.cluster.beats.store(true, std::sync::atomic::Ordering::SeqCst);
        self.cluster.until("the node is back", async || unreachable().await == 0).await;
        self.complete("one", 4, 0).await;
    }

    async fn kill_one(&self) {
        let victim = self.cluster.list::<Pod>("app").await[0].clone();
        let pods: Api<Pod> = self.cluster.api("app");
        pods.delete(victim.metadata.name.as_ref().unwrap(), DeleteOptions::default()).await.unwrap();
        self.complete("one", 4, 3).await;
        assert!(self.cluster.list::<Pod>("app").await.iter().all(|pod| pod.metadata.uid != victim.metadata.uid));
    }

    async fn delete_foreground(&self) {
        let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
        self.cluster.api::<Deployment>("app").delete("web", options).await.unwrap();
        self.cluster
            .until("the deployment is gone, its dependents first", async || {
                let deployment = self.cluster.api::<Deployment>("app").get_opt("web").await.unwrap();
                let left =
                    self.cluster.list::<Pod>("app").await.len() + self.cluster.list::<ReplicaSet>("app").await.len();
                assert!(deployment.is_some() || left == 0, "{left} objects outlived their owner");
                deployment.is_none()
            })
            .await;
    }

    async fn delete_background(&self) {
        let deployments: Api<Deployment> = self.cluster.api("app");
        deployments.create(&deployment(3)).await.unwrap();
        self.complete("one", 3, 2).await;
        deployments.delete("web", DeleteOptions::default()).await.unwrap();
        self.cluster
            .until("the dependents are collected", async || {
                self.cluster.list::<Pod>("app").await.is_empty()
                    && self.cluster.list::<ReplicaSet>("app").await.is_empty()
            })
            .await;
    }

    async fn end_namespace(&self) {
        let deployments: Api<Deployment> = self.cluster.api("app");
        deployments.create(&deployment(3)).await.unwrap();
        self.complete("one", 3, 2).await;
        let namespaces: Api<Namespace> = Api::all(self.cluster.env.client.clone());
        namespaces.delete("app", DeleteOptions::default()).await.unwrap();
        self.cluster.until("the namespace is gone", async || namespaces.get_opt("app").await.unwrap().is_none()).await;
        assert!(self.cluster.list::<Pod>("app").await.is_empty());
    }
}
