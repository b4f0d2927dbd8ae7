//! What a disk is sure to hold, and what it may hold, after each call of a traced process.
//!
//! The promises are the least that POSIX gives, less than any real file system does:
//!
//! - `fsync` and `fdatasync` of a file make the writes durable that had ended when it began, once it
//!   has ended itself. They do not make the file's name durable.
//! - `fsync` of a directory makes its names durable in the same way.
//! - All else may be lost or kept, each change for itself, writes in sectors; see [`super::image`].
//! - A rename is never half done.
//!
//! `sync_file_range` promises nothing and is not even traced.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStringExt as _, fs::PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use super::{
    node::{Change, Directory, Edit, File, Naming, Node},
    trace::{Call, Moment},
};

/// The calls that [`Disk::apply`] has to see.
pub(crate) const TRACED: &str = "open,openat,creat,close,write,pwrite64,writev,pwritev,pwritev2,\
    fsync,fdatasync,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,\
    mkdirat,rmdir,link,linkat,symlink,symlinkat,dup,dup2,dup3,fcntl,lseek,chmod,fchmod,fchmodat,\
    mmap,copy_file_range,sendfile,splice,io_uring_setup";

/// An open file description.
#[derive(Debug)]
struct Open {
    node: usize,
    offset: u64,
    append: bool,
    synced: bool,
    lies: bool,
}

/// A call that has begun and not ended.
#[derive(Debug)]
enum Begun {
    /// A write of the change `number`; `follow` tells whether it moves the offset.
    Write { open: usize, number: u64, follow: bool },
    /// A sync that covers these changes.
    Sync { node: usize, numbers: Vec<u64> },
}

/// The part of a disk that lies under one directory.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// All nodes that ever were; the first is the root.
    pub(crate) nodes: Vec<Node>,
    /// The name that each node was made with, its digits as `#`, so that files of one kind have one name.
    kinds: Vec<String>,
    /// The node that the last call was about.
    touched: Option<usize>,
    /// Number of the last change.
    pub(crate) changes: u64,
    descriptors: HashMap<i64, usize>,
    open: Vec<Open>,
    begun: HashMap<u32, Begun>,
    /// The directory whose write-ahead logs are not synced when that is said: the root stands for all.
    lying: Option<&'static str>,
}

