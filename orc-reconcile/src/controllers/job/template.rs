//! The pods that a job makes.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::failure::{Verdict, verdict};
use super::view::{FAILURES, IGNORED, INDEX, TRACKING, times};
use crate::controllers::support::workload::NewPod;
use crate::controllers::support::{meta, pods};

/// The environment variable that tells a container its index.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest prefix of a generated name, in bytes.
const LONGEST: usize = 58;

/// A pod of the job; `index` for one of an indexed job, `after` the failed pod that it takes the place of.
pub(crate) fn pod(job: &Job, index: Option<i32>, after: Option<&Pod>) -> NewPod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let name = meta::name(&job.metadata);
    let suffix = index.map_or_else(|| "-".to_owned(), |index| format!("-{index}-"));
    let prefix = format!("{}{suffix}", &name[..name.len().min(LONGEST.saturating_sub(suffix.len()))]);
    let owner = meta::controller_reference(job);
    let mut pod = pods::of_template(&template, meta::namespace(&job.metadata), "", &prefix, owner);
    pod.metadata.name = None;
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    if let Some(index) = index {
        number(&mut pod, job, index);
    }
    if index.is_some() && job.spec.as_ref().is_some_and(|spec| spec.backoff_limit_per_index.is_some()) {
        count(&mut pod, job, after);
    }
    NewPod { pod, prefix }
}

fn number(pod: &mut Pod, job: &Job, index: i32) {
    let text = index.to_string();
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), text);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{}-{index}", meta::name(&job.metadata)));
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        tell(container);
    }
}

/// Adds the variable, unless the container has one of its name.
fn tell(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), ..Default::default() };
    let source = EnvVarSource { field_ref: Some(field), ..Default::default() };
    env.push(EnvVar { name: VARIABLE.to_owned(), value_from: Some(source), ..Default::default() });
}

/// Carries over how often the index failed, with the last failure.
fn count(pod: &mut Pod, job: &Job, after: Option<&Pod>) {
    let (mut failures, mut ignored) = after.map_or((0, 0), |after| (times(after, FAILURES), times(after, IGNORED)));
    match after.map(|after| verdict(job, after)) {
        None => {}
        Some(Verdict::Ignore) => ignored += 1,
        Some(_) => failures += 1,
    }
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(FAILURES.to_owned(), failures.to_string());
    if ignored > 0 {
        annotations.insert(IGNORED.to_owned(), ignored.to_string());
    }
}
