//! The files of a policy, from a directory or one file.
//!
//! Of a directory those files count that say something: `.yaml`, `.yml`, `.json`, `.rego` and OPA's
//! `.manifest`, so that a `README` can stand beside them without changing the policy's digest. Whatever
//! else begins with a dot is left out, with all that is below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::super::output::read_at_most;
use crate::core::policy::{Bundle, FILE_BYTES_MAX, FILES_MAX};
use crate::core::record::POLICY_BYTES_MAX;

/// Most directories inside of each other. A bundle has two or three; a loop of links has no end.
const DEPTH_MAX: usize = 16;

/// Name of the file in which OPA says what a bundle is.
const MANIFEST: &str = ".manifest";

/// A walk through a directory.
struct Walk {
    /// The directory, with no links in its path.
    root: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

/// Reads a policy: a directory, one YAML or JSON file, or the encoded form in which the log has it.
pub(super) fn read(path: &Path) -> anyhow::Result<Bundle> {
    let metadata = fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    if metadata.is_dir() {
        return directory(path);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if counts(name) {
        let content = read_at_most(path, FILE_BYTES_MAX)?;
        let alone = [(name.to_owned(), content)];
        return Bundle::new(alone).with_context(|| format!("read {}", path.display()));
    }
    let encoded = read_at_most(path, POLICY_BYTES_MAX)?;
    Bundle::decode(&encoded).with_context(|| {
        let path = path.display();
        format!(
            "{path} is neither a directory nor a YAML or JSON file; read it as an encoded policy"
        )
    })
}

/// Returns the texts of a bundle, for reports that quote them.
pub(super) fn texts(bundle: &Bundle) -> BTreeMap<String, String> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    bundle.files().iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect()
}

/// Reads the files of a directory.
fn directory(path: &Path) -> anyhow::Result<Bundle> {
    let root = fs::canonicalize(path).with_context(|| format!("read {}", path.display()))?;
    let mut walk = Walk { root: root.clone(), files: BTreeMap::new(), bytes: 0 };
    walk.enter(&root, "", 0)?;
    ensure!(
        !walk.files.is_empty(),
        "{} holds no policy; `attestree policy init {}` writes one to begin with",
        path.display(),
        path.display()
    );
    Bundle::new(walk.files).with_context(|| format!("read {}", path.display()))
}

impl Walk {
    /// Reads a directory, whose files' paths begin with `prefix`.
    fn enter(&mut self, directory: &Path, prefix: &str, depth: usize) -> anyhow::Result<()> {
        ensure!(
            depth < DEPTH_MAX,
            "{} is {DEPTH_MAX} directories deep; is there a loop of links?",
            directory.display()
        );
        let list = || format!("list {}", directory.display());
        for entry in fs::read_dir(directory).with_context(list)? {
            let entry = entry.with_context(list)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                bail!("{} has a name that is not UTF-8; rename it", entry.path().display());
            };
            if is_hidden(name) {
                continue;
            }
            self.take(&entry.path(), &format!("{prefix}{name}"), depth)?;
        }
        Ok(())
    }

    /// Takes a file, or the files of a directory.
    fn take(&mut self, path: &Path, name: &str, depth: usize) -> anyhow::Result<()> {
        let real = fs::canonicalize(path).with_context(|| format!("follow {}", path.display()))?;
        ensure!(
            real.starts_with(&self.root),
            "{} leads out of the policy, to {}; put the file itself there",
            path.display(),
            real.display()
        );
        if real.is_dir() {
            return self.enter(&real, &format!("{name}/"), depth + 1);
        }
        if !counts(name) {
            return Ok(());
        }
        ensure!(real.is_file(), "{} is no plain file", path.display());
        let content = read_at_most(&real, FILE_BYTES_MAX)?;
        self.bytes += content.len();
        ensure!(
            self.bytes <= POLICY_BYTES_MAX && self.files.len() < FILES_MAX,
            "there is more than {FILES_MAX} files or {POLICY_BYTES_MAX} bytes: is this the policy's directory?"
        );
        self.files.insert(name.to_owned(), content);
        Ok(())
    }
}

/// Returns whether a name is left out, with all that is below it.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && name != MANIFEST
}

/// Returns whether a file says something of a policy, by its name.
pub(super) fn counts(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    name == MANIFEST || matches!(extension, Some("yaml" | "yml" | "json" | "rego"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{directory, read};

    #[test]
    fn a_directory_is_what_its_telling_files_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str, content: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        file("policy.yaml", "a");
        file("rego/x.rego", "b");
        file(".manifest", "c");
        file("tests/t.yml", "d");
        let digest = read(dir.path()).unwrap().digest();
        file("README.md", "e");
        file(".git/config.yaml", "f");
        file(".hidden.yaml", "g");
        symlink("policy.yaml", dir.path().join("again.md")).unwrap();
        let bundle = read(dir.path()).unwrap();
        assert_eq!(bundle.digest(), digest);
        let paths: Vec<&str> = bundle.files().keys().map(String::as_str).collect();
        assert_eq!(paths, [".manifest", "policy.yaml", "rego/x.rego", "tests/t.yml"]);

        let encoded = dir.path().join("policy.bundle");
        fs::write(&encoded, bundle.encode()).unwrap();
        assert_eq!(read(&encoded).unwrap(), bundle);
        assert_eq!(read(&dir.path().join("policy.yaml")).unwrap().files().len(), 1);
    }

    #[test]
    fn links_stay_inside_and_end() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(dir.path().join("policy.yaml"), "a").unwrap();
        symlink("policy.yaml", dir.path().join("alias.yaml")).unwrap();
        assert_eq!(directory(dir.path()).unwrap().files().len(), 2);

        fs::write(other.path().join("secret.yaml"), "s").unwrap();
        let link = dir.path().join("link.yaml");
        symlink(other.path().join("secret.yaml"), &link).unwrap();
        let error = directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("leads out of the policy"), "{error}");
        fs::remove_file(&link).unwrap();

        symlink(".", dir.path().join("loop")).unwrap();
        let error = directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("loop of links"), "{error}");
    }

    #[test]
    fn an_empty_directory_says_how_to_begin() {
        let dir = tempfile::tempdir().unwrap();
        let error = directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("attestree policy init"), "{error}");
    }
}
