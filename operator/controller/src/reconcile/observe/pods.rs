//! Why pods do not become ready: according to Kubernetes or, if that says nothing, according to the pods themselves.
//!
//! Invariant: pods only inform conditions, never decisions; one that can't be reached changes nothing. Everything except [`ask`]
//! is pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod};
use kube::ResourceExt as _;
use wallex_crd::names;

use super::lag::Readings;
use super::words;
use crate::reconcile::conditions::{ComponentState, Problem, Reason};

/// How long a pod may be unscheduled or unready before that is a problem: a node may be on its way, and startup takes
/// seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long after its last exit a running container still counts as crash-looping. Kubernetes waits at most five minutes.
const CRASH_MEMORY: Duration = Duration::from_secs(600);

/// Label with the component a pod belongs to.
const ROLE: &str = "app.kubernetes.io/component";

/// Sets the problem of components that lack pods, if their pods show one.
pub fn judge(components: &mut [ComponentState], pods: &[Pod], now: Timestamp) {
    for state in components.iter_mut().filter(|state| lacks_pods(state)) {
        if state.problem.is_none() {
            state.problem = problem(&of_role(pods, state.component.name()), now);
        }
    }
}

/// Asks the components that still have none, one pod each and all in parallel: a process that runs but is not ready says what it
/// waits for.
pub async fn ask(roles: &Readings, components: &mut [ComponentState], pods: &[Pod], now: Timestamp) {
    let lacking = components.iter_mut().filter(|state| lacks_pods(state));
    let asked = lacking
        .filter(|state| state.problem.is_none())
        .map(async |state| {
            let mut pods = of_role(pods, state.component.name()).into_iter();
            if let Some(pod) = pods.find(|pod| runs_unready(pod, now)) {
                let found = ailing(roles, pod).await;
                state.problem = found.map(|found| {
                    let message = format!("pod {}: {}", pod.name_any(), found.message);
                    Problem::new(found.reason, message)
                });
            }
        });
    join_all(asked).await;
}

/// A pod's problem in its own words; none when it can't be reached, for example by an operator that runs outside the
/// cluster.
pub async fn ailing(roles: &Readings, pod: &Pod) -> Option<Problem> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let port = names::HTTP_PORT.try_into().ok()?;
    let authority = SocketAddr::new(address, port).to_string();
    match roles.get(authority, names::READY).await {
        Ok((_, body)) => words::ailing(&body),
        Err(why) => {
            tracing::debug!(why, pod = pod.name_any(), "could not ask a pod");
            None
        }
    }
}

fn lacks_pods(state: &ComponentState) -> bool {
    state.exists && state.desired > 0 && (!state.rolled_out || state.ready < state.desired)
}

/// The pods of a component that should run, youngest first: that one has the wanted template.
fn of_role<'a>(pods: &'a [Pod], role: &str) -> Vec<&'a Pod> {
    let mut found: Vec<&Pod> = pods
        .iter()
        .filter(|pod| pod.labels().get(ROLE).is_some_and(|of| of == role))
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    found.sort_by_key(|pod| (std::cmp::Reverse(pod.creation_timestamp()), pod.name_any()));
    found
}

/// The first problem that any of `pods` shows.
pub fn problem(pods: &[&Pod], now: Timestamp) -> Option<Problem> {
    pods.iter()
        .find_map(|pod| unscheduled(pod, now).or_else(|| container(pod, now)))
}

fn unscheduled(pod: &Pod, now: Timestamp) -> Option<Problem> {
    let scheduled = condition(pod, "PodScheduled")?;
    let refused = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    let since = scheduled.last_transition_time.as_ref()?.0;
    (refused && elapsed(since, now) >= PATIENCE).then(|| {
        let message = scheduled.message.as_deref().unwrap_or("no node accepts it");
        Problem::new(
            Reason::PodsUnschedulable,
            format!("no node accepts pod {}: {message}", pod.name_any()),
        )
    })
}

fn container(pod: &Pod, now: Timestamp) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let mut containers = containers.into_iter().flatten().flatten();
    containers.find_map(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting
            .and_then(|waiting| cannot_start(pod, container, waiting))
            .or_else(|| crashed(pod, container, now))
    })
}

fn cannot_start(pod: &Pod, container: &ContainerStatus, waiting: &ContainerStateWaiting) -> Option<Problem> {
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match reason {
        // It is about to start, or the crash is more informative.
        "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff" => None,
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            // A back-off message ends with the error; only the error is the same on every try.
            let cause = message
                .rsplit_once("ErrImagePull: ")
                .map_or(message, |(_, cause)| cause);
            Some(Problem::new(
                Reason::ImagePullFailed,
                format!(
                    "pod {} can't pull image {}: {reason_of}",
                    pod.name_any(),
                    container.image,
                    reason_of = if cause.is_empty() {
                        reason
                    } else {
                        words::last_bytes(cause, 1024)
                    }
                ),
            ))
        }
        // Kubernetes' reasons, not ours: a missing Secret key, a missing program, a failing mount.
        other => Some(Problem::new(
            Reason::ContainerCannotStart,
            format!(
                "container {} of pod {} can't start: {other}: {}",
                container.name,
                pod.name_any(),
                words::last_bytes(message, 1024)
            ),
        )),
    }
}

/// A container that keeps failing and being restarted.
fn crashed(pod: &Pod, container: &ContainerStatus, now: Timestamp) -> Option<Problem> {
    let state = container.state.as_ref()?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    let backs_off = state
        .waiting
        .as_ref()
        .is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"));
    let end = match (&state.terminated, last) {
        // The first exit may be due to a server that was not up yet; the second is a pattern.
        (Some(end), _) if container.restart_count >= 1 => end,
        (None, Some(end)) if backs_off => end,
        (None, Some(end)) if !container.ready && container.restart_count >= 2 && is_recent(end, now) => end,
        _ => return None,
    };
    if end.exit_code == 0 {
        return None;
    }
    let said = words::failure(end);
    let cause = match end.reason.as_deref() {
        Some("OOMKilled") => ": it was killed for using more memory than its limit".to_owned(),
        Some(_) | None if said.text.is_empty() => String::new(),
        Some(_) | None => format!(": {}", said.text),
    };
    Some(Problem::new(
        said.reason.unwrap_or(Reason::CrashLoop),
        format!(
            "container {} of pod {} keeps ending with exit code {}{cause}",
            container.name,
            pod.name_any(),
            end.exit_code
        ),
    ))
}

fn is_recent(end: &ContainerStateTerminated, now: Timestamp) -> bool {
    end.finished_at
        .as_ref()
        .is_some_and(|finished| elapsed(finished.0, now) < CRASH_MEMORY)
}

fn runs_unready(pod: &Pod, now: Timestamp) -> bool {
    let running = pod
        .status
        .as_ref()
        .is_some_and(|status| status.phase.as_deref() == Some("Running"));
    running
        && condition(pod, "Ready").is_some_and(|ready| {
            ready.status == "False"
                && ready
                    .last_transition_time
                    .as_ref()
                    .is_some_and(|since| elapsed(since.0, now) >= PATIENCE)
        })
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
