//! The files of a policy as a revision of git has them. Nothing is checked out: git is asked for the tree and its
//! blobs, as a child process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail, ensure};

use super::files::{counts, is_hidden};
use crate::core::policy::{Bundle, FILE_BYTES_MAX, FILES_MAX};
use crate::core::record::POLICY_BYTES_MAX;

/// Mode of a link in a tree of git.
const LINK: &str = "120000";

/// A revision, and where in it the policy lies.
pub(super) struct Revision {
    /// A directory of the repository.
    base: PathBuf,
    /// As the caller named it.
    name: String,
    /// The commit.
    commit: String,
    /// The policy's path from the top of the repository; empty for the top itself.
    path: String,
}

/// A file of a tree.
struct Blob {
    id: String,
    bytes: usize,
    /// Its path below the policy.
    path: String,
}

impl Revision {
    /// Finds a revision of the repository that a directory lies in, whether or not the directory is still there.
    pub(super) fn find(name: &str, dir: &Path) -> anyhow::Result<Self> {
        let mut base = dir;
        while !base.is_dir() {
            base = base.parent().unwrap_or(Path::new(""));
            if base.as_os_str().is_empty() {
                base = Path::new(".");
            }
        }
        let prefix = text(base, &["rev-parse", "--show-prefix"])
            .with_context(|| format!("find the repository that {} is in", dir.display()))?;
        let below = dir.strip_prefix(base).unwrap_or(dir);
        let below = below.to_str().context("the policy's path is not UTF-8")?;
        let path = format!("{prefix}{below}");
        let path = path.trim_end_matches("/.").trim_end_matches('/');
        let path = if path == "." { "" } else { path };
        let wanted = format!("{name}^{{commit}}");
        let commit = text(base, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]);
        let commit = commit.with_context(|| {
            format!("{name} is neither there nor a revision of the repository of {}", dir.display())
        })?;
        Ok(Self { base: base.to_owned(), name: name.to_owned(), commit, path: path.to_owned() })
    }

    /// Returns what two revisions have in common, as `git diff a...b` begins with.
    pub(super) fn merge_base(self, other: &Self) -> anyhow::Result<Self> {
        let commit = text(&self.base, &["merge-base", &self.commit, &other.commit]);
        let commit = commit
            .with_context(|| format!("{} and {} have nothing in common", self.name, other.name))?;
        Ok(Self { commit, ..self })
    }

    /// Reads the policy.
    pub(super) fn read(&self) -> anyhow::Result<Bundle> {
        let object = format!("{}:{}", self.commit, self.path);
        let kind = text(&self.base, &["cat-file", "-t", &object])
            .with_context(|| format!("{self} is not there"))?;
        let files = match kind.as_str() {
            "tree" => self.tree(&object)?,
            "blob" => {
                let name = self.path.rsplit('/').next().unwrap_or_default().to_owned();
                BTreeMap::from([(name, self.blob(&object)?)])
            }
            _ => bail!("{self} is neither a directory nor a file"),
        };
        ensure!(!files.is_empty(), "{self} holds no policy");
        Bundle::new(files).with_context(|| format!("read {self}"))
    }

    /// Reads the files of a tree that say something.
    fn tree(&self, object: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let listed = run(&self.base, &["ls-tree", "-r", "-z", "-l", "--full-tree", object])?;
        let listed = String::from_utf8(listed).context("a file's name is not UTF-8; rename it")?;
        let (mut files, mut bytes) = (BTreeMap::new(), 0);
        for line in listed.split('\0').filter(|line| !line.is_empty()) {
            let Some(blob) = self.listed(line)? else { continue };
            bytes += blob.bytes;
            ensure!(
                bytes <= POLICY_BYTES_MAX && files.len() < FILES_MAX,
                "{self} has more than {FILES_MAX} files or {POLICY_BYTES_MAX} bytes: is this the policy's directory?"
            );
            let content = self.blob(&blob.id)?;
            files.insert(blob.path, content);
        }
        Ok(files)
    }

    /// Takes one line of a listed tree: mode, kind, name and size, and the path behind a tab.
    fn listed(&self, line: &str) -> anyhow::Result<Option<Blob>> {
        let (about, path) = line.split_once('\t').context("git lists a tree in another form")?;
        let mut about = about.split_whitespace();
        let (mode, kind) = (about.next(), about.next());
        if kind != Some("blob") || path.split('/').any(is_hidden) || !counts(path) {
            return Ok(None);
        }
        ensure!(mode != Some(LINK), "{path} of {self} is a link; put the file itself there");
        let id = about.next().context("git lists a tree in another form")?.to_owned();
        let bytes = about.next().and_then(|bytes| bytes.parse().ok());
        let bytes = bytes.context("git lists a tree in another form")?;
        ensure!(bytes <= FILE_BYTES_MAX, "{path} of {self} has more than {FILE_BYTES_MAX} bytes");
        Ok(Some(Blob { id, bytes, path: path.to_owned() }))
    }

    /// Reads a file.
    fn blob(&self, object: &str) -> anyhow::Result<Vec<u8>> {
        let content = run(&self.base, &["cat-file", "blob", object])?;
        ensure!(content.len() <= FILE_BYTES_MAX, "{self} has more than {FILE_BYTES_MAX} bytes");
        Ok(content)
    }
}

impl core::fmt::Display for Revision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.name, self.path)
    }
}

/// Runs git, which has to succeed; returns what it prints, without the last line's end.
fn text(base: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let printed = run(base, arguments)?;
    let printed = String::from_utf8(printed).context("git prints what is not UTF-8")?;
    Ok(printed.trim_end_matches('\n').to_owned())
}

/// Runs git, which has to succeed; returns what it prints.
fn run(base: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(base).args(arguments).env("LC_ALL", "C");
    match command.output() {
        Ok(Output { status, stdout, .. }) if status.success() => Ok(stdout),
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            let verb = arguments.first().unwrap_or(&"");
            match said.lines().next() {
                Some(line) => bail!("git {verb}: {}", line.trim_start_matches("fatal: ")),
                None => bail!("git {verb} failed"),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "git is not there, and revisions are read with it; install it, or compare two directories"
            )
        }
        Err(error) => Err(error).context("run git"),
    }
}
