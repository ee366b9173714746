//! Why a pod is not ready, in words. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt as _;
use wallex_crd::Component;
use wallex_domain::LastWords;

use super::text::first_line;

/// The component of a pod by its label; none for pods of Jobs.
pub(super) fn component(pod: &Pod) -> Option<&str> {
    let component = pod.labels().get("app.kubernetes.io/component")?;
    Component::ROLLOUT
        .iter()
        .any(|known| known.name() == component)
        .then_some(component)
}

/// How often the containers of a pod were restarted.
pub(super) fn restarts(pod: &Pod) -> i32 {
    statuses(pod).map(|status| status.restart_count).sum()
}

/// Statuses of all containers, init containers first.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let begin = status.and_then(|status| status.init_container_statuses.as_deref());
    let main = status.and_then(|status| status.container_statuses.as_deref());
    begin.into_iter().chain(main).flatten()
}

/// Why a pod does not serve; none if it does, or has completed.
pub(super) fn trouble(pod: &Pod) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("is being stopped".to_owned());
    }
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or_default();
    if phase == "Succeeded" || condition(pod, "Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    if phase == "Failed" {
        let said = [status.reason.as_deref(), status.message.as_deref()];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        let ended = statuses(pod).find_map(last_end);
        return Some(match (said.is_empty(), ended) {
            (false, _) => format!("failed: {}", said.join(": ")),
            (true, Some(ended)) => format!("failed: {ended}"),
            (true, None) => "failed".to_owned(),
        });
    }
    if let Some(why) = statuses(pod).find_map(container_trouble) {
        return Some(why);
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False") {
        let message = scheduled.message.as_deref().unwrap_or("no node accepts it");
        return Some(format!("has no node: {}", first_line(message)));
    }
    Some(if statuses(pod).any(|status| status.started == Some(true)) {
        "runs, but /health/ready does not say ready yet".to_owned()
    } else {
        "is starting".to_owned()
    })
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// What keeps a container from running, with its last termination message.
fn container_trouble(status: &ContainerStatus) -> Option<String> {
    let ended = last_end(status);
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        if matches!(reason, "ContainerCreating" | "PodInitializing") && ended.is_none() {
            return None;
        }
        // A crash loop's own message only says how long it waits.
        let said = match ended {
            Some(ended) => Some(ended),
            None => waiting.message.as_deref().map(first_line),
        };
        return Some(said.map_or_else(|| reason.to_owned(), |said| format!("{reason}: {said}")));
    }
    if state.terminated.is_some() {
        return ended;
    }
    None
}

/// How a container last ended: its exit code and its last words.
fn last_end(status: &ContainerStatus) -> Option<String> {
    let of = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| state?.terminated.clone();
    let ended = of(status.state.as_ref()).or_else(|| of(status.last_state.as_ref()))?;
    let mut text = format!("exit code {}", ended.exit_code);
    if let Some(reason) = ended.reason.as_deref().filter(|reason| *reason != "Error") {
        text = format!("{reason}, {text}");
    }
    if let Some(why) = ended.message.as_deref().and_then(why) {
        text = format!("{text}: {why}");
    }
    Some(text)
}

/// The cause in a container's last words. Of a text, such as the end of a sidecar's log, the last line says it.
fn why(said: &str) -> Option<String> {
    let (_, why) = LastWords::failure(said, |text| text.lines().last().unwrap_or_default().trim())?;
    Some(why).filter(|why| !why.is_empty())
}

/// Reasons of a waiting container that do not go away by themselves.
pub(super) fn is_hopeless(pod: &Pod) -> Option<String> {
    const HOPELESS: [&str; 5] = [
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
    ];
    statuses(pod)
        .filter(|status| {
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
            reason.is_some_and(|reason| HOPELESS.contains(&reason))
        })
        .find_map(container_trouble)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    #![expect(
        clippy::needless_pass_by_value,
        reason = "json!(…) reads better without a reference"
    )]
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "demo-command-1-a"}, "status": status})).unwrap()
    }

    fn container(rest: serde_json::Value) -> serde_json::Value {
        let mut status =
            json!({"name": "wallex", "image": "x", "imageID": "", "ready": false, "restartCount": 7});
        status
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        json!({"phase": "Running", "containerStatuses": [status]})
    }

    #[test]
    fn a_ready_pod_has_no_trouble() {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(trouble(&pod(ready)), None);
    }

    #[test]
    fn a_crash_loop_shows_the_last_words_instead_of_its_back_off() {
        let looping = container(json!({
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "starting\nno such database\n"}},
        }));
        let pod = pod(looping);
        assert_eq!(
            trouble(&pod).unwrap(),
            "CrashLoopBackOff: exit code 1: no such database"
        );
        assert_eq!(restarts(&pod), 7);
        assert_eq!(is_hopeless(&pod), None, "a database may come back");
    }

    #[test]
    fn a_container_killed_for_its_memory_says_so() {
        let killed = container(json!({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}));
        assert_eq!(trouble(&pod(killed)).unwrap(), "OOMKilled, exit code 137");
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_hopeless() {
        let pulling = container(
            json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}}),
        );
        let expected = "ImagePullBackOff: Back-off pulling image \"x\"";
        assert_eq!(is_hopeless(&pod(pulling)).as_deref(), Some(expected));
    }

    #[test]
    fn a_pod_without_a_node_says_why() {
        let pending = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: Insufficient cpu."},
        ]});
        assert_eq!(
            trouble(&pod(pending)).unwrap(),
            "has no node: 0/1 nodes are available: Insufficient cpu."
        );
    }

    #[test]
    fn a_pod_that_runs_and_is_not_ready_points_at_its_health() {
        let running = container(json!({"started": true, "state": {"running": {}}}));
        assert!(trouble(&pod(running)).unwrap().contains("/health/ready"));
    }
}
