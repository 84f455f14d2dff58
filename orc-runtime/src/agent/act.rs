//! How a machine's actions are carried out.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use orc_store::Api;
use orc_store::client::{DeleteOptions, Preconditions};

use super::context::{Context, name_of, namespace_of, uid_of};
use super::observe::SandboxIds;
use super::work::Finished;
use super::{container, hooks, observe, probing, resize, rotation, status, volumes};
use crate::machine::{
    Action, Failure, Input, Observation, PodEvent, any_container, container_of, ephemeral_containers,
};
use crate::runtime::{ContainerId, ImageStatus, RuntimeError, SandboxId};

/// An action with all that it needs.
pub(super) struct Order {
    pub(super) uid: String,
    pub(super) pod: Arc<Pod>,
    pub(super) status: Arc<PodStatus>,
    pub(super) ids: SandboxIds,
    pub(super) action: Action,
}

/// Carries out an action and looks at the pod afterwards.
pub(super) async fn act(context: Arc<Context>, order: Order) -> Finished {
    if let Action::Probe { container, id, kind } = &order.action {
        let (success, message) = probing::probe(&context, &order.pod, &order.status, container, id, *kind).await;
        let input = Input::Probed { container: container.clone(), id: id.clone(), kind: *kind, success, message };
        return Finished::Input(order.uid, input);
    }
    let result = carry_out(&context, &order).await;
    let seen = match &order.action {
        // These change nothing that the runtime shows.
        Action::Mount | Action::Unmount | Action::Delete => None,
        _ => look(&context, &order).await,
    };
    Finished::Action(order.uid, order.action, result, seen)
}

/// The machine must not go on from an older picture than its own action's: asks until there is an answer.
async fn look(context: &Context, order: &Order) -> Option<(u64, Observation)> {
    loop {
        match observe::observe(context, &order.pod, &order.ids).await {
            Ok(seen) => return Some(seen),
            Err(error) => {
                tracing::warn!(uid = %order.uid, error = %error.full_message(), "the runtime cannot be asked")
            }
        }
        context.env.clock.sleep(Duration::from_secs(2)).await;
    }
}

async fn carry_out(context: &Context, order: &Order) -> Result<(), Failure> {
    let runtime = &context.runtime;
    match &order.action {
        Action::Mount => volumes::set_up(context, &order.pod, &order.status).await,
        Action::RunSandbox { attempt } => run_sandbox(context, order, *attempt).await,
        Action::Start { container, attempt, sandbox } => start(context, order, container, *attempt, sandbox).await,
        Action::Stop { container, id, grace, hook } => stop(context, order, container, id, *grace, *hook).await,
        Action::Resize { container, id, .. } => resize::resize(context, order, container, id).await,
        Action::RemoveContainer { id } => remove_container(context, id).await,
        Action::StopSandbox { id } => runtime.stop_sandbox(id).await.map_err(|e| failed("FailedKillPod", &e)),
        Action::RemoveSandbox { id } => runtime.remove_sandbox(id).await.map_err(|e| failed("FailedKillPod", &e)),
        Action::Unmount => volumes::tear_down(context, &order.pod).await,
        Action::Delete => delete(context, order).await,
        Action::Probe { .. } => Ok(()),
    }
}

fn failed(reason: &str, error: &RuntimeError) -> Failure {
    Failure::new(reason, error.full_message())
}

/// Forgets a run and its log: a crashing container would fill the disk otherwise.
async fn remove_container(context: &Context, id: &ContainerId) -> Result<(), Failure> {
    let log = context.runtime.container_status(id).await.ok().and_then(|status| status.log_path);
    context.runtime.remove_container(id).await.map_err(|e| failed("RemoveContainer", &e))?;
    let forgotten = log.filter(|_| !context.config.is_simulated()).map_or(Ok(()), |log| rotation::forget(&log));
    forgotten.map_err(|error| Failure::new("RemoveContainer", format!("remove the log of {id}: {error}")))
}

