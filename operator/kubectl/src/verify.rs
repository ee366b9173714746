//! `kubectl wallex verify`: the journal check as a Job next to the platform.
//!
//! The Job is derived from the platform's own maintenance CronJob: same image, settings, Secrets, account, labels (so network
//! policies allow it) and limits; only the argument differs. So the check sees what the platform sees, and the user needs no
//! right to read Secrets.
//!
//! Invariant: the Job is removed when the check ends, whatever the outcome. If this process dies first, Kubernetes removes it ten
//! minutes after it ends.

use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, DynamicObject, LogParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object, watcher};
use kube::{Api, ResourceExt as _};
use wallex_crd::names;

use super::access::Access;
use super::args::Verify;
use super::error::Error;
use super::{MANAGER, Outcome, Session, events, find, pods};

/// Arguments of the `wallex` binary.
const CHECK: [&str; 1] = ["verify"];
/// Seconds that a finished Job stays if it is not removed.
const TTL_SECONDS: i32 = 600;
/// Seconds by which the Job's own deadline exceeds ours: our error says more.
const DEADLINE_SPARE_SECONDS: i64 = 60;
/// How long after the end of a log its container may be reported as ended. After that, the log must have broken off and is
/// followed again.
const LOG_ENDED: Duration = Duration::from_secs(5);

pub(super) async fn by_a_job(session: &mut Session, args: &Verify) -> Result<Outcome, Error> {
    let platform = find::platform(session, &args.name).await?;
    let maintenance = maintenance(session, &args.name).await?;
    let job = job(&platform, &maintenance, args.timeout)?;
    let jobs = Api::<Job>::namespaced(session.client.clone(), &session.namespace);
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let created = jobs
        .create(&params, &job)
        .await
        .map_err(|error| Access::new("create", "jobs.batch", &session.namespace).failed(&error))?;
    let name = created.name_any();
    session.console.progress(&format!(
        "Job {name} checks the journal of {}; it only reads",
        args.name
    ));

    let stop = session.stop.clone();
    let result = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(None),
        followed = tokio::time::timeout(args.timeout, follow(session, &name)) => match followed {
            Ok(followed) => followed.map(Some),
            Err(_) => Err(late(session, &name, args.timeout).await),
        },
    };
    if args.keep {
        session.console.progress(&format!(
            "Job {name} stays until {TTL_SECONDS} s after its end (--keep)"
        ));
    } else {
        remove(session, &jobs, &created).await;
    }
    match result? {
        None => {
            session.console.progress("stopped before the check was complete");
            Ok(Outcome::Stopped)
        }
        Some(end) => verdict(session, &args.name, &end),
    }
}

async fn maintenance(session: &Session, platform: &str) -> Result<CronJob, Error> {
    let name = names::maintain(platform);
    let api = Api::<CronJob>::namespaced(session.client.clone(), &session.namespace);
    api.get_opt(&name)
        .await
        .map_err(|error| Access::new("get", "cronjobs.batch", &session.namespace).failed(&error))?
        .ok_or_else(|| {
            Error::Hopeless(format!(
                "{platform} has no CronJob {name} yet: there is no journal before its first migration is done\nSee why: kubectl wallex status {platform}"
            ))
        })
}

