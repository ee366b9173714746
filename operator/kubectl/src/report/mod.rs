//! `kubectl wallex report`: a support bundle.
//!
//! `collect` reads, `secrets` learns what must not be in it, `redact` redacts, `bundle` packs. What can't be read is listed with
//! the reason in the bundle's README.txt; only the platform itself must be readable.
//!
//! Invariant: every file passes [`redact::Redaction`] on its way into the bundle; there is no other way in.

mod bundle;
mod collect;
mod redact;
mod secrets;

use std::path::PathBuf;

use super::args::Report;
use super::error::Error;
use super::{Outcome, Session, find};
use bundle::Bundle;

pub(super) async fn write(session: &mut Session, args: &Report) -> Result<Outcome, Error> {
    let platform = find::platform(session, &args.name).await?;
    let time = (session.now)().strftime("%Y%m%dT%H%M%SZ").to_string();
    let folder = format!("{}-report-{time}", args.name);
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    // Fail before minutes of reading, not after.
    let file = bundle::create(&path)?;

    let stop = session.stop.clone();
    let collected = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        collected = collect::everything(session, &platform) => Some(collected),
    };
    let written = match collected {
        Some(collected) => {
            let bundle = Bundle::new(&args.name, &time, collected);
            bundle.write(&folder, file, &path).map(|()| Some(bundle))
        }
        None => Ok(None),
    };
    let bundle = match written {
        Ok(Some(bundle)) => bundle,
        Ok(None) => {
            bundle::remove(&path);
            session.console.progress("stopped; nothing was written");
            return Ok(Outcome::Stopped);
        }
        Err(error) => {
            bundle::remove(&path);
            return Err(error);
        }
    };
    for (name, bytes) in bundle.contents() {
        session.console.line(&format!("{bytes:>9}  {name}"))?;
    }
    for missing in bundle.missing() {
        session.console.progress(&format!("not had: {missing}"));
    }
    session.console.line(&format!(
        "{} is written. Secrets are blacked out; look through it before you pass it on.",
        path.display()
    ))?;
    Ok(Outcome::Fine)
}