async fn run_sandbox(context: &Context, order: &Order, attempt: u32) -> Result<(), Failure> {
    let _turn = context.starts.acquire().await;
    container::check(context, &order.pod)?;
    let mut config = container::sandbox(context, &order.pod, attempt);
    config.qos_class = order.status.qos_class.clone().unwrap_or_default();
    let made = context.runtime.run_sandbox(&config).await.map_err(|e| failed("FailedCreatePodSandBox", &e))?;
    order.ids.lock().insert(made.id);
    Ok(())
}

async fn start(context: &Context, order: &Order, name: &str, attempt: u32, sandbox: &SandboxId) -> Result<(), Failure> {
    let turn = context.starts.acquire().await;
    let Some(spec) = any_container(&order.pod, name) else {
        return Err(Failure::new("CreateContainerConfigError", format!("the pod has no container {name:?}")));
    };
    let spec = spec.as_ref();
    let tell =
        |event: PodEvent| context.recorder.record(&order.pod, &event.of_container(list_of(&order.pod, name), name));
    pull(context, spec, &tell).await?;
    let mut config = container::container(context, &order.pod, &order.status, spec, attempt).await?;
    config.share_processes_of = target_of(order, name)?;
    let runtime = &context.runtime;
    let id = runtime.create_container(sandbox, &config).await.map_err(|e| failed(e.reason(), &e))?;
    tell(PodEvent::normal("Created", "Container created"));
    runtime.start_container(&id).await.map_err(|e| failed(e.reason(), &e))?;
    tell(PodEvent::normal("Started", "Container started"));
    drop(turn);
    let Some(hook) = spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else { return Ok(()) };
    let Err(message) = hooks::run(context, &order.pod, &order.status, spec, &id, hook, Duration::ZERO).await else {
        return Ok(());
    };
    tell(PodEvent::warning("FailedPostStartHook", "PostStartHook failed"));
    tell(PodEvent::normal("Killing", "FailedPostStartHook"));
    tracing::warn!(pod = name_of(&order.pod), container = name, %message, "a postStart hook failed");
    runtime.stop_container(&id, grace_of(&order.pod)).await.map_err(|e| failed("PostStartHookError", &e))?;
    Err(Failure::new("PostStartHookError", message))
}

/// The list of the pod's spec that a container stands in.
fn list_of(pod: &Pod, name: &str) -> &'static str {
    let inits = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    match container_of(pod, name) {
        None => "ephemeralContainers",
        Some(_) if inits.into_iter().any(|container| container.name == name) => "initContainers",
        Some(_) => "containers",
    }
}

/// The running container whose processes an ephemeral one is to see.
fn target_of(order: &Order, name: &str) -> Result<Option<ContainerId>, Failure> {
    let mut extras = ephemeral_containers(&order.pod).filter(|extra| extra.name == name);
    let target = extras.find_map(|extra| extra.target_container_name.as_deref().filter(|target| !target.is_empty()));
    let Some(target) = target else { return Ok(None) };
    let status = &order.status;
    let known = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let mut running =
        known.filter(|known| known.name == target && known.state.as_ref().is_some_and(|state| state.running.is_some()));
    let id = running
        .find_map(|known| known.container_id.as_deref())
        .ok_or_else(|| Failure::new("CreateContainerError", format!("unable to find target container {target:?}")))?;
    Ok(Some(ContainerId::new(id.split_once("://").map_or(id, |(_, id)| id))))
}

fn grace_of(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(1))
}

