//! The lives of a job, a stateful set, a daemon set, a replication controller, a cron job and a disruption budget, with what
//! must hold at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use orc_core::Object;
use serde_json::{Value, json};

use crate::cluster::{Cluster, is_ready};
use crate::scenario::Faults;

/// Runs the scenario in virtual time and gives its trace.
pub fn run(seed: u64, faults: Faults) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::start(seed, (faults == Faults::Some).then_some(5)).await;
        cluster.namespace("app").await;
        let world = World { cluster: &cluster };
        world.stateful_set().await;
        world.daemon_set().await;
        world.replication_controller_and_budget().await;
        world.indexed_job().await;
        world.failing_job().await;
        world.cron_job().await;
        cluster.stop.cancel();
        cluster.trace()
    })
}

fn template(app: &str, image: &str, restart: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": image}]}})
}

fn selector(app: &str) -> Value {
    json!({"matchLabels": {"app": app}})
}

struct World<'a> {
    cluster: &'a Cluster,
}

impl World<'_> {
    async fn create<K: Object>(&self, value: Value)
    where
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(value).unwrap();
        self.cluster.api::<K>("app").create(&object).await.unwrap();
    }

    async fn pods(&self, app: &str) -> Vec<Arc<Pod>> {
        let mut pods = self.cluster.list::<Pod>("app").await;
        pods.retain(|pod| pod.metadata.labels.as_ref().is_some_and(|labels| labels["app"] == app));
        pods
    }

    async fn get<K: Object>(&self, name: &str) -> Arc<K>
    where
        K::DynamicType: Default,
    {
        self.cluster.api::<K>("app").get(name).await.unwrap()
    }

    /// Comes up in order, rolls from the last to the first with one pod missing at most, and shrinks from the end.
    async fn stateful_set(&self) {
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        self.create::<StatefulSet>(json!({"metadata": {"name": "db"}, "spec": {"replicas": 3, "serviceName": "db",
            "selector": selector("db"), "template": template("db", "one", "Always"), "volumeClaimTemplates": [claim],
            "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"}}}))
            .await;
        let names = async || -> BTreeSet<String> {
            self.pods("db").await.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
        };
        let settled = async |size: i32| {
            let set = self.get::<StatefulSet>("db").await;
            let status = set.status.clone().unwrap_or_default();
            status.observed_generation == set.metadata.generation
                && (status.replicas, status.available_replicas) == (size, Some(size))
                && status.current_revision == status.update_revision
        };
        self.cluster
            .until("the set is up", async || {
                let pods = self.pods("db").await;
                let unready = pods.iter().filter(|pod| !is_ready(pod)).count();
                assert!(unready <= 1, "pods come one by one");
                settled(3).await
            })
            .await;
        assert_eq!(names().await, ["db-0", "db-1", "db-2"].map(str::to_owned).into());
        assert_eq!(self.cluster.list::<PersistentVolumeClaim>("app").await.len(), 3);
        self.cluster
            .api::<StatefulSet>("app")
            .modify("db", |set| image(&mut set.spec.as_mut().unwrap().template))
            .await
            .unwrap();
        self.cluster
            .until("the set has rolled", async || {
                let pods = self.pods("db").await;
                assert!(pods.iter().filter(|pod| is_ready(pod)).count() >= 2, "one pod may be missing, not more");
                let new: Vec<bool> = pods.iter().map(|pod| is_two(pod)).collect();
                assert!(new.is_sorted(), "the last goes first: {new:?}");
                new.len() == 3 && new[0] && settled(3).await
            })
            .await;
        assert_eq!(self.cluster.list::<ControllerRevision>("app").await.len(), 2);
        self.cluster
            .api::<StatefulSet>("app")
            .modify("db", |set| set.spec.as_mut().unwrap().replicas = Some(1))
            .await
            .unwrap();
        self.cluster
            .until("the set has shrunk, and its claims with it", async || {
                let claims = self.cluster.list::<PersistentVolumeClaim>("app").await.len();
                settled(1).await && names().await.len() == 1 && claims == 1
            })
            .await;
    }

    async fn daemon_set(&self) {
        self.create::<DaemonSet>(json!({"metadata": {"name": "agent"}, "spec": {"selector": selector("agent"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": template("agent", "one", "Always")}}))
            .await;
        let settled = async || {
            let set = self.get::<DaemonSet>("agent").await;
            let status = set.status.clone().unwrap_or_default();
            assert!(self.pods("agent").await.len() <= 1, "one pod for the one node");
            status.observed_generation == set.metadata.generation
                && (status.desired_number_scheduled, status.number_ready) == (1, 1)
                && (status.updated_number_scheduled, status.number_available) == (Some(1), Some(1))
        };
        self.cluster.until("the daemon is up", settled).await;
        self.cluster
            .api::<DaemonSet>("app")
            .modify("agent", |set| image(&mut set.spec.as_mut().unwrap().template))
            .await
            .unwrap();
        self.cluster
            .until("the daemon has rolled", async || {
                settled().await && self.pods("agent").await.iter().all(|pod| is_two(pod))
            })
            .await;
    }

    async fn replication_controller_and_budget(&self) {
        self.create::<ReplicationController>(json!({"metadata": {"name": "old"}, "spec": {"replicas": 3,
            "selector": {"app": "old"}, "template": template("old", "one", "Always")}}))
            .await;
        self.create::<PodDisruptionBudget>(json!({"metadata": {"name": "old"}, "spec": {"maxUnavailable": 1,
            "selector": selector("old")}}))
            .await;
        self.cluster
            .until("the budget allows one disruption", async || {
                let budget = self.get::<PodDisruptionBudget>("old").await;
                let status = budget.status.clone().unwrap_or_default();
                let allowed = status.disruptions_allowed.unwrap_or_default();
                assert!(allowed <= 1);
                allowed == 1
                    && (status.expected_pods, status.desired_healthy, status.current_healthy)
                        == (Some(3), Some(2), Some(3))
            })
            .await;
        let controller = self.get::<ReplicationController>("old").await;
        assert_eq!(controller.status.as_ref().map(|status| status.replicas), Some(3));
    }

    fn job(name: &str, image: &str, more: Value) -> Value {
        let mut spec = json!({"selector": selector(name), "template": template(name, image, "Never")});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"name": name}, "spec": spec})
    }

    /// Each index runs once, two at a time; then the job goes away.
    async fn indexed_job(&self) {
        let spec =
            json!({"completionMode": "Indexed", "completions": 5, "parallelism": 2, "ttlSecondsAfterFinished": 30});
        self.create::<Job>(Self::job("work", "one", spec)).await;
        self.cluster
            .until("all indexes are done", async || {
                let active = self.pods("work").await.iter().filter(|pod| is_active(pod)).count();
                assert!(active <= 2, "{active} pods run at once");
                ended(&*self.get::<Job>("work").await) == Some("Complete".to_owned())
            })
            .await;
        let job = self.get::<Job>("work").await;
        let status = job.status.as_ref().unwrap();
        assert_eq!((status.succeeded, status.completed_indexes.as_deref()), (Some(5), Some("0-4")));
        assert_eq!((status.active, status.failed), (None, None));
        let tracked =
            |pod: &Arc<Pod>| pod.metadata.finalizers.iter().flatten().any(|name| name.contains("job-tracking"));
        assert!(!self.pods("work").await.iter().any(tracked), "every pod was let go");
        self.cluster
            .until("its time to live is over", async || {
                let job = self.cluster.api::<Job>("app").get_opt("work").await.unwrap();
                job.is_none() && self.pods("work").await.is_empty()
            })
            .await;
    }

    async fn failing_job(&self) {
        self.create::<Job>(Self::job(
            "broken",
            "fails",
            json!({"backoffLimit": 2, "completions": 1, "parallelism": 1}),
        ))
        .await;
        self.cluster
            .until("the job has failed", async || ended(&*self.get::<Job>("broken").await) == Some("Failed".to_owned()))
            .await;
        let job = self.get::<Job>("broken").await;
        assert_eq!(job.status.as_ref().unwrap().failed, Some(3), "each failure counts once");
    }

    async fn cron_job(&self) {
        let spec = json!({"completions": 1, "parallelism": 1, "backoffLimit": 1, "selector": selector("tick"),
            "template": template("tick", "one", "Never")});
        self.create::<CronJob>(json!({"metadata": {"name": "tick"}, "spec": {"schedule": "* * * * *",
            "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": spec}}}))
            .await;
        let start = self.cluster.env.clock.now();
        self.cluster
            .until("it has run for five minutes", async || {
                let jobs = self.cluster.list::<Job>("app").await;
                let ticks: Vec<_> =
                    jobs.iter().filter(|job| job.metadata.name.as_ref().unwrap().starts_with("tick-")).collect();
                let running = ticks.iter().filter(|job| ended(job).is_none()).count();
                assert!(running <= 1, "concurrency is forbidden");
                self.cluster.env.clock.now().duration_since(start).as_mins() >= 5 && ticks.len() <= 3
            })
            .await;
        let cron = self.get::<CronJob>("tick").await;
        let status = cron.status.clone().unwrap();
        assert!(status.last_schedule_time.is_some() && status.last_successful_time.is_some());
    }
}

fn image(template: &mut k8s_openapi::api::core::v1::PodTemplateSpec) {
    template.spec.as_mut().unwrap().containers[0].image = Some("two".to_owned());
}

fn is_two(pod: &Pod) -> bool {
    pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("two")
}

fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn ended(job: &Job) -> Option<String> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let end = |condition: &&k8s_openapi::api::batch::v1::JobCondition| {
        matches!(&*condition.type_, "Complete" | "Failed") && condition.status == "True"
    };
    conditions.into_iter().find(end).map(|condition| condition.type_.clone())
}
