//! The directory of secrets: `secrets/` in the data directory, where each file is the secret of that name.
//!
//! It is how a gateway without a configuration file gets its secrets: no API takes a value. The names are listed at the
//! start and whenever a resource is written or the secrets are listed; values are read at each use, as for every file.
//! What is no regular file (links are followed), or has a name that no secret can have, is passed over.
//! Bound: [`FILES_MAX`] names.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchhook_wire::config::is_name;

/// Secrets in the directory. One for each of the most sources and endpoints would be 20,000; nobody keeps them by hand.
pub const FILES_MAX: usize = 1_000;

/// Only the gateway's own user may look into it.
const MODE: u32 = 0o700;

/// See the module.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Path>);

impl Directory {
    /// The directory of secrets in `data_dir`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(data_dir: &Path) -> io::Result<Self> {
        // Absolute, so that what people are told to write to does not depend on where they are.
        let path = std::path::absolute(data_dir.join("secrets"))?;
        DirBuilder::new().recursive(true).mode(MODE).create(&path)?;
        Ok(Self(path.into()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the value of `name` is or would be.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of the secrets in it; beyond [`FILES_MAX`] the last ones are left out. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read. One that has been removed is empty.
    pub fn names(&self) -> io::Result<BTreeSet<Arc<str>>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries?,
        };
        let mut names = BTreeSet::new();
        let mut left_out = 0_u64;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_name(name)) else {
                continue;
            };
            if !fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            names.insert(name.into());
            if names.len() > FILES_MAX {
                names.pop_last();
                left_out += 1;
            }
        }
        if left_out > 0 {
            tracing::warn!(
                directory = %self.0.display(),
                left_out,
                "more than {FILES_MAX} files of secrets: the last ones by name are left out"
            );
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_regular_files_with_the_name_of_a_secret_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::create(dir.path()).unwrap();
        for name in ["web", "crm.2", ".web.swp", "Upper", "web~"] {
            fs::write(directory.file(name), "x").unwrap();
        }
        fs::create_dir(directory.file("folder")).unwrap();
        symlink(directory.file("web"), directory.file("linked")).unwrap();
        symlink(directory.file("nothing"), directory.file("dangling")).unwrap();
        let names: Vec<_> = directory.names().unwrap().into_iter().collect();
        assert_eq!(names, ["crm.2", "linked", "web"].map(Arc::from));
        fs::remove_dir_all(directory.path()).unwrap();
        assert!(directory.names().unwrap().is_empty());
    }

    #[test]
    fn beyond_the_bound_the_first_by_name_stay() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::create(dir.path()).unwrap();
        for n in 0..=FILES_MAX {
            fs::write(directory.file(&format!("s{n:04}")), "").unwrap();
        }
        let names = directory.names().unwrap();
        assert_eq!(names.len(), FILES_MAX);
        assert_eq!(names.last().map(|name| &**name), Some("s0999"));
    }

    #[test]
    fn it_is_its_owners_alone_and_one_that_is_there_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::create(&dir.path().join("data")).unwrap();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        fs::write(directory.file("web"), "x").unwrap();
        let again = Directory::create(&dir.path().join("data")).unwrap();
        assert_eq!(again.names().unwrap(), BTreeSet::from(["web".into()]));
    }
}
