//! The folder of the private PostgreSQL: checks its owner, and that only one process uses it at a time.
//!
//! Anyone may create folders in /var/tmp, and files in this one are executed. So it must be a real folder that belongs
//! to the user who runs it, and no one else may write to it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// For the owner only.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

pub(super) fn default() -> PathBuf {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "root".to_owned());
    Path::new("/var/tmp").join(format!("wallex-dev-{user}"))
}

/// The user that this process runs as.
pub(super) fn own_user() -> Option<u32> {
    if let Ok(own) = fs::metadata("/proc/self") {
        return Some(own.uid());
    }
    // Without /proc, as on macOS.
    let told = Command::new("id").arg("-u").output().ok()?;
    String::from_utf8(told.stdout).ok()?.trim().parse().ok()
}

/// Creates the folder, or checks the existing one: it must belong to one of `owners`. Returns its full path.
pub(super) fn prepare(data: &Path, owners: &[u32]) -> anyhow::Result<PathBuf> {
    let shown = data.display();
    if let Some(parent) = data.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("creating {}; choose another folder with --data", parent.display()))?;
    }
    match DirBuilder::new().mode(FOLDER).create(data) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error)
                .with_context(|| format!("creating {shown}; choose another folder with --data"));
        }
    }
    // The folder itself: a symbolic link could be redirected at any moment.
    let found = fs::symlink_metadata(data).with_context(|| format!("looking at {shown}"))?;
    if !found.is_dir() {
        bail!("{shown} is not a folder but a link or a file: choose another with --data");
    }
    if !owners.contains(&found.uid()) {
        bail!(
            "{shown} belongs to another user ({}), and what lies in it would be executed: choose a folder of your own \
             with --data",
            found.uid()
        );
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        bail!(
            "others may write to {shown} (mode {mode:o}), and what lies in it would be executed: look at what is there, \
             then `chmod go-w` it, or choose another folder with --data"
        );
    }
    if mode & 0o077 != 0 {
        // It contains PostgreSQL's password.
        fs::set_permissions(data, Permissions::from_mode(FOLDER))
            .with_context(|| format!("making {shown} private"))?;
    }
    fs::canonicalize(data).with_context(|| format!("looking at {shown}"))
}

/// Held while the folder is in use. The kernel releases it when the process ends, for whatever reason.
pub(super) struct Lock {
    _file: File,
}

pub(super) fn lock(data: &Path) -> anyhow::Result<Lock> {
    let path = data.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            bail!(
                "{} is in use by another `wallex dev` (process {}): stop that one, or choose another folder with --data \
                 and another port with --port",
                data.display(),
                holder.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(Lock { _file: file })
}

/// The contents of a file that no one else may read; created from `text` if it does not exist.
pub(super) fn secret(path: &Path, text: impl FnOnce() -> String) -> anyhow::Result<String> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) => {
            fs::set_permissions(path, Permissions::from_mode(FILE))
                .with_context(|| format!("making {shown} private"))?;
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = text();
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(FILE)
                .open(path)
                .with_context(|| format!("writing {shown}"))?;
            file.write_all(text.as_bytes())?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("reading {shown}")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("wallex-folder-{:x}", rand::random::<u64>()))
    }

    fn refused(data: &Path, owners: &[u32]) -> String {
        prepare(data, owners).unwrap_err().to_string()
    }

    #[test]
    fn a_new_folder_is_private_and_an_old_one_becomes_so() {
        let own = own_user().unwrap();
        let (root, mode) = (scratch(), |path: &Path| {
            fs::metadata(path).unwrap().mode() & 0o777
        });
        let data = root.join("data");
        assert_eq!(prepare(&data, &[own]).unwrap(), fs::canonicalize(&data).unwrap());
        assert_eq!(mode(&data), 0o700);
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        prepare(&data, &[own]).unwrap();
        assert_eq!(mode(&data), 0o700);
        let file = data.join("secret");
        assert_eq!(secret(&file, || "s".to_owned()).unwrap(), "s");
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(secret(&file, || "t".to_owned()).unwrap(), "s");
        assert_eq!(mode(&file), 0o600);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_else_a_link_or_one_that_others_may_write_to_is_refused() {
        let own = own_user().unwrap();
        let data = scratch();
        prepare(&data, &[own]).unwrap();
        assert!(refused(&data, &[own + 1]).contains("belongs to another user"));
        for mode in [0o770, 0o702, 0o1777] {
            fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
            assert!(refused(&data, &[own]).contains("others may write"), "{mode:o}");
        }
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        let link = scratch();
        symlink(&data, &link).unwrap();
        assert!(refused(&link, &[own]).contains("not a folder"));
        fs::remove_file(&link).unwrap();
        fs::write(&link, "").unwrap();
        assert!(refused(&link, &[own]).contains("not a folder"));
        fs::remove_file(&link).unwrap();
        fs::remove_dir_all(&data).unwrap();
    }

    #[test]
    fn a_folder_in_use_names_who_uses_it() {
        let data = scratch();
        prepare(&data, &[own_user().unwrap()]).unwrap();
        let held = lock(&data).unwrap();
        let refused = lock(&data).err().unwrap().to_string();
        let process = format!("process {}", std::process::id());
        assert!(
            refused.contains(&process) && refused.contains("--data"),
            "{refused}"
        );
        drop(held);
        lock(&data).unwrap();
        fs::remove_dir_all(&data).unwrap();
    }
}