impl Disk {
    /// Starts with an empty directory at `root`, which is durable itself.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.canonicalize().unwrap(),
            nodes: vec![Node::Directory(Directory::default())],
            kinds: vec![".".to_owned()],
            touched: None,
            changes: 0,
            descriptors: HashMap::new(),
            open: Vec::new(),
            begun: HashMap::new(),
            lying: None,
        }
    }

    /// Makes every sync of a write-ahead log a lie, as if the server committed without.
    pub(crate) fn without_wal_sync(self) -> Self {
        self.without_wal_sync_in("")
    }

    /// Makes the syncs of the write-ahead logs below directories of this name lies.
    pub(crate) fn without_wal_sync_in(mut self, directory: &'static str) -> Self {
        self.lying = Some(directory);
        self
    }

    /// Starts with what a directory holds, all of it durable.
    pub(crate) fn holding(root: &Path) -> Self {
        let mut disk = Self::new(root);
        disk.load(root, 0);
        disk
    }

    /// Adds a node that was made with a name, and returns its place.
    fn push(&mut self, name: &OsStr, node: Node) -> usize {
        let digits = |c: char| c.is_ascii_digit();
        self.kinds.push(name.to_string_lossy().replace(digits, "#"));
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Returns the kind of file that the last call was about.
    pub(crate) fn touched(&self) -> Option<&str> {
        self.touched.map(|node| self.kinds[node].as_str())
    }

    /// Takes in what a directory holds.
    fn load(&mut self, path: &Path, into: usize) {
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            let index = if kind.is_dir() {
                let index = self.push(&entry.file_name(), Node::Directory(Directory::default()));
                self.load(&entry.path(), index);
                index
            } else if kind.is_file() {
                let durable = fs::read(entry.path()).unwrap();
                let mode = entry.metadata().unwrap().permissions().mode();
                let file = File { durable, mode, pending: Vec::new() };
                self.push(&entry.file_name(), Node::File(file))
            } else {
                continue;
            };
            let Node::Directory(directory) = &mut self.nodes[into] else { panic!("a directory") };
            directory.live.insert(entry.file_name(), index);
            directory.durable.insert(entry.file_name(), index);
        }
    }

    /// Ends the process: its descriptors are gone, the page cache is not.
    pub(crate) fn end_process(&mut self) {
        self.descriptors.clear();
        self.begun.clear();
    }

    /// Takes one side of a call in.
    pub(crate) fn apply(&mut self, call: &Call, moment: Moment) {
        let begin = moment == Moment::Begin;
        self.touched = None;
        match call.name.as_str() {
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" if begin => {
                self.begin_write(call);
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => self.end_write(call),
            "fsync" | "fdatasync" if begin => self.begin_sync(call),
            "fsync" | "fdatasync" => self.end_sync(call),
            // The kernel frees the number before the call returns, and another thread may get it.
            "close" if begin => {
                self.descriptors.remove(&call.number(0));
            }
            _ if begin || call.result.is_none_or(|result| result < 0) => {}
            "open" => self.open(call, 0, call.args.get(1..).unwrap_or_default()),
            "openat" => self.open(call, 1, call.args.get(2..).unwrap_or_default()),
            "dup" | "dup2" | "dup3" => self.duplicate(call),
            "fcntl" if call.args[1].starts_with("F_DUPFD") => self.duplicate(call),
            "lseek" => {
                if let Some(&open) = self.descriptors.get(&call.number(0)) {
                    self.open[open].offset = call.result.unwrap().cast_unsigned();
                }
            }
            "ftruncate" | "truncate" | "fallocate" => self.resize(call),
            "rename" => self.rename(call, 0, 1),
            "renameat" | "renameat2" => self.rename(call, 1, 3),
            "unlink" | "rmdir" => self.unlink(call, 0),
            "unlinkat" => self.unlink(call, 1),
            "mkdir" => self.make_directory(call, 0),
            "mkdirat" => self.make_directory(call, 1),
            "link" => self.link(call, 0, 1),
            "linkat" => self.link(call, 1, 3),
            "chmod" => self.set_mode(self.find(call, 0), call.number(1)),
            "fchmodat" => self.set_mode(self.find(call, 1), call.number(2)),
            "fchmod" => self.set_mode(self.node_of(call.number(0)), call.number(1)),
            "close" | "fcntl" | "execve" => {}
            name => self.refuse(name, call),
        }
    }

    /// Panics on a call that changes files in a way that is not modelled.
    fn refuse(&self, name: &str, call: &Call) {
        let written = match name {
            "mmap" => {
                call.flag(3, "MAP_SHARED") && call.flag(2, "PROT_WRITE") && self.knows(call, 4)
            }
            "copy_file_range" | "splice" => self.knows(call, 2),
            "sendfile" => self.knows(call, 0),
            "symlink" => self.names_of(call, 1).is_some(),
            "symlinkat" => self.names_of(call, 2).is_some(),
            "creat" => self.names_of(call, 0).is_some(),
            _ => true,
        };
        assert!(!written, "the recorder does not model this write: {call:?}");
    }

    /// Returns whether an argument is a descriptor of a file under the root.
    fn knows(&self, call: &Call, position: usize) -> bool {
        self.descriptors.contains_key(&call.number(position))
    }

    /// Returns the node of a descriptor, if it is under the root.
    fn node_of(&self, descriptor: i64) -> Option<usize> {
        self.descriptors.get(&descriptor).map(|&open| self.open[open].node)
    }

    /// Returns the names below the root that an absolute path argument walks.
    fn names_of(&self, call: &Call, position: usize) -> Option<Vec<OsString>> {
        let path = PathBuf::from(OsString::from_vec(call.bytes(position)));
        let below = path.strip_prefix(&self.root).ok()?;
        let names = below.components().map(|component| match component {
            Component::Normal(name) => name.to_owned(),
            other => panic!("a plain path was expected, not {other:?} in {call:?}"),
        });
        Some(names.collect())
    }

    /// Returns the node that a walk from the root ends at.
    fn walk(&self, names: &[OsString]) -> Option<usize> {
        names.iter().try_fold(0, |node, name| match &self.nodes[node] {
            Node::Directory(directory) => directory.live.get(name).copied(),
            Node::File(_) => None,
        })
    }

    /// Returns the node that a path argument names.
    fn find(&self, call: &Call, position: usize) -> Option<usize> {
        self.walk(&self.names_of(call, position)?)
    }

    /// Returns the directory and the last name of a path argument, if it is under the root.
    fn place(&self, call: &Call, position: usize) -> Option<(usize, OsString)> {
        let mut names = self.names_of(call, position)?;
        let name = names.pop()?;
        let directory = self.walk(&names).unwrap_or_else(|| panic!("no such directory: {call:?}"));
        Some((directory, name))
    }

    /// Changes a directory, under a number of its own or of a rename's other part.
    fn name(&mut self, directory: usize, number: u64, naming: Naming) {
        let Node::Directory(directory) = &mut self.nodes[directory] else {
            panic!("names are given in directories only")
        };
        naming.apply(&mut directory.live);
        directory.pending.push((number, naming));
    }

    /// Returns the number of the next change.
    fn tick(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Adds a node and names it.
    fn create(&mut self, (directory, name): (usize, OsString), node: Node) -> usize {
        let number = self.tick();
        let index = self.push(&name, node);
        self.touched = Some(index);
        self.name(directory, number, Naming::Put(name, index));
        index
    }

    /// Opens, and creates or empties if the flags say so.
    fn open(&mut self, call: &Call, path: usize, rest: &[String]) {
        let Some(names) = self.names_of(call, path) else { return };
        let flags = path + 1;
        assert!(!call.flag(flags, "O_TMPFILE"), "the recorder does not model {call:?}");
        let node = self.walk(&names).unwrap_or_else(|| {
            assert!(call.flag(flags, "O_CREAT"), "opened a file that is not there: {call:?}");
            let place = self.place(call, path).expect("the root itself is not created");
            let mode = rest.get(1).map_or(0o600, |_| call.number(flags + 1) as u32);
            self.create(place, Node::File(File { mode, ..File::default() }))
        });
        if call.flag(flags, "O_TRUNC") {
            self.edit(node, Edit::Length(0));
        }
        let wal =
            names.last().is_some_and(|name| Path::new(name).extension() == Some("log".as_ref()));
        let lying = self
            .lying
            .is_some_and(|lying| lying.is_empty() || names.iter().any(|name| name == lying));
        self.open.push(Open {
            lies: wal && lying,
            node,
            offset: 0,
            append: call.flag(flags, "O_APPEND"),
            synced: call.flag(flags, "O_SYNC") || call.flag(flags, "O_DSYNC"),
        });
        self.descriptors.insert(call.result.unwrap(), self.open.len() - 1);
    }

    /// Gives an open file a second descriptor.
    fn duplicate(&mut self, call: &Call) {
        let descriptor = call.result.unwrap();
        match self.descriptors.get(&call.number(0)) {
            Some(&open) => self.descriptors.insert(descriptor, open),
            None => self.descriptors.remove(&descriptor),
        };
    }

    /// Changes a file at once, as far as the process sees.
    fn edit(&mut self, node: usize, edit: Edit) {
        let number = self.tick();
        self.touched = Some(node);
        let Node::File(file) = &mut self.nodes[node] else { panic!("only files have bytes") };
        file.pending.push(Change { number, done: true, edit });
    }

    /// Notes bytes that are on their way.
    fn begin_write(&mut self, call: &Call) {
        let Some(&open) = self.descriptors.get(&call.number(0)) else { return };
        let number = self.tick();
        let follow = matches!(call.name.as_str(), "write" | "writev");
        let data = call.bytes(1);
        let Open { node, offset, append, .. } = self.open[open];
        self.touched = Some(node);
        let Node::File(file) = &mut self.nodes[node] else { panic!("only files have bytes") };
        let offset = match (follow, append) {
            (true, true) => file.length(),
            (true, false) => offset,
            // pwrite64(fd, data, length, offset) and pwritev(fd, iov, count, offset).
            (false, _) => call.number(3).cast_unsigned(),
        };
        if follow {
            self.open[open].offset = offset;
        }
        file.pending.push(Change { number, done: false, edit: Edit::Write { offset, data } });
        self.begun.insert(call.thread, Begun::Write { open, number, follow });
    }

    /// Settles how much of a write has reached the page cache.
    fn end_write(&mut self, call: &Call) {
        let Some(Begun::Write { open, number, follow }) = self.begun.remove(&call.thread) else {
            return;
        };
        let Open { node, synced, .. } = self.open[open];
        self.touched = Some(node);
        let Node::File(file) = &mut self.nodes[node] else { panic!("only files have bytes") };
        let written = call.result.unwrap_or(-1).max(0).cast_unsigned();
        for change in file.pending.iter_mut().filter(|change| change.number == number) {
            change.done = true;
            if let Edit::Write { data, .. } = &mut change.edit {
                data.truncate(written as usize);
            }
        }
        if follow {
            self.open[open].offset += written;
        }
        if synced {
            file.settle(&[number]);
        }
    }

    /// Notes what a sync covers: what had ended when it began.
    fn begin_sync(&mut self, call: &Call) {
        let Some(&open) = self.descriptors.get(&call.number(0)) else { return };
        let Open { node, lies, .. } = self.open[open];
        self.touched = Some(node);
        if lies {
            return;
        }
        let numbers = match &self.nodes[node] {
            Node::File(file) => file
                .pending
                .iter()
                .filter(|change| change.done)
                .map(|change| change.number)
                .collect(),
            Node::Directory(directory) => {
                directory.pending.iter().map(|(number, _)| *number).collect()
            }
        };
        self.begun.insert(call.thread, Begun::Sync { node, numbers });
    }

    /// Makes durable what a sync covers, if it said so.
    fn end_sync(&mut self, call: &Call) {
        let Some(Begun::Sync { node, numbers }) = self.begun.remove(&call.thread) else { return };
        self.touched = Some(node);
        // A result that strace made up is of a sync that never happened.
        if call.result != Some(0) || call.injected {
            return;
        }
        match &mut self.nodes[node] {
            Node::File(file) => file.settle(&numbers),
            Node::Directory(directory) => directory.pending.retain(|(number, naming)| {
                let covered = numbers.contains(number);
                if covered {
                    naming.apply(&mut directory.durable);
                }
                !covered
            }),
        }
    }

    /// Cuts, extends or reserves.
    fn resize(&mut self, call: &Call) {
        let node = match call.name.as_str() {
            "truncate" => self.find(call, 0),
            _ => self.node_of(call.number(0)),
        };
        let Some(node) = node else { return };
        if call.name != "fallocate" {
            return self.edit(node, Edit::Length(call.number(1).cast_unsigned()));
        }
        let (offset, length) = (call.number(2).cast_unsigned(), call.number(3).cast_unsigned());
        if call.flag(1, "FALLOC_FL_PUNCH_HOLE") {
            return self.edit(node, Edit::Zero { offset, length });
        }
        assert!(
            call.args[1] == "0" || call.args[1] == "FALLOC_FL_KEEP_SIZE",
            "the recorder does not model {call:?}",
        );
        let Node::File(file) = &self.nodes[node] else { panic!("only files have bytes") };
        if call.args[1] == "0" && file.length() < offset + length {
            self.edit(node, Edit::Length(offset + length));
        }
    }

    /// Moves a name, in one step. A socket's was never known.
    fn rename(&mut self, call: &Call, from: usize, to: usize) {
        let (Some(source), Some(target)) = (self.place(call, from), self.place(call, to)) else {
            return assert!(
                self.names_of(call, from).is_none() && self.names_of(call, to).is_none(),
                "a rename across the root is not modelled: {call:?}",
            );
        };
        let Some(node) = self.find(call, from) else { return };
        self.touched = Some(node);
        let number = self.tick();
        self.name(source.0, number, Naming::Take(source.1));
        self.name(target.0, number, Naming::Put(target.1, node));
    }

    /// Gives a file a second name.
    fn link(&mut self, call: &Call, from: usize, to: usize) {
        let Some((directory, name)) = self.place(call, to) else { return };
        let node = self.find(call, from).unwrap_or_else(|| panic!("no such file: {call:?}"));
        self.touched = Some(node);
        let number = self.tick();
        self.name(directory, number, Naming::Put(name, node));
    }

    /// Takes a name away. A socket's was never known.
    fn unlink(&mut self, call: &Call, path: usize) {
        let Some(node) = self.find(call, path) else { return };
        self.touched = Some(node);
        let Some((directory, name)) = self.place(call, path) else { return };
        let number = self.tick();
        self.name(directory, number, Naming::Take(name));
    }

    /// Makes a directory.
    fn make_directory(&mut self, call: &Call, path: usize) {
        if let Some(place) = self.place(call, path) {
            self.create(place, Node::Directory(Directory::default()));
        }
    }

    /// Sets a file's permission bits; they take no part in what is lost.
    fn set_mode(&mut self, node: Option<usize>, mode: i64) {
        if let Some(Node::File(file)) = node.map(|node| &mut self.nodes[node]) {
            file.mode = mode as u32;
        }
    }
}