/// The maintenance Job with another argument.
fn job(platform: &DynamicObject, maintenance: &CronJob, timeout: Duration) -> Result<Job, Error> {
    let name = platform.name_any();
    let template = maintenance.spec.job_template.clone();
    let labels = template.metadata.and_then(|metadata| metadata.labels);
    let mut spec = template.spec.unwrap_or_default();
    let pod = spec.template.spec.as_mut();
    let container = pod
        .and_then(|pod| pod.containers.first_mut())
        .ok_or_else(|| Error::Hopeless(format!("CronJob {} has no container", maintenance.name_any())))?;
    container.args = Some(CHECK.map(str::to_owned).into());
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX - DEADLINE_SPARE_SECONDS);
    let spec = JobSpec {
        // A failed check is a result, not a reason to retry.
        backoff_limit: Some(0),
        active_deadline_seconds: Some(seconds + DEADLINE_SPARE_SECONDS),
        ttl_seconds_after_finished: Some(TTL_SECONDS),
        ..spec
    };
    Ok(Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-verify-")),
            namespace: platform.namespace(),
            labels,
            // Deleted with the platform. Not a controller reference, so the operator does not mistake it for its own
            // child.
            owner_references: Some(vec![OwnerReference {
                api_version: find::resource().api_version,
                kind: find::resource().kind,
                name,
                uid: platform.uid().unwrap_or_default(),
                controller: None,
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

/// How the check's container ended.
struct End {
    exit_code: i32,
    last_line: String,
}

/// Prints the check's log until its container ends.
async fn follow(session: &mut Session, job: &str) -> Result<End, Error> {
    let pod = started(session, job).await?;
    let mut log = Log::default();
    loop {
        log.follow(session, &pod).await?;
        match tokio::time::timeout(LOG_ENDED, ended(session, &pod)).await {
            Ok(exit_code) => {
                return Ok(End {
                    exit_code: exit_code?,
                    last_line: log.last,
                });
            }
            Err(_) => session.console.progress("the log broke off; continuing"),
        }
    }
}

fn watching(session: &Session) -> Access<'_> {
    Access::new("watch", "pods", &session.namespace)
}

/// Waits until the Job's pod runs, and reports what it waits for.
async fn started(session: &mut Session, job: &str) -> Result<String, Error> {
    let api = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
    let config = watcher::Config::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let mut changes = watcher(api, config).default_backoff().applied_objects().boxed();
    let mut said = String::new();
    while let Some(change) = changes.next().await {
        let pod = match change {
            Ok(pod) => pod,
            Err(error) => match watching(session).ended(&error) {
                Some(error) => return Err(error),
                None => continue,
            },
        };
        let name = pod.name_any();
        if pods::statuses(&pod).any(|status| {
            let state = status.state.as_ref();
            state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        }) {
            return Ok(name);
        }
        let trouble = pods::trouble(&pod).unwrap_or_default();
        if let Some(why) = pods::is_hopeless(&pod) {
            return Err(Error::Hopeless(format!("pod {name} can't start: {why}")));
        }
        if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed") {
            return Err(Error::Hopeless(format!("pod {name} {trouble}")));
        }
        if trouble != said {
            session.console.progress(&format!("pod {name} {trouble}"));
            said = trouble;
        }
    }
    Err(Error::Hopeless("the watch of the Job's pods ended".to_owned()))
}

/// Waits for the end of the pod's container. Returns its exit code.
async fn ended(session: &Session, pod: &str) -> Result<i32, Error> {
    let api = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
    let mut changes = watch_object(api, pod).default_backoff().boxed();
    while let Some(change) = changes.next().await {
        match change {
            Ok(Some(found)) => {
                let code = pods::statuses(&found)
                    .find_map(|status| Some(status.state.as_ref()?.terminated.as_ref()?.exit_code));
                if let Some(code) = code {
                    return Ok(code);
                }
                if found.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed") {
                    let why = pods::trouble(&found).unwrap_or_default();
                    return Err(Error::Hopeless(format!("pod {pod} {why}")));
                }
            }
            Ok(None) => {
                return Err(Error::Hopeless(format!(
                    "pod {pod} was removed before it was done"
                )));
            }
            Err(error) => {
                if let Some(error) = watching(session).ended(&error) {
                    return Err(error);
                }
            }
        }
    }
    Err(Error::Hopeless(format!("the watch of pod {pod} ended")))
}

/// How much of a log has been printed.
#[derive(Default)]
struct Log {
    lines: usize,
    last: String,
}

impl Log {
    /// Prints the log from where it stopped, until it ends.
    async fn follow(&mut self, session: &mut Session, pod: &str) -> Result<(), Error> {
        let api = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
        let params = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let access = Access::new("get", "pods/log", &session.namespace);
        let stream = api
            .log_stream(pod, &params)
            .await
            .map_err(|error| access.failed(&error))?;
        let mut lines = stream.lines().enumerate();
        while let Some((number, line)) = lines.next().await {
            // A broken stream is followed again.
            let Ok(line) = line else { break };
            if number < self.lines {
                continue;
            }
            session.console.line(&line)?;
            self.lines = number + 1;
            self.last = line;
        }
        Ok(())
    }
}

/// Why the time was not enough: for a Job without a pod, its Events say so.
async fn late(session: &Session, job: &str, timeout: Duration) -> Error {
    let platform = job.rsplit_once("-verify-").map_or(job, |(platform, _)| platform);
    let said = events::of(session, platform).await.unwrap_or_default();
    let last = said
        .iter()
        .rev()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .find(|event| {
            let name = event.involved_object.name.as_deref();
            name.is_some_and(|name| name.starts_with(job))
        })
        .and_then(|event| event.message.clone());
    let why = last.map(|said| format!(": {said}")).unwrap_or_default();
    Error::Hopeless(format!(
        "Job {job} did not finish within {} s{why}\nGive it more with --timeout.",
        timeout.as_secs()
    ))
}

async fn remove(session: &mut Session, jobs: &Api<Job>, job: &Job) {
    let name = job.name_any();
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: job.uid(),
        resource_version: None,
    });
    match jobs.delete(&name, &params).await {
        Ok(_) => session.console.progress(&format!("Job {name} is removed")),
        Err(error) => {
            let error = Access::new("delete", "jobs.batch", &session.namespace)
                .failed(&error)
                .short();
            session.console.progress(&format!(
                "Job {name} stays until {TTL_SECONDS} s after its end: {error}"
            ));
        }
    }
}

fn verdict(session: &mut Session, platform: &str, end: &End) -> Result<Outcome, Error> {
    if end.exit_code == 0 {
        session
            .console
            .line(&format!("the journal of {platform} is whole"))?;
        return Ok(Outcome::Fine);
    }
    // The check's own last line if it found something; otherwise the check could not be done.
    if end.last_line.ends_with(" problems") {
        session.console.line(&format!(
            "the journal of {platform} is NOT whole; docs/troubleshooting.md says what to do"
        ))?;
        return Ok(Outcome::NotInOrder);
    }
    Err(Error::Hopeless(format!(
        "the check could not be completed (exit code {}): {}",
        end.exit_code, end.last_line
    )))
}
