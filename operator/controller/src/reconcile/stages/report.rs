//! The report of an apply: what could not be written, and what others had changed in the children.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use wallex_crd::names;

use crate::reconcile::Pass;
use crate::reconcile::conditions::{Problem, Reason, Seen};
use crate::reconcile::drift::{self, Found};
use crate::writes::{WINDOW, WriteError};

/// A child that could not be brought to its desired state.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("could not read {kind} {name}: {source}")]
    Read {
        kind: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{kind} {name} exists and belongs to something else: rename the platform, or remove it")]
    NameTaken { kind: String, name: String },
}

impl ApplyError {
    /// The error as a problem of the platform; none if it says nothing about the platform.
    pub fn problem(&self) -> Option<Problem> {
        let reason = match self {
            Self::Write(WriteError::NotLeader(_)) | Self::Read { .. } => return None,
            Self::Write(error) if error.is_invalid() => Reason::ManifestInvalid,
            Self::Write(WriteError::Refused { .. }) => Reason::ApplyFailed,
            Self::NameTaken { .. } => Reason::NameTaken,
        };
        Some(Problem::new(reason, self.to_string()))
    }
}

/// The report of an apply.
#[derive(Default)]
pub struct Report {
    /// What could not be written, in order.
    pub errors: Vec<ApplyError>,
    /// Children that others had changed, as `Kind name`, with what was restored.
    pub put_back: Vec<(String, Vec<Found>)>,
    /// The same for what stays: it is not the operator's business, or it came back in the very write that removed it.
    pub left: Vec<(String, Vec<Found>)>,
    /// The same for what someone keeps changing: it is restored only a limited number of times.
    pub fought: Vec<(String, Vec<Found>)>,
}

impl Report {
    /// Whether an error means that nothing more can be written now, through no fault of the platform.
    pub(in crate::reconcile) fn ends(&self) -> bool {
        self.errors.iter().any(|error| error.problem().is_none())
    }

    /// What went wrong, as one problem: the reason is the first one that waiting does not fix, and every message is
    /// included.
    pub fn problem(&self) -> Option<Problem> {
        let problems: Vec<Problem> = self.errors.iter().filter_map(ApplyError::problem).collect();
        let lasting = problems.iter().find(|problem| problem.reason.is_stalling());
        let reason = lasting.or(problems.first())?.reason;
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Some(Problem::new(reason, messages.join("; ")))
    }

    /// The error that decides when to retry; none if nothing failed.
    pub fn into_error(self) -> Option<ApplyError> {
        let place = self.errors.iter().position(|error| error.problem().is_none());
        self.errors.into_iter().nth(place.unwrap_or(0))
    }
}

/// Reports what was written and whose changes it overwrote. Returns the error that decides when to retry.
pub(in crate::reconcile) async fn tell(
    pass: &Pass<'_>,
    report: Report,
    seen: &mut Seen,
) -> Option<ApplyError> {
    tell_put_back(pass, &report).await;
    seen.refused = report.problem().or_else(|| in_force(&report));
    seen.notes.extend(report.left.iter().map(left));
    seen.notes.extend(report.fought.iter().map(fought));
    if !report.fought.is_empty() {
        seen.look_again(WINDOW);
    }
    report.into_error()
}

/// Reports, as an Event, whose changes were reverted.
async fn tell_put_back(pass: &Pass<'_>, report: &Report) {
    let object = pass.object;
    for (child, found) in &report.put_back {
        let (kind, name) = child.split_once(' ').unwrap_or_default();
        // Events that differ only in their message are treated as repeats of one Event.
        let related = ObjectReference {
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace: object.namespace(),
            field_path: found.first().map(|found| found.path.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: Reason::HandEditPutBack.as_str().to_owned(),
            note: Some(format!(
                "{child} was changed by hand and has been changed back: {}; make the change in the WalletPlatform's spec",
                drift::shown(found)
            )),
            action: "Reconcile".to_owned(),
            secondary: Some(related),
        };
        pass.context.writes.event(&object.object_ref(&()), &event).await;
    }
}

/// What others changed in a child, and stays.
fn left((child, found): &(String, Vec<Found>)) -> String {
    format!("{child} keeps what others added: {}", drift::shown(found))
}

/// What someone keeps changing.
fn fought((child, found): &(String, Vec<Found>)) -> String {
    format!(
        "{child} is changed repeatedly by somebody else; the operator limits how often it changes it back: {}",
        drift::shown(found)
    )
}

/// The operator's own variables with values from someone else that can't be removed: an admission webhook or another controller
/// sets them again.
fn in_force(report: &Report) -> Option<Problem> {
    let is_owned = |found: &&Found| {
        names::OWNED_VARIABLES.iter().any(|variable| {
            found.path.contains(&format!(".env[{variable}]")) || found.path == format!("data.{variable}")
        })
    };
    let told = report
        .fought
        .iter()
        .chain(&report.left)
        .find_map(|(child, found)| {
            let owned: Vec<Found> = found.iter().filter(is_owned).cloned().collect();
            (!owned.is_empty()).then(|| format!("{child}: {}", drift::shown(&owned)))
        })?;
    Some(Problem::new(
        Reason::ForeignEdits,
        format!(
            "{told} overrides variables that the operator sets, and returns whenever the operator removes it: fix whatever writes it"
        ),
    ))
}