/// Gets the image as the container's pull policy says.
async fn pull(context: &Context, spec: &Container, tell: &impl Fn(PodEvent)) -> Result<(), Failure> {
    let image = spec.image.as_deref().unwrap_or_default();
    let policy = spec.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    let refuse = |error: crate::runtime::ImageError| {
        tell(PodEvent::warning("Failed", format!("Failed to pull image {image:?}: {error}")));
        Failure::new(error.reason.as_str(), error.message)
    };
    if !super::image_name::is_valid(image) {
        let text = format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format"
        );
        tell(PodEvent::warning("InspectFailed", text.clone()));
        return Err(Failure::new("InvalidImageName", text));
    }
    let present: Option<ImageStatus> = match policy {
        "Always" => None,
        _ => context.runtime.image_status(image).await.map_err(refuse)?,
    };
    match (present, policy) {
        (Some(_), _) => {
            let text = format!("Container image {image:?} already present on machine and can be accessed by the pod");
            tell(PodEvent::normal("Pulled", text));
            Ok(())
        }
        (None, "Never") => {
            let text = format!("Container image {image:?} is not present with pull policy of Never");
            tell(PodEvent::warning("ErrImageNeverPull", text.clone()));
            Err(Failure::new("ErrImageNeverPull", text))
        }
        (None, _) => {
            tell(PodEvent::normal("Pulling", format!("Pulling image {image:?}")));
            let begun = context.now();
            let pulled = context.runtime.pull_image(image).await.map_err(refuse)?;
            let took = context.now().duration_since(begun).as_millis();
            let size = pulled.size_bytes;
            let text = format!(
                "Successfully pulled image {image:?} in {took}ms ({took}ms including waiting). Image size: {size} bytes."
            );
            tell(PodEvent::normal("Pulled", text));
            Ok(())
        }
    }
}

async fn stop(
    context: &Context,
    order: &Order,
    name: &str,
    id: &ContainerId,
    grace: Duration,
    hook: bool,
) -> Result<(), Failure> {
    let begun = context.now();
    let spec = container_of(&order.pod, name);
    let handler = spec.and_then(|spec| spec.lifecycle.as_ref()?.pre_stop.as_ref()).filter(|_| hook);
    if let (Some(spec), Some(handler)) = (spec, handler) {
        let run = hooks::run(context, &order.pod, &order.status, spec, id, handler, grace);
        if let Err(message) = run.await {
            tracing::warn!(pod = name_of(&order.pod), container = name, %message, "a preStop hook failed");
            let event = PodEvent::warning("FailedPreStopHook", "PreStopHook failed");
            let event = event.of_container(list_of(&order.pod, name), name);
            context.recorder.record(&order.pod, &event);
        }
    }
    let spent = context.now().duration_since(begun).try_into().unwrap_or(Duration::ZERO);
    // The kubelet leaves two seconds to a program whose hook took all the time.
    let left = if handler.is_some() { grace.saturating_sub(spent).max(Duration::from_secs(2)) } else { grace };
    context.runtime.stop_container(id, left).await.map_err(|e| failed("FailedKillPod", &e))
}

/// Writes the last status and deletes the object, unless it is another one by now.
async fn delete(context: &Context, order: &Order) -> Result<(), Failure> {
    let refused = |error: orc_core::ApiError| Failure::new("FailedDelete", error.to_string());
    status::write(context, &order.pod, &order.status).await.map_err(refused)?;
    let preconditions = Preconditions { uid: Some(uid_of(&order.pod).to_owned()), revision: None };
    let options = DeleteOptions { grace_seconds: Some(0), preconditions, propagation: None };
    let api: Api<Pod> = Api::namespaced(context.env.client.clone(), namespace_of(&order.pod));
    let _turn = context.turns.acquire().await;
    match api.delete(name_of(&order.pod), options).await {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(refused(error)),
        _ => Ok(()),
    }
}

/// Ends what is left of a pod that the API does not know: the agent was away when it was deleted.
pub(super) async fn end_orphan(context: Arc<Context>, uid: String, orphan: Observation) {
    for sandbox in &orphan.sandboxes {
        let ended = async {
            for container in orphan.containers.iter().filter(|container| container.sandbox_id == sandbox.id) {
                context.runtime.stop_container(&container.id, Duration::from_secs(30)).await?;
            }
            context.runtime.stop_sandbox(&sandbox.id).await?;
            context.runtime.remove_sandbox(&sandbox.id).await
        };
        if let Err(error) = ended.await {
            tracing::error!(%uid, sandbox = %sandbox.id, error = %error.full_message(), "an unknown pod cannot be ended");
            return;
        }
    }
    if let Err(failure) = volumes::remove_dir(&context, &uid).await {
        tracing::error!(%uid, error = %failure.message, "the directory of an unknown pod cannot be removed");
    }
}
